import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertNetwork, DEFAULT_CONVERSION, type TrainedNetwork } from '../../src/conversion/convert.js';
import { SpikingDetector } from '../../src/detection/detector.js';
import { type DetectionSettings, DEFAULT_SETTINGS as LAYERED } from '../../src/detection/settings.js';
import type { Backend } from '../../src/engine/backend.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { loadDarknet } from '../../src/formats/darknet/load.js';
import { decodePhoto } from '../../src/image/read-photo.js';
import { resizePhoto } from '../../src/image/resize.js';
import type { SpikingModel } from '../../src/model/spiking-model.js';
import { createFloatNetwork } from '../../src/network/float-network.js';
import { best, fastBackends } from '../support/backends.js';
import { describeWithShared, shared, trial3 } from '../support/shared.js';

const DEFAULT_SETTINGS: DetectionSettings = { ...LAYERED, schedule: 'steps' };

let trained: TrainedNetwork;
let pixels: Uint8Array;
let model: SpikingModel;

const convert = (percentile: number, weightBits: 16 | 8 = 16) =>
  convertNetwork(
    trained,
    async function* () {
      yield pixels;
    },
    { ...DEFAULT_CONVERSION, percentile, weightBits, resize: 'stretch' },
    best,
  );

/** Relative L2 error of the output map after each of some step counts. */
function errors(settings: Partial<DetectionSettings>, steps: number[], of: SpikingModel): number[] {
  const [map] = createFloatNetwork(trained.network, trained.parameters, best).forward(pixels);
  const target = Float64Array.from(map!);
  const detector = new SpikingDetector(of, { ...DEFAULT_SETTINGS, ...settings, steps: steps.at(-1)! }, best);
  const norm = Math.hypot(...target);
  // one by one: the next step's maps take the place of a step's
  const result = Array.from(
    detector.readOuts(pixels, steps),
    ({ maps }) => Math.hypot(...maps('vmem')[0]!.map((v, i) => v - target[i]!)) / norm,
  );
  detector.close();
  return result;
}

describeWithShared('YOLO-LITE trial3', () => {
  beforeAll(async () => {
    trained = await loadDarknet(trial3);
    const photo = await decodePhoto(new Uint8Array(readFileSync(`${shared}data/photos/dog.jpg`)));
    pixels = resizePhoto('stretch', photo, 224, 224);
    model = await convert(99);
  });

  const checksum = (backend: Backend, settings: Partial<DetectionSettings>, of = model) => {
    const detector = new SpikingDetector(of, { ...DEFAULT_SETTINGS, ...settings }, backend);
    detector.outputMaps(pixels);
    const result = [detector.simulation.checksum(), detector.simulation.statistics()];
    detector.close();
    return result;
  };

  it('gives the reference’s spikes on every back-end (few steps)', () => {
    const expected = checksum(referenceBackend, { steps: 3 });
    for (const backend of fastBackends)
      expect(checksum(backend, { steps: 3 }), backend.isa).toEqual(expected);
  });

  it.each<[string, Partial<DetectionSettings>]>([
    ['the default', {}],
    ['the paper’s rules', { neuron: 'ibt', pool: 'gate:avg', gamma: 1, steps: 40 }],
    ['a layer-synchronous run', { schedule: 'layered' }],
    ['other rules', { neuron: 'signed', pool: 'gate:exp', gamma: 2, v0: 0.5, steps: 19 }],
  ])('gives one checksum on all fast back-ends, whatever the block length: %s', (_, settings) => {
    const [expected, ...others] = fastBackends.map((backend) => checksum(backend, settings));
    for (const other of others) expect(other).toEqual(expected);
    for (const blockLength of [1, 7]) expect(checksum(best, { ...settings, blockLength })).toEqual(expected);
  });

  it('gives one checksum with 8-bit weights', async () => {
    const narrow = await convert(99, 8);
    const [expected, ...others] = fastBackends.map((backend) => checksum(backend, {}, narrow));
    for (const other of others) expect(other).toEqual(expected);
  });

  it('tends to the float network’s output: the error halves with each doubling of T, to below 1 % at 1024', async () => {
    const calibrated = await convert(100);
    const steps = [8, 16, 32, 64, 128, 256, 512, 1024];
    const memory = errors({ neuron: 'ibt-memory', pool: 'exact' }, steps, calibrated);
    const ibt = errors({ neuron: 'ibt', pool: 'exact', gamma: 1 }, steps, calibrated);
    console.log(
      `steps       ${steps.join('  ')}\nibt-memory  ${memory.map((e) => e.toFixed(4)).join('  ')}\nibt         ${ibt.map((e) => e.toFixed(4)).join('  ')}`,
    );
    expect(memory[0]).toBeLessThan(0.5);
    expect(memory.at(-1)).toBeLessThan(0.01);
    // until the floor of the integer weights is near
    for (let i = 1; i < memory.length; i++) {
      if (memory[i - 1]! > 0.02) expect(memory[i]! / memory[i - 1]!).toBeLessThan(0.65);
    }
    expect(ibt.at(-1)).toBeGreaterThan(memory.at(-1)!);
  });

  it('is, run layer by layer, as exact as the same number of steps', () => {
    const [layered] = errors({ schedule: 'layered' }, [16], model);
    const [stepwise] = errors({ gamma: 4 }, [16], model);
    expect(layered).toBeLessThan(stepwise! * 1.25);
  });
});

describe('memory', () => {
  it('does not grow with the number of steps', async () => {
    const { decodeModel } = await import('../../src/model/model-file.js');
    const { root } = await import('../support/shared.js');
    const lite = decodeModel(new Uint8Array(readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`)));
    const detector = new SpikingDetector(lite, { ...DEFAULT_SETTINGS, steps: 400 }, best);
    const picture = new Uint8Array(256 * 256 * 3).fill(120);
    const { simulation } = detector;
    simulation.begin(picture);
    simulation.advanceTo(32);
    const before = process.memoryUsage();
    simulation.advanceTo(400);
    const after = process.memoryUsage();
    // nothing of the size of a buffer is allocated in the time loop (a block of spikes is several megabytes)
    expect(after.rss - before.rss).toBeLessThan(2e6);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1e5);
    detector.close();
  });
});
