import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { SpikingYoloError } from '../../src/errors.js';
import { decodeModel, encodeModel } from '../../src/model/model-file.js';
import { FRUGAL_ERROR, type SpikingModel } from '../../src/model/spiking-model.js';
import { root } from '../support/shared.js';

const path = `${root}models/tiny-yolo-lite-voc.safetensors`;

/** A reader written from the published layout of safetensors alone. */
function readSafetensors(file: Buffer) {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  const width: Record<string, number> = { I8: 1, I16: 2, I32: 4, F64: 8 };
  const read: Record<string, (at: number) => number> = {
    I8: (at) => file.readInt8(at),
    I16: (at) => file.readInt16LE(at),
    I32: (at) => file.readInt32LE(at),
    F64: (at) => file.readDoubleLE(at),
  };
  const tensors: Record<string, { shape: number[]; values: number[] }> = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries<{
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
  }>(header)) {
    if (name === '__metadata__') continue;
    const values: number[] = [];
    for (let at = data_offsets[0]; at < data_offsets[1]; at += width[dtype]!)
      values.push(read[dtype]!(8 + length + at));
    tensors[name] = { shape, values };
  }
  return { metadata: header.__metadata__ as Record<string, string>, tensors };
}

let file: Buffer;
let model: SpikingModel;
beforeAll(() => {
  file = readFileSync(path);
  model = decodeModel(new Uint8Array(file));
});

describe('a model file', () => {
  it('is the same wherever its bytes lie in memory', () => {
    // a Buffer's slice is a view of its pool, and tensors in it need not be aligned
    for (let offset = 0; offset < 8; offset++) {
      const pool = Buffer.alloc(file.length + 8);
      file.copy(pool, offset);
      const moved = decodeModel(pool.subarray(offset, offset + file.length));
      expect(moved.layers[1]!.lambda).toEqual(model.layers[1]!.lambda);
      expect(moved.layers[1]!.bias).toEqual(model.layers[1]!.bias);
    }
  });

  it('is read by a safetensors reader of twenty lines', () => {
    const { metadata, tensors } = readSafetensors(file);
    expect(metadata).toMatchObject({ format: 'spiking-yolo', format_version: '2', resize: 'stretch' });
    expect(JSON.parse(metadata.network!).layers).toHaveLength(12);
    for (const layer of model.layers) {
      expect(tensors[`${layer.name}.weight`]!.values).toEqual(Array.from(layer.weights));
      expect(tensors[`${layer.name}.threshold`]!.values).toEqual(Array.from(layer.threshold));
      expect(tensors[`${layer.name}.threshold_negative`]!.values).toEqual(
        Array.from(layer.negativeThreshold),
      );
      expect(tensors[`${layer.name}.lambda`]!.values).toEqual(Array.from(layer.lambda));
      expect(tensors[`${layer.name}.start_delay`]!.values).toEqual([layer.startDelay]);
    }
    expect(tensors['conv1.weight']!.shape).toEqual([16, 3, 3, 3]);
  });

  it('survives a round trip byte for byte', () => {
    const written = encodeModel(model);
    expect(Buffer.compare(encodeModel(decodeModel(written)), written)).toBe(0);
  });

  it('holds the network and how it was tuned', () => {
    const { metadata } = readSafetensors(file);
    expect(JSON.parse(metadata.network!)).toEqual(model.network);
    expect(model.network.layers).toHaveLength(12);
    expect(JSON.parse(metadata.provenance!).tuning).toEqual({ kind: 'full', steps: 16, photos: 24 });
    expect(JSON.parse(metadata.presets!)).toEqual(model.presets);
    expect(model.presets?.frugal?.error).toBeLessThanOrEqual(FRUGAL_ERROR);
  });

  it('is refused when cut at any byte', () => {
    const bytes = new Uint8Array(file);
    const headerEnd = 8 + Number(file.readBigUInt64LE(0));
    const cuts = fc.oneof(
      fc.integer({ min: 0, max: headerEnd + 64 }),
      fc.integer({ min: 0, max: bytes.length - 1 }),
    );
    fc.assert(
      fc.property(cuts, (length) => {
        expect(() => decodeModel(bytes.subarray(0, length))).toThrow(
          expect.objectContaining({ code: 'MODEL' }),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('is refused when any bit of its header is flipped', () => {
    const headerEnd = 8 + Number(file.readBigUInt64LE(0));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: headerEnd - 1 }), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const damaged = new Uint8Array(file);
        damaged[at]! ^= 1 << bit;
        let outcome: unknown;
        try {
          outcome = decodeModel(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(SpikingYoloError);
          expect(error).toMatchObject({ code: 'MODEL' });
          return;
        }
        // JSON's own white space is all that may change without a trace
        expect(outcome).toEqual(model);
      }),
      { numRuns: 400 },
    );
  });

  it.each<[string, (broken: SpikingModel) => void, RegExp]>([
    [
      'a weight beyond the bound',
      (m) => ((m.layers[1]!.weights as Int16Array)[0] = -32768),
      /layer conv2 channel 0: a weight is ±32768/,
    ],
    ['a threshold of 0', (m) => (m.layers[0]!.threshold[3] = 0), /layer conv1 channel 3: its threshold is 0/],
    [
      'a bias beyond the bound',
      (m) => (m.layers[2]!.bias[1] = 2 ** 23 + 1),
      /layer conv3 channel 1: its bias/,
    ],
    ['a sum that could overflow', (m) => m.layers[4]!.weights.fill(32639), /can reach/],
    ['a λ that is not a number', (m) => (m.layers[1]!.lambda[0] = Number.NaN), /λ is NaN/],
    ['a missing layer', (m) => m.layers.pop(), /integers for 6 layers/],
    ['a class too many', (m) => m.classes.push('unicorn'), /21 class names/],
  ])('is neither written nor loaded with %s', (_, damage, message) => {
    const broken = structuredClone(model);
    damage(broken);
    expect(() => encodeModel(broken)).toThrow(
      expect.objectContaining({ code: 'MODEL', message: expect.stringMatching(message) }),
    );
  });
});
