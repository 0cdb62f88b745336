import { describe, expect, it } from 'vitest';
import { parseOnnx } from '../../../src/formats/onnx/load.js';
import { inferShapes } from '../../../src/network/shapes.js';
import { planRows } from '../../../src/tensor/rows.js';
import { type WrittenGraph, writeOnnx } from '../../support/onnx.js';
import { Builder, HEIGHT, WIDTH } from '../../support/onnx-graphs.js';
import { runGraph } from '../../support/tensor.js';

/** 2 classes; strides 2 and 4 of an image of 12×20. */
const NUMBERS = 7;
const STRIDES = [2, 4];
const ANCHORS = [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60];
const names = ['a', 'b'];

/** Raw heads of one form each; `coarseFirst` puts them out in the other order. */
function rawHeads(form: 'map' | 'grid' | 'rows', coarseFirst = false): WrittenGraph {
  const b = new Builder();
  let x = 'image';
  const outputs = STRIDES.map((stride) => {
    x = b.leaky(b.convolution(x, [8, x === 'image' ? 3 : 8, 3], { strides: [2, 2] }));
    const map = b.convolution(x, [3 * NUMBERS, 8, 1]);
    const [height, width] = [HEIGHT / stride, WIDTH / stride];
    if (form === 'map') return map;
    const cut = b.add('Reshape', [map, b.integers(1, 3, NUMBERS, height, width)]);
    const turned = b.add('Transpose', [cut], { perm: [0, 1, 3, 4, 2] });
    return form === 'grid' ? turned : b.add('Reshape', [turned, b.integers(1, 3, height * width, NUMBERS)]);
  });
  return b.graph(...(coarseFirst ? outputs.reverse() : outputs));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe('raw heads of YOLOv5', () => {
  it.each([
    ['map', false],
    ['grid', false],
    ['rows', false],
    ['map', true],
  ] as const)('as %s are decoded with their anchors (coarse first: %s)', (form, coarseFirst) => {
    const { network, resize } = parseOnnx(writeOnnx(rawHeads(form, coarseFirst)), {
      names,
      anchors: ANCHORS,
    });
    expect(network.heads).toEqual([{ kind: 'yolov5', input: expect.any(String), classes: 2 }]);
    expect(resize).toBe('letterbox:114');
    const tail = network.tail!;
    const known = inferShapes(network);
    const shapes = tail.inputs.map((name) => known.get(name)!);
    const maps = shapes.map(({ height, width, channels }, m) =>
      Float64Array.from({ length: height * width * channels }, (_, i) => Math.sin(i * 0.7 + m)),
    );
    const [table] = runGraph(tail, maps, shapes);
    const expected: number[] = [];
    for (const [level, stride] of STRIDES.entries()) {
      const m = shapes.findIndex((shape) => shape.height === HEIGHT / stride);
      const { height, width } = shapes[m]!;
      for (let anchor = 0; anchor < 3; anchor++)
        for (let row = 0; row < height; row++)
          for (let column = 0; column < width; column++) {
            const s = Array.from({ length: NUMBERS }, (_, k) =>
              sigmoid(maps[m]![(row * width + column) * 3 * NUMBERS + anchor * NUMBERS + k]!),
            );
            const at = level * 6 + anchor * 2;
            expected.push(
              (2 * s[0]! - 0.5 + column) * stride,
              (2 * s[1]! - 0.5 + row) * stride,
              (2 * s[2]!) ** 2 * ANCHORS[at]!,
              (2 * s[3]!) ** 2 * ANCHORS[at + 1]!,
              ...s.slice(4),
            );
          }
    }
    expect(table!.dims).toEqual([1, expected.length / NUMBERS, NUMBERS]);
    for (const [i, value] of expected.entries()) expect(table!.values[i]).toBeCloseTo(value, 10);
    const dims = shapes.map(({ height, width, channels }) => [1, channels, height, width]);
    expect(planRows(tail, dims, 1)).toBeDefined();
  });

  it('need anchors that fit, and say which', () => {
    const file = writeOnnx(rawHeads('map'));
    const tried = (options: object) => () => parseOnnx(file, { names, ...options });
    expect(tried({})).toThrow(/2 outputs; .*raw heads of YOLOv5: give their anchors with --anchors/);
    expect(tried({ anchors: ANCHORS.slice(2) })).toThrow(/--anchors has 10 numbers; expected 12 above 0/);
    expect(tried({ anchors: ANCHORS.map((extent) => -extent) })).toThrow(/expected 12 above 0/);
    expect(tried({ anchors: ANCHORS, names: ['a'] })).toThrow(
      /an output is 1×21×6×10; a raw head of 1 classes is 1×18×rows×columns/,
    );
    expect(tried({ anchors: ANCHORS, head: 'yolov8' })).toThrow(/raw heads of yolov5, not of yolov8/);
  });
});
