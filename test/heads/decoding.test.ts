import { describe, expect, it } from 'vitest';
import { checkReadoutDelay, decodePotential } from '../../src/decoding/readout.js';
import { detectionsOf } from '../../src/heads/detections.js';
import { type Detection, intersectionOverUnion, suppress } from '../../src/heads/nms.js';
import { decodeRegion } from '../../src/heads/region.js';
import { decodeYolo } from '../../src/heads/yolo.js';
import { placementOf } from '../../src/image/resize.js';
import type { RegionHead, YoloHead } from '../../src/network/network.js';

const region: RegionHead = { kind: 'region', input: 'c', classes: 2, anchors: [[1, 2]], softmax: true };
const shape = { height: 1, width: 2, channels: 7 };
// the second cell: x, y, w, h, objectness, two classes
const map = [0, 0, 0, 0, -20, 0, 0, 0, Math.log(3), Math.log(0.5), 0, 2, Math.log(3), 0];

const network = { input: { height: 32, width: 64, channels: 3 } };
const heads = [{ head: region, shape, output: 0 }];

describe('decodeRegion', () => {
  it('applies logistic, exp and softmax where YOLOv2 does', () => {
    const [candidate, ...others] = decodeRegion(region, shape, map, 0.1);
    expect(others).toEqual([]);
    const objectness = 1 / (1 + Math.exp(-2));
    expect(candidate!.x).toBeCloseTo((1 + 0.5) / 2, 12);
    expect(candidate!.y).toBeCloseTo(0.75, 12);
    expect(candidate!.width).toBeCloseTo(0.5 / 2, 12);
    expect(candidate!.height).toBeCloseTo(2, 12);
    expect([...candidate!.scores].map((s) => s / objectness)).toEqual([
      expect.closeTo(0.75, 12),
      expect.closeTo(0.25, 12),
    ]);
  });

  it('takes each class for itself where there is no softmax', () => {
    const [candidate] = decodeRegion({ ...region, softmax: false }, shape, map, 0.1);
    expect([...candidate!.scores].map((score) => score / candidate!.objectness)).toEqual([
      expect.closeTo(0.75, 12),
      expect.closeTo(0.5, 12),
    ]);
  });
});

describe('decodeYolo', () => {
  const yolo: YoloHead = { kind: 'yolo', input: 'c', classes: 2, anchors: [[8, 16]], scaleXY: 1.2 };

  it('applies logistic everywhere, spreads centres, and takes anchors in pixels', () => {
    const [candidate, ...others] = decodeYolo(yolo, shape, map, 0.1, { width: 64, height: 32 });
    expect(others).toEqual([]);
    const objectness = 1 / (1 + Math.exp(-2));
    // σ(0)·1.2 − .1 is .5; σ(ln 3) = .75 spreads to .8
    const spread = (t: number) => (1 / (1 + Math.exp(-t))) * 1.2 - 0.1;
    expect(candidate!.x).toBeCloseTo((1 + spread(0)) / 2, 12);
    expect(candidate!.y).toBeCloseTo(spread(Math.log(3)), 12);
    expect(candidate!.width).toBeCloseTo((0.5 * 8) / 64, 12);
    expect(candidate!.height).toBeCloseTo(16 / 32, 12);
    expect([...candidate!.scores].map((score) => score / objectness)).toEqual([
      expect.closeTo(0.75, 12),
      expect.closeTo(0.5, 12),
    ]);
  });

  it('reports a cell’s best class alone, or all of them to evaluate', () => {
    const place = placementOf('stretch', 200, 100, 64, 32);
    const options = { conf: 0.1, iou: 0.45, maxDet: 10 };
    const found = (allClasses: boolean, classIds?: number[]) =>
      detectionsOf(network, [{ head: yolo, shape, output: 0 }], [map], ['a', 'b'], place, {
        ...options,
        allClasses,
        classIds,
      }).map((detection) => detection.class);
    expect(found(false)).toEqual(['a']);
    expect(found(true)).toEqual(['a', 'b']);
    // the best class is not among those asked for
    expect(found(false, [1])).toEqual([]);
  });

  it('lets boxes of several heads compete', () => {
    const place = placementOf('stretch', 200, 100, 64, 32);
    const two = [0, 1].map((output) => ({ head: yolo, shape, output }));
    const options = { conf: 0.1, iou: 0.45, maxDet: 10 };
    expect(detectionsOf(network, two, [map, map], ['a', 'b'], place, options)).toHaveLength(1);
  });
});

describe('detectionsOf', () => {
  it('brings boxes back to the photo’s pixels, from stretch and letterbox, and cuts them at its border', () => {
    const options = { conf: 0.5, iou: 0.45, maxDet: 10 };
    const [stretched] = detectionsOf(
      network,
      heads,
      [map],
      ['a', 'b'],
      placementOf('stretch', 200, 100, 64, 32),
      options,
    );
    expect(stretched).toMatchObject({ class: 'a', classId: 0, box: { x1: 125, y1: 0, x2: 175, y2: 100 } });
    const [boxed] = detectionsOf(
      network,
      heads,
      [map],
      ['a', 'b'],
      placementOf('letterbox', 100, 100, 64, 32),
      options,
    );
    // 32×32 pixels in the middle of 64×32: x = 48 of 64 lies at (48 − 16) / 32 of the photo
    expect(boxed!.box.x1).toBeCloseTo(((40 - 16) / 32) * 100, 9);
    expect(boxed!.box.x2).toBeCloseTo(100, 9);
  });

  it('reports only the classes asked for', () => {
    const place = placementOf('stretch', 200, 100, 64, 32);
    const options = { conf: 0.1, iou: 0.45, maxDet: 10 };
    expect(detectionsOf(network, heads, [map], ['a', 'b'], place, options).map((d) => d.class)).toEqual([
      'a',
      'b',
    ]);
    expect(
      detectionsOf(network, heads, [map], ['a', 'b'], place, { ...options, classIds: [1] }).map(
        (d) => d.class,
      ),
    ).toEqual(['b']);
  });
});

describe('suppress', () => {
  const at = (x: number, score: number, classId = 0): Detection => ({
    class: 'c',
    classId,
    score,
    box: { x1: x, y1: 0, x2: x + 10, y2: 10 },
  });

  it('keeps the best of boxes that overlap within a class, and both across classes', () => {
    expect(
      suppress([at(0, 0.5), at(1, 0.9), at(2, 0.4, 1), at(30, 0.3)], 0.45, 10).map((d) => d.score),
    ).toEqual([0.9, 0.4, 0.3]);
  });

  it('counts overlap against kept boxes only, strictly above the limit', () => {
    // 0–10 and 5–15 overlap by 1/3
    expect(intersectionOverUnion(at(0, 1).box, at(5, 1).box)).toBeCloseTo(1 / 3, 12);
    expect(suppress([at(0, 0.9), at(5, 0.8)], 1 / 3, 10)).toHaveLength(2);
    expect(suppress([at(0, 0.9), at(5, 0.8)], 0.33, 10)).toHaveLength(1);
    expect(suppress([at(0, 0.9), at(5, 0.8), at(10, 0.7)], 0.3, 10).map((d) => d.score)).toEqual([0.9, 0.7]);
  });

  it('stops at the limit', () => {
    expect(suppress([at(0, 0.1), at(20, 0.2), at(40, 0.3)], 0.5, 2).map((d) => d.score)).toEqual([0.3, 0.2]);
  });
});

describe('decodePotential', () => {
  const theta = Int32Array.of(100, 50);
  const lambda = Float64Array.of(2, 4);

  it('reads vmem exactly and count in whole spikes toward zero', () => {
    const v = Float64Array.of(1050, -330);
    expect([...decodePotential('vmem', v, undefined, 10, theta, lambda)]).toEqual([
      expect.closeTo(2.1, 12),
      expect.closeTo(-2.64, 12),
    ]);
    expect([...decodePotential('count', v, undefined, 10, theta, lambda)]).toEqual([
      2,
      expect.closeTo(-2.4, 12),
    ]);
  });

  it('leaves out what came before the read-out delay', () => {
    const [first] = decodePotential(
      'vmem',
      Float64Array.of(1050, 0),
      Float64Array.of(50, 0),
      5,
      theta,
      lambda,
    );
    expect(first).toBeCloseTo((1000 / (5 * 100)) * 2, 12);
  });
});

describe('checkReadoutDelay', () => {
  it('allows 0, or more than every start delay', () => {
    expect(() => checkReadoutDelay(0, 16, [3])).not.toThrow();
    expect(() => checkReadoutDelay(4, 16, [3])).not.toThrow();
    for (const delay of [1, 3, 16, -1, 2.5])
      expect(() => checkReadoutDelay(delay, 16, [3])).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
