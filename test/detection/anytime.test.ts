import { afterAll, describe, expect, it } from 'vitest';
import { Settling } from '../../src/detection/settling.js';
import { Detector } from '../../src/detector.js';
import type { Detection } from '../../src/heads/nms.js';
import { root } from '../support/shared.js';

const box = (x1: number, score = 0.6, classId = 7): Detection => ({
  class: classId === 7 ? 'cat' : 'dog',
  classId,
  score,
  box: { x1, y1: 0, x2: x1 + 100, y2: 100 },
});

describe('boxes have settled', () => {
  const settledAt = (...readOuts: Detection[][]) => {
    const settling = new Settling(16);
    const at = readOuts.findIndex((boxes, i) => settling.observe(2 * (i + 1), boxes));
    return at < 0 ? undefined : 2 * (at + 1);
  };

  it('when three read-outs in a row agree', () => {
    expect(settledAt([box(0)], [box(5)], [box(10)])).toBe(6);
    expect(settledAt([], [box(0)], [box(0)], [box(0)])).toBe(8);
    expect(
      settledAt([box(0), box(200, 0.6, 11)], [box(200, 0.6, 11), box(0)], [box(0), box(200, 0.6, 11)]),
    ).toBe(6);
  });

  it('not while one comes, goes, moves, changes its class or its score', () => {
    expect(settledAt([box(0)], [box(0)], [])).toBeUndefined();
    expect(settledAt([box(0)], [box(0)], [box(0), box(300)])).toBeUndefined();
    expect(settledAt([box(0)], [box(20)], [box(40)])).toBeUndefined();
    expect(settledAt([box(0)], [box(0, 0.6, 11)], [box(0)])).toBeUndefined();
    expect(settledAt([box(0, 0.4)], [box(0, 0.55)], [box(0, 0.7)])).toBeUndefined();
    // two boxes may not both be the one before
    expect(settledAt([box(0), box(300)], [box(0), box(1)], [box(0), box(1)])).toBeUndefined();
  });

  it('with none of them from half of the steps on only', () => {
    expect(settledAt([], [], [], [], [])).toBe(8);
  });
});

describe('a run step by step', async () => {
  const cat = `${root}samples/cat.jpg`;
  const model = 'tiny-yolo-lite-voc';
  const plain = await Detector.load({ model, schedule: 'steps' });
  const stable = await Detector.load({ model, untilStable: true, checksum: true });
  afterAll(async () => {
    await plain.close();
    await stable.close();
  });

  it('gives boxes as steps pass, the last those of detect', async () => {
    const seen: number[] = [];
    let last: Detection[] = [];
    for await (const { step, detections } of plain.steps(cat, 5)) {
      seen.push(step);
      last = detections;
    }
    expect(seen).toEqual([5, 10, 15, 16]);
    expect(last).toEqual((await plain.detect(cat)).detections);
    for await (const { step } of plain.steps(cat)) if (step === 3) break;
    expect((await plain.detect(cat)).detections).toEqual(last);
  });

  it('is of one photo at a time', async () => {
    const boxes = plain.steps(cat, 2);
    await boxes.next();
    await plain.detect(`${root}samples/astronaut.jpg`);
    await expect(boxes.next()).rejects.toThrow(/begun another photo/);
  });

  it('ends when its boxes have settled, with what that many steps find', async () => {
    const early = await stable.detect(cat);
    expect(early).toMatchObject({ settled: true, schedule: 'steps' });
    expect(early.ann).toBeUndefined();
    if (early.ann) return;
    expect(early.steps).toBeGreaterThanOrEqual(6);
    expect(early.steps).toBeLessThan(16);
    const same = await Detector.load({ model, schedule: 'steps', steps: early.steps, checksum: true });
    const whole = await same.detect(cat);
    expect(whole).toMatchObject({ spikeChecksum: early.spikeChecksum!, detections: early.detections });
    expect(whole.ann ?? whole.spikes).toBe(early.spikes);
    await same.close();
  });

  it('ends when the time is up, after one read-out at the least', async () => {
    const hurried = await Detector.load({ model, budgetMs: 1e-6 });
    expect(await hurried.detect(cat)).toMatchObject({ steps: 2, settled: false });
    await hurried.close();
    const patient = await Detector.load({ model, budgetMs: 1e9 });
    expect(await patient.detect(cat)).toMatchObject({ steps: 16 });
    await patient.close();
  });

  it('refuses what has no steps', async () => {
    await expect(Detector.load({ model, untilStable: true, schedule: 'layered' })).rejects.toThrow(
      /cannot end early/,
    );
    await expect(Detector.load({ model, budgetMs: 0 })).rejects.toThrow(/budgetMs is 0/);
    await expect(Detector.load({ model, ann: true, untilStable: true })).rejects.toThrow(/no such choice/);
    const layered = await Detector.load({ model });
    await expect(layered.steps(cat).next()).rejects.toThrow(/step by step/);
    await expect(plain.steps(cat, 0).next()).rejects.toThrow(/every is 0/);
    await layered.close();
  });
});
