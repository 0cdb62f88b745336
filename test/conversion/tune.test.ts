import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ActivationFile } from '../../src/conversion/activation-file.js';
import { ActivationMemory, type StoredMap } from '../../src/conversion/activation-store.js';
import {
  type ConversionListener,
  type ConversionOptions,
  type ConversionState,
  convertNetwork,
  DEFAULT_CONVERSION,
  type TrainedNetwork,
} from '../../src/conversion/convert.js';
import { dequantise } from '../../src/conversion/quantise.js';
import { heldOutPhotos, tuningPhotos } from '../../src/conversion/tune.js';
import { SpikingDetector } from '../../src/detection/detector.js';
import { DEFAULT_SETTINGS } from '../../src/detection/settings.js';
import { planEngine } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { importGraph, networkOf } from '../../src/formats/onnx/import.js';
import { readOnnx } from '../../src/formats/onnx/proto.js';
import { decodeModel, encodeModel } from '../../src/model/model-file.js';
import type { SpikingModel } from '../../src/model/spiking-model.js';
import { createFloatNetwork } from '../../src/network/float-network.js';
import { IMAGE } from '../../src/network/network.js';
import { fastBackends } from '../support/backends.js';
import { randomLists, writeOnnx } from '../support/onnx.js';
import { Builder, HEIGHT, WIDTH } from '../support/onnx-graphs.js';

/** A network with every kind of layer: shuffled and concatenated channels, sums, pools, upsampling, curves, an island. */
function everyKind(): TrainedNetwork {
  const b = new Builder();
  const stem = b.leaky(b.convolution('image', [16, 3, 3], { strides: [2, 2] }));
  const pooled = b.add('MaxPool', [stem], { kernel_shape: [2, 2], strides: [2, 2] });
  const curved = b.convolution(pooled, [16, 1, 3], { group: 16 });
  const silu = b.add('Mul', [curved, b.add('Sigmoid', [curved])]);
  const sum = b.add('Relu', [b.add('Add', [pooled, silu])]);
  // one map twice
  const twice = b.add('Relu', [b.add('Add', [sum, sum])]);
  const joined = b.add('Concat', [pooled, twice], { axis: 1 });
  const grouped = b.add('Reshape', [joined, b.integers(1, 2, 16, 3, 5)]);
  const shuffled = b.add('Reshape', [
    b.add('Transpose', [grouped], { perm: [0, 2, 1, 3, 4] }),
    b.integers(1, 32, 3, 5),
  ]);
  const mixed = b.leaky(b.convolution(shuffled, [16, 32, 1]));
  const gate = b.add('Sigmoid', [b.convolution(b.add('GlobalAveragePool', [mixed]), [16, 16, 1])]);
  const gated = b.add('Mul', [mixed, gate]);
  const scales = b.constant([4], [1, 1, 2, 2]);
  const none = b.constant([0], []);
  const near = b.add('Resize', [gated, none, scales]);
  b.nodes.at(-1)!.attributes = {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  };
  const fine = b.leaky(b.convolution(near, [12, 16, 3]));
  const graph = b.graph(b.convolution(fine, [6, 12, 1]));
  const imported = importGraph(readOnnx(writeOnnx({ ...graph, opset: 11 })));
  const { input, layers } = networkOf(imported);
  const head = {
    kind: 'region',
    classes: 1,
    softmax: true,
    anchors: [[1, 1]] as [number, number][],
  } as const;
  return {
    network: { input, layers, heads: [{ ...head, input: imported.tail.inputs[0]! }] },
    parameters: imported.parameters,
    classes: ['a'],
    cfgSha256: '',
    weightsSha256: '',
  };
}

const trained = everyKind();

const picture = (seed: number) =>
  Uint8Array.from(randomLists(seed)(HEIGHT * WIDTH * 3, 127.9), (value) => value + 128);
const PHOTOS = Array.from({ length: 12 }, (_, i) => picture(i + 1));
async function* photos() {
  yield* PHOTOS;
}
async function* tooFew() {
  yield* PHOTOS.slice(0, 7);
}

const options: ConversionOptions = { ...DEFAULT_CONVERSION, weightBits: 8 };
const convert = (
  listener: ConversionListener = {},
  given: Partial<ConversionOptions> = {},
  backend = fastBackends[0]!,
) => convertNetwork(trained, photos, { ...options, ...given }, backend, listener);

/** Relative error of the output over photos that no model was made with. */
function errorOf(model: SpikingModel): number {
  const float = createFloatNetwork(trained.network, trained.parameters, fastBackends[0]!);
  const detector = new SpikingDetector(model, DEFAULT_SETTINGS, fastBackends[0]!);
  let [error, norm] = [0, 0];
  for (let seed = 100; seed < 110; seed++) {
    const pixels = picture(seed);
    const [target] = float.forward(pixels);
    const [map] = detector.outputMaps(pixels);
    for (const [i, value] of target!.entries()) {
      error += (map![i]! - value) ** 2;
      norm += value ** 2;
    }
  }
  detector.close();
  return Math.sqrt(error / norm);
}

/** Remembers what was written under `NAME:counts`. */
class Spy extends ActivationMemory {
  readonly sent = new Map<string, StoredMap[]>();

  override write(key: string, photo: number, map: StoredMap): void {
    super.write(key, photo, map);
    if (!key.endsWith(':counts')) return;
    const name = key.slice(0, -':counts'.length);
    this.sent.set(name, [...(this.sent.get(name) ?? []), map.slice()]);
  }
}

describe('tuning', () => {
  it('is of photos evenly spread, those held out left alone', () => {
    for (const all of [8, 9, 31, 71, 1000]) {
      const [held, tuned] = [heldOutPhotos(all), tuningPhotos(all)];
      expect(held.length).toBe(Math.min(8, Math.floor(all / 4)));
      expect(tuned.length).toBe(Math.min(24, all - held.length));
      expect(new Set([...held, ...tuned]).size).toBe(held.length + tuned.length);
      for (const place of [...held, ...tuned]) expect(place >= 0 && place < all).toBe(true);
    }
  });

  it('hears in each layer the counts that the finished model sends', async () => {
    const spy = new Spy();
    const model = await convert({ store: spy });
    const kinds = new Set(trained.network.layers.map(({ kind }) => kind));
    expect(kinds).toEqual(new Set(['convolutional', 'maxpool', 'add', 'wiring', 'island', 'upsample']));
    const tuned = tuningPhotos(PHOTOS.length);
    expect(spy.sent.get(IMAGE)).toEqual(tuned.map((place) => PHOTOS[place]));
    const plan = planEngine(model, DEFAULT_SETTINGS);
    const simulation = new Simulation(plan, referenceBackend);
    let compared = 0;
    for (const [photo, place] of tuned.entries()) {
      simulation.begin(PHOTOS[place]!);
      simulation.advanceTo(DEFAULT_SETTINGS.steps);
      for (const layer of trained.network.layers) {
        const sent = spy.sent.get(layer.name);
        const stage = plan.stages.find(({ name }) => name === layer.name);
        if (!sent || (stage?.kind !== 'convolution' && stage?.kind !== 'island')) continue;
        expect([...sent[photo]!], layer.name).toEqual([...simulation.state(layer.name).counts]);
        compared++;
      }
    }
    simulation.close();
    expect(compared).toBe(tuned.length * 7);
  });

  it('makes the error of photos that it did not see smaller', async () => {
    const [none, bias, full] = [
      errorOf(await convert({}, { tune: 'none' })),
      errorOf(await convert({}, { tune: 'bias' })),
      errorOf(await convert()),
    ];
    // noise has no mean that biases could take away; pictures have
    expect(bias).toBeLessThan(1.1 * none);
    expect(full).toBeLessThan(0.7 * Math.min(none, bias));
  });

  it('gives the same file on every back-end', async () => {
    const [expected, ...others] = await Promise.all(
      [referenceBackend, ...fastBackends].map(async (backend) => encodeModel(await convert({}, {}, backend))),
    );
    for (const other of others) expect(other).toEqual(expected);
  });

  it('is said in the file, with what was added to the biases, which the float network is without', async () => {
    const model = decodeModel(encodeModel(await convert()));
    expect(model.provenance.tuning).toEqual({ kind: 'full', steps: 16, photos: 9 });
    expect(model.presets?.frugal).toMatchObject({ coding: 'phase', photos: 3 });
    const float = dequantise(trained.network, model.layers);
    for (const [name, { bias }] of trained.parameters) {
      const { lambda } = model.layers.find((layer) => layer.name === name)!;
      for (const [j, value] of bias.entries())
        expect(Math.abs(float.get(name)!.bias[j]! - value)).toBeLessThan(0.02 * lambda[j]!);
    }
    expect(model.layers.some(({ correction }) => correction!.some((value) => value !== 0))).toBe(true);
  });

  it.each<[string, Partial<ConversionOptions>]>([
    ['none', { tune: 'none' }],
    ['by the preset paper', { preset: 'paper', weightBits: 16 }],
    ['λ that is not of channels', { norm: 'layer' }],
  ])('leaves alone what it is told to: %s', async (_, given) => {
    const model = await convert({}, given);
    expect(model.provenance.tuning).toBeUndefined();
    expect(model.presets).toBeUndefined();
    expect(model.layers.every(({ correction }) => correction === undefined)).toBe(true);
  });

  it('takes 8 photos at least', async () => {
    const model = await convertNetwork(trained, tooFew, options, fastBackends[0]!);
    expect(model.provenance.tuning).toBeUndefined();
  });

  it('goes on from what it had found, to the same file', async () => {
    const states: ConversionState[] = [];
    const whole = await convert({
      onState: ({ lambdas, tuned, photoCount }) =>
        states.push({ lambdas: new Map(lambdas), tuned: new Map(tuned), photoCount }),
    });
    // calibrated, then one after each layer of neurons
    expect(states.length).toBe(1 + whole.layers.length);
    for (const state of [states[0]!, states[4]!, states.at(-1)!]) {
      const again: string[] = [];
      const onState = ({ tuned }: ConversionState) => again.push([...tuned.keys()].at(-1) ?? '');
      const onPhoto = vi.fn();
      expect(encodeModel(await convert({ state, onState, onPhoto }))).toEqual(encodeModel(whole));
      expect(onPhoto).not.toHaveBeenCalled();
      expect(again.length).toBe(1 + whole.layers.length - state.tuned.size);
    }
  });

  it('forgets the maps that no layer needs any more', async () => {
    class Counting extends ActivationMemory {
      private readonly held = new Set<string>();
      most = 0;
      override write(key: string, photo: number, map: StoredMap) {
        super.write(key, photo, map);
        this.held.add(key);
        this.most = Math.max(this.most, this.held.size);
      }
      override free(key: string) {
        super.free(key);
        this.held.delete(key);
      }
      override close() {
        super.close();
        expect(this.held.size).toBe(0);
      }
    }
    const store = new Counting();
    await convert({ store });
    // a layer's floats and counts, and those that it and later ones hear
    expect(store.most).toBeLessThanOrEqual(8);
  });
});

describe('an odd option', () => {
  it('of none is the default; a wrong one is refused; a store is closed whatever happens', async () => {
    const { tune: _, ...without } = options;
    const model = await convertNetwork(trained, photos, without as ConversionOptions, fastBackends[0]!);
    expect(model.provenance.tuning?.kind).toBe('full');
    await expect(convert({}, { tune: 'much' as never })).rejects.toThrow(/tune is "much"/);
    const store = new ActivationMemory();
    const close = vi.spyOn(store, 'close');
    // biome-ignore lint/correctness/useYield: it fails at once
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw new Error('unreadable');
    }
    await expect(convertNetwork(trained, broken, options, fastBackends[0]!, { store })).rejects.toThrow(
      'unreadable',
    );
    expect(close).toHaveBeenCalledTimes(1);
  });
});

describe('a temporary file of activations', () => {
  const folder = mkdtempSync(join(tmpdir(), 'activations-'));
  const stores: ActivationFile[] = [];
  const open = (where = folder) => {
    const store = new ActivationFile(where);
    stores.push(store);
    return store;
  };
  afterEach(() => {
    for (const store of stores.splice(0)) store.close();
  });

  it('gives back what it was given, and uses freed parts again', () => {
    const store = open();
    const value = (key: number, photo: number) => Float32Array.of(key, photo, key * photo, 0.5);
    for (let key = 0; key < 200; key++) {
      for (let photo = 0; photo < 3; photo++) store.write(`k${key}`, photo, value(key, photo));
      store.write(`c${key}`, 0, Int8Array.of(-127, key % 100));
      for (let photo = 0; photo < 3; photo++)
        expect(store.read(`k${key}`, photo, new Float32Array(4))).toEqual(value(key, photo));
      if (key >= 2) {
        expect(store.read(`c${key - 2}`, 0, new Int8Array(2))).toEqual(Int8Array.of(-127, (key - 2) % 100));
        store.free(`k${key - 2}`);
        store.free(`c${key - 2}`);
      }
    }
    // three keys at a time, some holes between them
    expect(store.size).toBeLessThan(5 * 50);
  });

  it('writes a map again in its place', () => {
    const store = open();
    store.write('a', 0, Float32Array.of(1, 2));
    store.write('a', 0, Float32Array.of(3, 4));
    expect([store.read('a', 0, new Float32Array(2))[1], store.size]).toEqual([4, 8]);
  });

  it('joins freed parts that lie side by side', () => {
    const store = open();
    for (const key of ['a', 'b', 'c']) store.write(key, 0, new Float32Array(10));
    for (const key of ['b', 'a']) store.free(key);
    store.write('d', 0, new Float32Array(20));
    expect(store.size).toBe(3 * 40);
  });

  it('refuses a map of another size in its place', () => {
    const store = open();
    store.write('a', 0, Float32Array.of(1, 2));
    expect(() => store.write('a', 0, Float32Array.of(1, 2, 3))).toThrow(/another size/);
  });

  it('leaves nothing behind', () => {
    const store = open();
    store.write('a', 0, new Float32Array(100));
    expect(readdirSync(folder)).toEqual([]);
    stores.pop();
    store.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says where it cannot be', () => {
    expect(() => open(join(folder, 'nowhere'))).toThrow(/no temporary file can be made/);
  });

  it.skipIf(!existsSync('/dev/shm'))('gives the same model as memory', async () => {
    const inMemory = encodeModel(await convert());
    expect(encodeModel(await convert({ store: new ActivationFile(folder) }))).toEqual(inMemory);
  });
});
