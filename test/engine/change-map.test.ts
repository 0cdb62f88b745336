import { afterAll, describe, expect, it } from 'vitest';
import { Detector, readPhoto } from '../../src/detector.js';
import { ChangeMap } from '../../src/engine/change-map.js';
import { type EnginePlan, firingLimits, streamPlan } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { unitConvolution } from '../support/plans.js';
import { root } from '../support/shared.js';

/** Pixels of 20 × 12, and behind them neurons of the same extent, of half and of a twelfth of it. */
function plan(): EnginePlan {
  const whole = { height: 12, width: 20, outHeight: 12, outWidth: 20 };
  const half = { height: 12, width: 20, outHeight: 6, outWidth: 10 };
  const one = { height: 6, width: 10, outHeight: 1, outWidth: 1 };
  const threshold = Int32Array.of(400);
  const layer = (name: string, input: number, shape: typeof whole, size: number) =>
    unitConvolution({
      ...shape,
      name,
      input,
      size,
      stride: size,
      weights: new Int8Array(size * size).fill(1),
      firing: firingLimits('ibt-memory', 0.5, threshold, threshold),
      startDelay: 15,
    });
  return {
    stages: [layer('whole', -1, whole, 1), layer('half', 0, half, 2), layer('one', 1, one, 6)],
    gamma: 127,
    blockLength: 16,
  };
}

describe('where a picture changed neurons', () => {
  it('counts over each cell of 8 × 8 pixels the neurons that lie over it', () => {
    const simulation = new Simulation(streamPlan(plan(), 0.5), referenceBackend);
    const map = new ChangeMap(simulation, { width: 20, height: 12 });
    const pixels = new Uint8Array(20 * 12);
    const show = () => {
      simulation.begin(pixels);
      simulation.advanceTo(16);
      return map.update();
    };
    /** The same, from copies of all counts. */
    const counted = (before: Int32Array[]) => {
      const [changed, neurons] = [new Float64Array(6), new Float64Array(6)];
      const extents = [
        [12, 20],
        [6, 10],
        [1, 1],
      ];
      for (const [stage, [height, width]] of extents.entries()) {
        const after = simulation.countsOf(stage);
        for (let row = 0; row < 2; row++) {
          for (let column = 0; column < 3; column++) {
            for (let y = 0; y < height!; y++) {
              for (let x = 0; x < width!; x++) {
                // a neuron lies over the cell that its upper left corner is in, one that is larger over all that begin in it
                const inRow = height! >= 2 ? Math.floor((y * 2) / height!) === row : true;
                const inColumn = width! >= 3 ? Math.floor((x * 3) / width!) === column : true;
                if (!inRow || !inColumn) continue;
                neurons[row * 3 + column]!++;
                if (after[y * width! + x] !== before[stage]![y * width! + x]) changed[row * 3 + column]!++;
              }
            }
          }
        }
      }
      return Uint8Array.from(changed, (sum, i) => Math.ceil((255 * sum) / neurons[i]!));
    };
    const counts = () => [0, 1, 2].map((stage) => simulation.countsOf(stage).slice());

    const nothing = [240, 60, 1].map((size) => new Int32Array(size));
    expect(show()).toMatchObject({ width: 3, height: 2, data: new Uint8Array(6) });
    pixels.fill(200);
    const first = show();
    expect(first.data).toEqual(counted(nothing));
    expect(Math.min(...first.data)).toBeGreaterThan(128);
    const before = counts();
    pixels[3 * 20 + 17] = 9;
    const moved = show();
    expect(moved.data).toEqual(counted(before));
    // the third column of the first row
    expect(moved.data[2]).toBeGreaterThan(0);
    expect(show().data).toEqual(new Uint8Array(6));
    simulation.reset();
    map.reset();
    expect(show().data).toEqual(counted(nothing));
    simulation.close();
  });
});

describe('a stream that is asked where', async () => {
  const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
  afterAll(() => detector.close());
  const { width, height, rgb } = await readPhoto(`${root}samples/cat.jpg`);

  it('shows it in the corner that changed, not far from it, and nowhere where nothing did', async () => {
    const stream = detector.stream({ changeMap: true, hold: 1 });
    const photo = { width, height, channels: 3 as const, data: rgb.slice() };
    const first = (await stream.next(photo)).changeMap!;
    expect([first.width, first.height, first.data.length]).toEqual([32, 32, 1024]);
    expect(first.data.filter((part) => part > 0).length).toBeGreaterThan(1000);
    for (let y = 0; y < 30; y++) photo.data.fill(0, y * width * 3, (y * width + 40) * 3);
    const { data } = (await stream.next(photo)).changeMap!;
    const part = (x: number, y: number) => data[y * 32 + x]!;
    expect(part(1, 1)).toBeGreaterThan(100);
    expect(part(1, 1)).toBeGreaterThan(3 * part(30, 30));
    expect((await stream.next(photo)).changeMap!.data).toEqual(new Uint8Array(1024));
    await stream.reset();
    expect((await stream.next(photo)).changeMap!.data.filter((each) => each > 0).length).toBeGreaterThan(
      1000,
    );
    await stream.close();
    const without = detector.stream();
    expect(await without.next(photo)).not.toHaveProperty('changeMap');
    await without.close();
  });
});
