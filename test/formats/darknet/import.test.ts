import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCfg } from '../../../src/formats/darknet/cfg.js';
import { parseNames } from '../../../src/formats/darknet/names.js';
import { parseWeights } from '../../../src/formats/darknet/weights.js';
import { inferShapes } from '../../../src/network/shapes.js';
import { describeWithShared, hasShared, lite, shared, trial3 } from '../../support/shared.js';

const tiny = `[net]
width=8
height=8
channels=3

[convolutional]
batch_normalize=1
filters=2
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=6
size=1
activation=linear

[region]
anchors = 1.0,2.0
classes=1
num=1
softmax=1
`;

/** A further convolution and a head on it. */
const HEAD = '[convolutional]\nfilters=6\nactivation=linear\n[region]\nanchors=1,1\nsoftmax=1\nclasses=1\n';

describe('parseCfg', () => {
  it.each([
    ['mish', 'mish'],
    ['swish', 'silu'],
    ['relu6', 'relu6'],
  ])('reads the activation %s as %s', (written, activation) => {
    const [layer] = parseCfg(tiny.replace('leaky', written)).network.layers;
    expect(layer).toMatchObject({ kind: 'convolutional', activation });
  });
  it('reads layers, shapes and anchors', () => {
    const { network, batchNormalized } = parseCfg(tiny);
    expect(network.layers.map(({ name }) => name)).toEqual(['conv1', 'pool1', 'conv2']);
    expect(inferShapes(network).get('pool1')).toEqual({ height: 4, width: 4, channels: 2 });
    expect([...batchNormalized]).toEqual(['conv1']);
    expect(network.heads).toEqual([
      { kind: 'region', input: 'conv2', classes: 1, anchors: [[1, 2]], softmax: true },
    ]);
  });

  it.each([
    ['an unknown section', tiny.replace('[maxpool]', '[lstm]'), /\[lstm\] line 14/],
    [
      'an unknown key',
      tiny.replace('pad=1', 'pad=1\nspatial=1'),
      /\[convolutional\] line 12: option "spatial"/,
    ],
    [
      'an unknown activation',
      tiny.replace('leaky', 'loggy'),
      /\[convolutional\] line 12: "activation" is "loggy"/,
    ],
    ['an even size', tiny.replace('size=3', 'size=4'), /"size" is 4/],
    ['a number that is none', tiny.replace('filters=2', 'filters=two'), /line 8: "filters" is "two"/],
    ['a fractional number', tiny.replace('filters=2', 'filters=2.5'), /"filters" is "2.5"/],
    ['a key given twice', tiny.replace('filters=2', 'filters=2\nfilters=2'), /given twice/],
    [
      'groups that do not divide',
      tiny.replace('filters=2', 'filters=2\ngroups=2'),
      /line 6: .*2 groups do not divide/,
    ],
    ['a missing width', tiny.replace('width=8', ''), /\[net\] line 1: "width" is missing/],
    [
      'a region that does not fit',
      tiny.replace('filters=6', 'filters=7'),
      /need 6 channels, the layer before it has 7/,
    ],
    ['too few anchors', tiny.replace('1.0,2.0', '1.0'), /"anchors" needs 2/],
    ['no region', tiny.slice(0, tiny.indexOf('[region]')), /last section must be a head/],
    [
      'a section after the head',
      `${tiny}\n[maxpool]\nsize=2\n`,
      /\[maxpool\] line 29: takes the head before it/,
    ],
    [
      'a route to the head',
      `${tiny}\n[route]\nlayers=-1\n`,
      /\[route\] line 30: "layers" names layer -1, which is a head/,
    ],
    [
      'a route to nowhere',
      tiny.replace('[region]', '[route]\nlayers=9\n[region]'),
      /names layer 9, which is not before/,
    ],
    [
      'maps that do not add',
      tiny.replace('[region]', '[shortcut]\nfrom=-2\n[region]'),
      /cannot add maps of 4×4×6 and 4×4×2/,
    ],
    [
      'a sum in front of a head',
      tiny.replace('[region]', '[shortcut]\nfrom=-1\n[region]'),
      /must be a \[convolutional\]/,
    ],
    [
      'a head’s layer that others take',
      `${tiny}\n[route]\nlayers=-2\n${HEAD}`,
      /takes conv2, which a head reads/,
    ],
    [
      'a member of Object',
      tiny.replace('[maxpool]', '[constructor]'),
      /\[constructor\] line 14: this kind of layer/,
    ],
    [
      'a pool before any convolution',
      tiny.replace('[convolutional]', '[maxpool]\nsize=2\n[convolutional]'),
      /before the first/,
    ],
    ['a head that is not linear', tiny.replace('linear', 'leaky'), /activation=linear/],
    [
      'a broken header',
      tiny.replace('[maxpool]', '[maxpool'),
      /line 14: "\[maxpool" is not a section header/,
    ],
    ['a line that is no option', tiny.replace('stride=2', 'stride 2'), /line 16: expected "key=value"/],
    ['an empty file', '', /no section/],
    ['text of another kind', 'hello world', /line 1/],
  ])('refuses %s, naming the place', (_, text, message) => {
    expect(() => parseCfg(text)).toThrow(
      expect.objectContaining({ code: 'CFG', message: expect.stringMatching(message) }),
    );
  });

  it('reads residual sums, routes and upsampling as darknet counts its layers', () => {
    const { network } = parseCfg(`[net]
width=16
height=16
channels=3
[convolutional]
filters=4
size=3
pad=1
activation=relu
[convolutional]
filters=4
groups=4
size=3
pad=1
activation=linear
[shortcut]
from=-2
activation=linear
[dropout]
probability=.2
[route]
layers=-1
groups=2
group_id=1
[maxpool]
size=5
stride=1
[route]
layers=-1,0
[maxpool]
size=2
[upsample]
[convolutional]
filters=14
activation=linear
[yolo]
mask=2,0
num=3
anchors=1,2, 3,4, 5,6
classes=2
scale_x_y=1.05
[route]
layers=2
[convolutional]
filters=14
activation=linear
[yolo]
num=2
anchors=7,8, 9,10
classes=2
`);
    const shapes = inferShapes(network);
    const described = network.layers.map(({ name, inputs }) => {
      const { height, channels } = shapes.get(name)!;
      return `${name}(${inputs.join()}) ${height} ${channels}`;
    });
    expect(described).toEqual([
      'conv1(image) 16 4',
      'conv2(conv1) 16 4',
      'add1(conv2,conv1) 16 4',
      'route1(add1) 16 2',
      'pool1(route1) 16 2',
      'route2(pool1,conv1) 16 6',
      'pool2(route2) 16 6',
      'upsample1(pool2) 32 6',
      'conv3(upsample1) 32 14',
      'conv4(add1) 16 14',
    ]);
    expect(network.layers.find(({ name }) => name === 'route1')).toMatchObject({
      runs: [{ input: 0, first: 2, count: 2 }],
    });
    expect(network.heads).toEqual([
      {
        kind: 'yolo',
        input: 'conv3',
        classes: 2,
        anchors: [
          [5, 6],
          [1, 2],
        ],
        scaleXY: 1.05,
      },
      {
        kind: 'yolo',
        input: 'conv4',
        classes: 2,
        anchors: [
          [7, 8],
          [9, 10],
        ],
        scaleXY: 1,
      },
    ]);
  });

  it.skipIf(!hasShared)('reads YOLOv4-tiny, whose weights have as many values as they should', () => {
    const described = parseCfg(readFileSync(`${shared}data/cfg/yolov4-tiny.cfg`, 'utf8'));
    expect(() => parseWeights(described, new Uint8Array(100))).toThrow(
      new RegExp(`needs ${16 + 4 * 6_062_814}`),
    );
    const parameters = parseWeights(described, new Uint8Array(16 + 4 * 6_062_814));
    expect(parameters.size).toBe(21);
  });

  const debian = '/usr/share/darknet/cfg/';
  it.skipIf(!existsSync(debian))('loads darknet’s own Tiny YOLOv2 networks unchanged', () => {
    const voc = parseCfg(readFileSync(`${debian}yolov2-tiny-voc.cfg`, 'utf8'));
    const coco = parseCfg(readFileSync(`${debian}yolov2-tiny.cfg`, 'utf8'));
    expect(inferShapes(voc.network).get('conv9')).toEqual({ height: 13, width: 13, channels: 125 });
    expect(inferShapes(coco.network).get('conv9')).toEqual({ height: 13, width: 13, channels: 425 });
    // the size that docs/engine.md gives for yolov2-tiny-voc.weights: 4-byte "seen" header aside, the same count
    const floats = 4 * 15_867_885;
    expect(() => parseWeights(voc, new Uint8Array(100))).toThrow(new RegExp(`needs ${floats + 16}`));
  });
});

describe('parseWeights', () => {
  const described = parseCfg(tiny);
  const count = 4 * 2 + 2 * 27 + 6 + 6 * 2;
  const file = (header: number[], headerBytes: number) => {
    const bytes = new Uint8Array(headerBytes + 4 * count);
    const view = new DataView(bytes.buffer);
    for (const [i, value] of header.entries()) view.setInt32(4 * i, value, true);
    for (let i = 0; i < count; i++) view.setFloat32(headerBytes + 4 * i, i + 1, true);
    return bytes;
  };

  it.each([
    ['4-byte seen', [0, 1, 0], 16],
    ['8-byte seen', [0, 2, 0], 20],
  ])('reads the order biases, scales, means, variances, weights with a %s', (_, header, headerBytes) => {
    const parameters = parseWeights(described, file(header, headerBytes));
    const first = parameters.get('conv1')!;
    expect([...first.bias]).toEqual([1, 2]);
    expect([...first.batchNorm!.scale]).toEqual([3, 4]);
    expect([...first.batchNorm!.variance]).toEqual([7, 8]);
    // (filter, channel, row, column) = 9 + column + 3·row + 9·channel + 27·filter becomes (filter, row, column, channel)
    expect([...first.weights.subarray(0, 6)]).toEqual([9, 18, 27, 10, 19, 28]);
    expect(parameters.get('conv2')!.batchNorm).toBeUndefined();
  });

  it('refuses truncated and oversized files, naming both counts', () => {
    const whole = file([0, 2, 0], 20);
    for (const length of [0, 1, 15, 16, 19, 20, 21, whole.length - 4, whole.length - 1]) {
      expect(() => parseWeights(described, whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'WEIGHTS', message: expect.stringContaining(`${length} bytes`) }),
      );
    }
    const longer = new Uint8Array(whole.length + 3);
    longer.set(whole);
    expect(() => parseWeights(described, longer)).toThrow(/3 bytes are left over/);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses %d among the values, naming its place',
    (value) => {
      const bytes = file([0, 2, 0], 20);
      new DataView(bytes.buffer).setFloat32(20 + 4 * 10, value, true);
      expect(() => parseWeights(described, bytes)).toThrow(/conv1 weights: value 2 \(byte 60\)/);
    },
  );
});

describe('parseNames', () => {
  it('reads one name a line and refuses another count', () => {
    expect(parseNames('cat\ndog\n', 2)).toEqual(['cat', 'dog']);
    expect(() => parseNames('cat\n', 2)).toThrow(expect.objectContaining({ code: 'NAMES' }));
    expect(() => parseNames('cat\n\ndog\n', 3)).toThrow(/line 2 is empty/);
  });
});

it('loads the small model’s files in the repository', () => {
  const described = parseCfg(readFileSync(lite.cfg, 'utf8'));
  expect(parseWeights(described, new Uint8Array(readFileSync(lite.weights))).size).toBe(7);
});

describeWithShared('YOLO-LITE', () => {
  it.each(['', '-noBatch'])('trial3%s loads unchanged', (variant) => {
    const cfg = trial3.cfg.replace('.cfg', `${variant}.cfg`);
    const described = parseCfg(readFileSync(cfg, 'utf8'));
    const weights = new Uint8Array(readFileSync(cfg.replace('.cfg', '.weights')));
    expect(parseWeights(described, weights).size).toBe(7);
  });
});
