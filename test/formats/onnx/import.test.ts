import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { importGraph } from '../../../src/formats/onnx/import.js';
import { halfToNumber, readOnnx } from '../../../src/formats/onnx/proto.js';
import {
  describeWithOnnxruntime,
  type WrittenGraph,
  type WrittenNode,
  writeOnnx,
} from '../../support/onnx.js';
import { Builder, expectAsOnnxruntime, HEIGHT, random, WIDTH } from '../../support/onnx-graphs.js';

describeWithOnnxruntime('a graph gives what onnxruntime gives', () => {
  it('convolutions, grouped and depthwise, with strides and batch normalisation, ReLU and leaky ReLU', async () => {
    const b = new Builder();
    const first = b.convolution('image', [8, 3, 3], { strides: [2, 2] });
    const normalised = b.add(
      'BatchNormalization',
      [
        first,
        b.constant([8], random(8, 2)),
        b.constant([8], random(8)),
        b.constant([8], random(8)),
        b.constant(
          [8],
          random(8).map((value) => value ** 2 + 0.1),
        ),
      ],
      { epsilon: 1e-3 },
      ['epsilon'],
    );
    const grouped = b.convolution(b.leaky(normalised), [12, 4, 3], { group: 2 });
    const depthwise = b.convolution(b.add('Relu', [grouped]), [12, 1, 5], { group: 12, strides: [2, 2] });
    const out = b.convolution(b.leaky(depthwise), [6, 12, 1]);
    expect(await expectAsOnnxruntime(b.graph(out))).toEqual([
      'convolutional',
      'convolutional',
      'convolutional',
      'convolutional',
    ]);
  });

  it('sums, concatenations, splits, slices, gathers and a channel shuffle', async () => {
    const b = new Builder();
    const x = b.add('Relu', [b.convolution('image', [8, 3, 3])]);
    const y = b.convolution(x, [8, 8, 1]);
    const sum = b.add('Relu', [b.add('Add', [x, y])]);
    const [left, right] = b.several('Split', [sum, b.integers(3, 5)], 2, { axis: 1 });
    const sliced = b.add('Slice', [sum, b.integers(7), b.integers(0), b.integers(1), b.integers(-2)]);
    const gathered = b.add('Gather', [x, b.integers(6, 0, 1)], { axis: 1 });
    const joined = b.add('Concat', [right!, gathered, sliced, left!], { axis: 1 });
    const parted = b.add('Reshape', [joined, b.integers(1, 5, 3, HEIGHT, WIDTH)]);
    const turned = b.add('Transpose', [parted], { perm: [0, 2, 1, 3, 4] });
    const shuffled = b.add('Reshape', [turned, b.integers(1, -1, HEIGHT, WIDTH)]);
    const kinds = await expectAsOnnxruntime(b.graph(b.convolution(shuffled, [4, 15, 3])));
    expect(kinds).toContain('add');
    expect(kinds).toContain('wiring');
  }, 20_000);

  it('leaky ReLU of other slopes, behind convolutions and sums', async () => {
    const b = new Builder();
    const leaky = (input: string, alpha?: number) =>
      b.add('LeakyRelu', [input], alpha === undefined ? {} : { alpha }, ['alpha']);
    const x = leaky(b.convolution('image', [6, 3, 3]), 0.3);
    const sum = leaky(b.add('Add', [x, b.convolution(x, [6, 6, 3])]));
    await expectAsOnnxruntime(b.graph(b.convolution(sum, [4, 6, 1])));
  });

  it('slopes of each channel, behind convolutions and sums; below 0 they are an island', async () => {
    const b = new Builder();
    const slopes = (count: number, least: number) =>
      b.constant(
        [count, 1, 1],
        random(count, 0.4).map((value) => value + 0.4 + least),
      );
    const x = b.add('PRelu', [b.convolution('image', [6, 3, 3]), slopes(6, 0.01)]);
    const sum = b.add('PRelu', [b.add('Add', [x, b.convolution(x, [6, 6, 3])]), slopes(6, 0.01)]);
    const one = b.add('PRelu', [b.convolution(sum, [6, 6, 5]), b.constant([1], [0.25])]);
    const layers = ['convolutional', 'convolutional', 'add', 'convolutional', 'convolutional'];
    expect(await expectAsOnnxruntime(b.graph(b.convolution(one, [4, 6, 1])))).toEqual(layers);
    const below = b.add('PRelu', [b.convolution(one, [6, 6, 5]), slopes(6, -0.4)]);
    const kinds = await expectAsOnnxruntime(b.graph(b.convolution(below, [4, 6, 1])));
    expect(kinds).toEqual([...layers, 'island', 'convolutional']);
  });

  it('limits and slopes that neurons have not: an island', async () => {
    const b = new Builder();
    let x = b.convolution('image', [6, 3, 5]);
    const next = (input: string) => b.convolution(input, [6, 6, 5]);
    x = next(b.add('Clip', [x, b.constant([], [-0.5]), b.constant([], [0.5])]));
    x = next(b.add('Clip', [x, b.constant([], [0])]));
    x = next(b.add('Elu', [x], { alpha: 0.5 }, ['alpha']));
    x = next(b.add('LeakyRelu', [x], { alpha: 1.5 }, ['alpha']));
    x = next(b.add('LeakyRelu', [x], { alpha: -0.1 }, ['alpha']));
    const kinds = await expectAsOnnxruntime(b.graph(x));
    expect(kinds.filter((kind) => kind === 'island')).toHaveLength(4);
  });

  it('kernels whose rows and columns differ, and padding that differs from side to side', async () => {
    const b = new Builder();
    const kernel = (
      input: string,
      [filters, channels, rows, columns]: number[],
      pads: number[],
      more: Record<string, number | number[] | string> = {},
    ) => {
      const dims = [filters!, channels!, rows!, columns!];
      const count = dims.reduce((product, extent) => product * extent);
      const weights = b.constant(dims, random(count, 1.5 / Math.sqrt(count / filters!)));
      return b.add('Conv', [input, weights], { ...(more.auto_pad ? {} : { pads }), ...more });
    };
    let x = kernel('image', [4, 3, 1, 5], [0, 2, 0, 2]);
    x = kernel(b.add('Relu', [x]), [4, 4, 7, 1], [3, 0, 3, 0]);
    x = kernel(b.add('Relu', [x]), [4, 1, 3, 1], [1, 0, 1, 0], { group: 4 });
    // as TensorFlow pads
    x = kernel(b.add('Relu', [x]), [4, 4, 3, 3], [0, 0, 1, 1], { strides: [2, 2] });
    x = kernel(b.add('Relu', [x]), [4, 4, 2, 2], [], { auto_pad: 'SAME_LOWER' });
    x = kernel(b.add('Relu', [x]), [4, 4, 2, 4], [1, 2, 0, 1]);
    x = b.add('AveragePool', [b.add('Relu', [x])], {
      kernel_shape: [1, 3],
      pads: [0, 1, 0, 1],
      count_include_pad: 1,
    });
    const kinds = await expectAsOnnxruntime(b.graph(b.convolution(x, [4, 4, 1])));
    expect(kinds).toEqual(new Array(8).fill('convolutional'));
  });

  it('dilated kernels, also of groups, of rows and columns alone, and with a stride', async () => {
    const b = new Builder();
    let x = b.convolution('image', [6, 3, 3], { dilations: [2, 2], pads: [2, 2, 2, 2] });
    x = b.convolution(b.add('Relu', [x]), [6, 1, 3], { dilations: [3, 3], pads: [3, 3, 3, 3], group: 6 });
    x = b.convolution(b.add('Relu', [x]), [6, 6, 3], { dilations: [1, 2], pads: [1, 2, 1, 2] });
    x = b.convolution(b.add('Relu', [x]), [6, 6, 3], {
      dilations: [2, 2],
      pads: [2, 2, 2, 2],
      strides: [2, 2],
    });
    x = b.convolution(b.add('Relu', [x]), [6, 6, 1], { dilations: [4, 4], pads: [0, 0, 0, 0] });
    const small = b.constant([6, 6, 2, 2], random(144, 0.3));
    x = b.add('Conv', [b.add('Relu', [x]), small], { dilations: [2, 2], pads: [0, 1, 2, 1] });
    const kinds = await expectAsOnnxruntime(b.graph(b.convolution(x, [4, 6, 1])));
    expect(kinds).toEqual(new Array(7).fill('convolutional'));
  });

  it('activations and normalisation behind what is no convolution, or what other nodes read, too', async () => {
    const b = new Builder();
    const normalise = (input: string, channels: number) =>
      b.add('BatchNormalization', [
        ...[input, b.constant([channels], random(channels, 2)), b.constant([channels], random(channels))],
        ...[b.constant([channels], random(channels)), b.constant([channels], new Array(channels).fill(0.7))],
      ]);
    const first = b.convolution(normalise('image', 3), [4, 3, 3]);
    const activated = b.add('Relu', [first]);
    const joined = b.add('Concat', [first, activated], { axis: 1 });
    const dense = b.convolution(b.leaky(normalise(joined, 8)), [8, 8, 3]);
    const pooled = b.add('MaxPool', [dense], { kernel_shape: [2, 2], strides: [2, 2] });
    const curved = b.add('Mul', [pooled, b.add('Sigmoid', [pooled])]);
    const twice = b.add('Relu', [b.leaky(b.convolution(curved, [4, 8, 3]))]);
    const sum = normalise(b.add('Add', [twice, b.convolution(twice, [4, 4, 1])]), 4);
    await expectAsOnnxruntime(b.graph(b.convolution(b.leaky(sum), [4, 4, 1])));
  });

  it('a value under another name is not changed by what activates it there', async () => {
    const b = new Builder();
    const x = b.convolution('image', [4, 3, 3]);
    const again = b.add('Relu', [b.add('Reshape', [x, b.integers(1, 4, HEIGHT, WIDTH)])]);
    const first = b.add('Concat', [x], { axis: 1 });
    const all = b.add('Slice', [x, b.integers(0), b.integers(4), b.integers(1)]);
    const sum = b.add('Add', [
      b.add('Add', [again, x]),
      b.add('Add', [b.leaky(first), b.add('Relu', [all])]),
    ]);
    await expectAsOnnxruntime(b.graph(b.convolution(sum, [4, 4, 1])));
  });

  it('zeros around a map, whatever reads them', async () => {
    const b = new Builder();
    const around = (input: string, ...[top, left, bottom, right]: number[]) =>
      b.add('Pad', [input, b.integers(0, 0, top!, left!, 0, 0, bottom!, right!)]);
    const x = around(b.convolution('image', [4, 3, 3]), 1, 1, 1, 1);
    const plain = (input: string) => b.convolution(input, [4, 4, 3], { pads: [0, 0, 0, 0] });
    const read = [plain(x), plain(b.add('Relu', [x])), plain(b.add('Add', [x, x])), plain(b.leaky(x))];
    const twice = b.convolution(around(around(read[0]!, 1, 0, 1, 0), 0, 1, 0, 1), [4, 4, 3], {
      pads: [0, 0, 0, 0],
    });
    const pooled = b.add('MaxPool', [x], { kernel_shape: [3, 3], strides: [1, 1] });
    await expectAsOnnxruntime(
      b.graph(b.convolution(b.add('Concat', [...read, twice, pooled], { axis: 1 }), [4, 24, 1])),
    );
  });

  it('curves: SiLU, HardSwish, Mish, ELU and ReLU6, also as several nodes', async () => {
    const b = new Builder();
    let x = b.convolution('image', [6, 3, 3]);
    const next = (input: string) => b.convolution(input, [6, 6, 3]);
    x = next(b.add('Mul', [b.add('Sigmoid', [x]), x]));
    x = next(b.add('Mul', [x, b.add('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 }, ['alpha', 'beta'])]));
    x = next(b.add('HardSwish', [x]));
    x = next(b.add('Mul', [x, b.add('Tanh', [b.add('Softplus', [x])])]));
    x = next(b.add('Elu', [x], { alpha: 1 }, ['alpha']));
    x = next(b.add('Clip', [x, b.constant([], [0]), b.constant([], [6])]));
    const kinds = await expectAsOnnxruntime({ ...b.graph(x), opset: 14 });
    expect(kinds).toEqual(new Array(7).fill('convolutional'));
  });

  it('the image in four parts, every other row and column, as one convolution', async () => {
    const b = new Builder();
    const every = (input: string, first: number, axis: number) =>
      b.add('Slice', [input, b.integers(first), b.integers(2 ** 31 - 1), b.integers(axis), b.integers(2)]);
    const parts = [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ].map(([row, column]) => every(every('image', row!, 2), column!, 3));
    const focus = b.add('Concat', parts, { axis: 1 });
    const first = b.convolution(focus, [7, 12, 3]);
    const out = b.convolution(b.add('Mul', [first, b.add('Sigmoid', [first])]), [4, 7, 1]);
    expect(await expectAsOnnxruntime(b.graph(out))).toEqual(['convolutional', 'convolutional']);
  });

  it('pools, averages, zeros around a map, nearest and bilinear upsampling', async () => {
    const b = new Builder();
    const x = b.add('Relu', [b.convolution('image', [4, 3, 3])]);
    const pooled = b.add('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
    const wide = b.add('MaxPool', [pooled], { kernel_shape: [5, 5], strides: [1, 1], pads: [2, 2, 2, 2] });
    const average = b.add('AveragePool', [wide], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 });
    const scale = () => b.constant([4], [1, 1, 2, 2]);
    const nearest = b.add('Resize', [average, '', scale()], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });
    const smooth = b.add('Resize', [average, '', scale()], {
      mode: 'linear',
      coordinate_transformation_mode: 'half_pixel',
    });
    const joined = b.add('Concat', [pooled, nearest, smooth], { axis: 1 });
    const around = b.add('Pad', [joined, b.integers(0, 0, 1, 1, 0, 0, 1, 1)], { mode: 'constant' });
    const out = b.convolution(around, [5, 12, 3], { pads: [0, 0, 0, 0] });
    const kinds = await expectAsOnnxruntime(b.graph(out));
    expect(kinds).toEqual(expect.arrayContaining(['maxpool', 'upsample', 'bilinear']));
  }, 20_000);

  it('what stands behind the output layers', async () => {
    const b = new Builder();
    const out = b.convolution(b.leaky(b.convolution('image', [6, 3, 3])), [8, 6, 1]);
    const flat = b.add('Reshape', [out, b.integers(1, 8, -1)]);
    const [boxes, scores] = b.several('Split', [flat, b.integers(4, 4)], 2, { axis: 1 });
    const exponents = b.add('Exp', [b.add('Mul', [boxes!, b.constant([1], [0.3])])]);
    const powers = b.add('Pow', [
      b.add('Sigmoid', [b.add('Sub', [exponents, b.constant([4, 1], [1, 2, 3, 4])])]),
      b.constant([], [2]),
    ]);
    const most = b.add('Max', [powers, b.constant([1], [0.2])]);
    const clipped = b.add('Clip', [most, b.constant([], [0.3]), b.constant([], [0.9])]);
    const bins = b.add('Softmax', [b.add('Unsqueeze', [scores!, b.integers(2)])], { axis: 1 });
    const again = b.add('Squeeze', [bins, b.integers(2)]);
    const ratio = b.add('Div', [b.add('Tanh', [again]), b.add('Sqrt', [b.constant([1], [2])])]);
    const joined = b.add('Concat', [clipped, b.add('Neg', [ratio])], { axis: 1 });
    const rows = b.add('Transpose', [joined], { perm: [0, 2, 1] });
    const odd = b.add('Slice', [rows, b.integers(-1), b.integers(-1000), b.integers(1), b.integers(-3)]);
    await expectAsOnnxruntime(b.graph(odd));
  });

  it('shapes that the file computes are known once its input is', async () => {
    const b = new Builder();
    const out = b.convolution('image', [6, 3, 3], { strides: [2, 2] });
    const shape = b.add('Shape', [out]);
    const height = b.add('Gather', [shape, b.constant([], [2], true)], { axis: 0 });
    const length = b.add(
      'Concat',
      [
        b.integers(1, 3, 2),
        b.add('Unsqueeze', [b.add('Mul', [height, b.constant([], [WIDTH / 2], true)]), b.integers(0)]),
      ],
      { axis: 0 },
    );
    await expectAsOnnxruntime(b.graph(b.add('Reshape', [out, length])));
  });
});

describe('a graph that cannot be a network of neurons', () => {
  const refused = (graph: WrittenGraph) => {
    try {
      importGraph(readOnnx(writeOnnx(graph)));
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return `${code}: ${message}`;
    }
    return 'accepted';
  };
  const behind = (op: string, attributes: WrittenNode['attributes'] = {}, floats: string[] = []) => {
    const b = new Builder();
    const first = b.convolution('image', [4, 3, 3]);
    const x = b.add(op, [first], attributes, floats);
    return refused(b.graph(b.convolution(x, [4, 4, 1])));
  };

  it('names the node and the operator', () => {
    expect(behind('GridSample')).toMatch(
      /^ONNX: 1 nodes are not supported: n1 \(GridSample\); supported are Add,/,
    );
    expect(behind('Relu')).toBe('accepted');
    expect(behind('MatMul')).toMatch(/n1 \(MatMul\): .*its inputs or attributes are not what it takes$/);
    expect(behind('NonMaxSuppression')).toMatch(/^ONNX: .*nms=False.*\(node n1\)$/);
    expect(behind('TopK')).toMatch(/^ONNX: .*YOLOv10, YOLO26.*\(node n1\)$/);
    expect(behind('DequantizeLinear')).toMatch(/^ONNX: the file is quantised.*export the network in float/);
    expect(behind('LeakyRelu', { alpha: 0.3 }, ['alpha'])).toBe('accepted');
    expect(behind('LeakyRelu', { alpha: Number.NaN }, ['alpha'])).toMatch(/alpha is not a number/);
    expect(behind('Clip', { min: Number.NaN, max: 6 }, ['min', 'max'])).toMatch(/its min is not a number/);
    expect(behind('AveragePool', { kernel_shape: [3, 3], auto_pad: 'SAME_UPPER' })).toMatch(
      /leaves out its padding/,
    );
    expect(behind('AveragePool', { kernel_shape: [0, 0] })).toMatch(/kernel_shape of 0,0 are not supported/);
    expect(behind('MaxPool', { kernel_shape: [3, 3], pads: [-1, 0, 0, 0] })).toMatch(/pads of -1,0,0,0/);
    expect(behind('MaxPool', { kernel_shape: [3, 3], auto_pad: 'FOO' })).toMatch(/padding by "FOO"/);
    expect(behind('MaxPool', { kernel_shape: [3, 1] })).toMatch(/n1 \(MaxPool\): a window of 3×1/);
    expect(behind('MaxPool', { kernel_shape: [3, 3], strides: [2, 1] })).toMatch(/strides of 2 and 1/);
    expect(behind('MaxPool', { kernel_shape: [2, 2], dilations: [2, 2] })).toMatch(
      /a pool with dilations of 2 and 2/,
    );
    expect(behind('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 })).toMatch(
      /leaves out its padding/,
    );
    expect(behind('AveragePool', { kernel_shape: [2, 2], dilations: [1, 2] })).toMatch(
      /a pool with dilations of 1 and 2/,
    );
    expect(behind('MaxPool')).toMatch(/^ONNX: node n1 \(MaxPool\): a kernel of {2}with/);
    expect(behind('Split', { axis: 1, split: [4] })).toBe('accepted');
    for (const split of [[5], [2, 1], [-1], [-(2 ** 63)], [8, -4]])
      expect(behind('Split', { axis: 1, split })).toMatch(/: a Split into .* of 4$/);
    expect(behind('MaxPool', { kernel_shape: 'xx' })).toMatch(/^ONNX: /);
    const far = new Builder();
    const wide = far.convolution('image', [4, 3, 3], { dilations: [1, 16], pads: [1, 16, 1, 16] });
    expect(refused(far.graph(wide))).toMatch(/dilations of 1 and 16 covers 3×33 cells; at most/);
    expect(behind('Transpose', { perm: [0, 1, 3, 2] })).toMatch(/^ONNX: node n2 \(Conv\): takes/);
  });

  it('refuses parameters of other lengths than there are channels', () => {
    const withConstant = (op: string, dims: number[], count = 1) => {
      const b = new Builder();
      const first = b.convolution('image', [4, 3, 3]);
      const size = dims.reduce((product, extent) => product * extent, 1);
      const constants = Array.from({ length: count }, () => b.constant(dims, new Array(size).fill(0.5)));
      return refused(b.graph(b.convolution(b.add(op, [first, ...constants]), [4, 4, 1])));
    };
    expect(withConstant('PRelu', [4, 1, 1])).toBe('accepted');
    expect(withConstant('PRelu', [1, 4, 1, 1])).toBe('accepted');
    expect(withConstant('PRelu', [3, 1, 1])).toMatch(/it has 3 slopes for 4 channels/);
    expect(withConstant('PRelu', [4, 1, 1, 1])).toMatch(/slopes of 4×1×1×1 are not supported/);
    expect(withConstant('PRelu', [0, 1, 1])).toMatch(/slopes of 0×1×1 are not supported/);
    expect(withConstant('BatchNormalization', [4], 4)).toBe('accepted');
    expect(withConstant('BatchNormalization', [3], 4)).toMatch(/it has 3 parameters for 4 channels/);
    const b = new Builder();
    const weights = b.constant([4, 3, 3, 3], random(108));
    expect(refused(b.graph(b.add('Conv', ['image', weights, b.constant([3], random(3))])))).toMatch(
      /its biases are not constants, one a filter/,
    );
  });

  it('refuses inputs, outputs and kernels that it cannot have', () => {
    const plain = (change: (graph: WrittenGraph) => void) => {
      const b = new Builder();
      const graph = b.graph(b.convolution('image', [4, 3, 3]));
      change(graph);
      return refused(graph);
    };
    expect(plain(() => {})).toBe('accepted');
    expect(
      plain((graph) => {
        graph.inputs = { image: [1, 4, 8, 8] };
      }),
    ).toMatch(/ONNX: the input image is 1×4×8×8/);
    expect(
      plain((graph) => {
        graph.inputs = { image: [1, 3, 8, 8], more: [1] };
      }),
    ).toMatch(/ONNX: the file has 2 inputs/);
    expect(
      plain((graph) => {
        graph.inputs = { image: ['batch', 3, 'height', 'width'] };
      }),
    ).toMatch(/ONNX: the file does not name the size .*--size/);
    expect(
      plain((graph) => {
        graph.inputs = { image: [1, 3, 9000, 9] };
      }),
    ).toMatch(/ONNX: the input is 9000×9/);
    expect(
      plain((graph) => {
        graph.opset = 8;
      }),
    ).toMatch(/ONNX: the file uses operator set 8; expected 9 to 22/);
    expect(
      plain((graph) => {
        graph.outputs = ['nothing'];
      }),
    ).toMatch(/^ONNX: /);
    expect(
      plain((graph) => {
        graph.outputs = [];
      }),
    ).toMatch(/^ONNX: /);
    expect(
      plain((graph) => {
        graph.nodes[0]!.attributes = { pads: [0, 1, 0, 1] };
      }),
    ).toMatch(/a kernel of 3×3 with a padding of 0, 1, 0, 1 is not supported/);
    expect(
      plain((graph) => {
        graph.nodes[0]!.attributes = { group: 3 };
      }),
    ).toMatch(/^ONNX: node n0 \(Conv\): /);
    expect(
      plain((graph) => {
        graph.nodes[0]!.domain = 'com.microsoft';
      }),
    ).toMatch(/^ONNX: .*com\.microsoft:Conv/);
    expect(
      plain((graph) => {
        graph.nodes[0]!.inputs[0] = graph.nodes[0]!.outputs[0]!;
      }),
    ).toMatch(/n0: takes "v2", which no node before it puts out/);
  });

  it('takes a deep graph and refuses an endless one', () => {
    const b = new Builder();
    let x = b.convolution('image', [1, 3, 1]);
    for (let i = 0; i < 4900; i++) x = b.add('Transpose', [x], { perm: [0, 1, 2, 3] });
    expect(refused(b.graph(b.convolution(x, [1, 1, 1])))).toBe('accepted');
    for (let i = 0; i < 100; i++) x = b.add('Transpose', [x], { perm: [0, 1, 2, 3] });
    expect(refused(b.graph(b.convolution(x, [1, 1, 1])))).toMatch(
      /ONNX: the graph has 500\d nodes; at most 5000/,
    );
  });

  it('asks for no more memory than a network could need', () => {
    const b = new Builder();
    const out = b.convolution('image', [1, 3, 1]);
    const many = b.add('ConstantOfShape', [b.integers(100_000, 100_000)]);
    expect(refused(b.graph(b.add('Add', [out, many])))).toMatch(
      /^ONNX: node n1 \(ConstantOfShape\): it would put out 10000000000 values/,
    );
    const c = new Builder();
    const map = c.convolution('image', [1, 3, 1]);
    const range = c.add('Range', [
      c.constant([], [0], true),
      c.constant([], [1e12], true),
      c.constant([], [1], true),
    ]);
    expect(refused(c.graph(c.add('Add', [map, range])))).toMatch(
      /^ONNX: node n1 \(Range\): it would take 1000000000000 indices/,
    );
  });
});

describe('half-precision numbers', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])('%i is %f', (bits, value) => {
    expect(halfToNumber(bits)).toBe(value);
  });
});

describe('a file that is none', () => {
  const tried = (bytes: Uint8Array) => {
    try {
      readOnnx(bytes);
      return 'read';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };

  it('is refused wherever it is cut', () => {
    const b = new Builder();
    const file = writeOnnx(b.graph(b.convolution('image', [4, 3, 3])));
    expect(tried(file)).toBe('read');
    for (let length = 0; length < file.length; length += 7)
      expect(tried(file.subarray(0, length))).not.toBeUndefined();
    expect(tried(file.subarray(0, file.length >> 1))).toBe('ONNX');
    expect(tried(readFileSync(new URL(import.meta.url)))).toBe('ONNX');
  });
});
