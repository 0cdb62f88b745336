import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadNative } from '../src/backend/native.js';
import { selfTest } from '../src/backend/self-test.js';
import type { Backend } from '../src/engine/backend.js';
import { referenceBackend } from '../src/engine/reference.js';
import { fastBackends } from './support/backends.js';
import { randomCase } from './support/plans.js';

const withoutNative = process.env.SPIKING_YOLO_TEST_WITHOUT_NATIVE === '1';

describe('self-test', () => {
  it('has the definition’s answers written down', () => {
    expect(selfTest(referenceBackend)).toBeUndefined();
  });

  it('passes on every back-end', () => {
    for (const backend of fastBackends) expect(selfTest(backend)).toBeUndefined();
  });

  it('finds a back-end that computes something else', () => {
    const wrong: Backend = {
      ...referenceBackend,
      instantiate(plan) {
        const [first, ...rest] = plan.stages;
        if (first!.kind !== 'convolution') throw new Error('unexpected plan');
        return referenceBackend.instantiate({
          ...plan,
          stages: [{ ...first!, bias: first!.bias.map((b) => b + 1) }, ...rest],
        });
      },
    };
    expect(selfTest(wrong)).toMatch(/the definition gives/);
  });
});

describe.skipIf(withoutNative)('the native addon', () => {
  it('runs the instruction set that was asked for, and refuses what is not there', () => {
    const { instructionSets } = loadNative();
    for (const { name, supported } of instructionSets) {
      if (supported) expect(loadNative(name).backend.isa).toBe(name);
      else expect(() => loadNative(name)).toThrow(expect.objectContaining({ code: 'BACKEND' }));
    }
    expect(() => loadNative('mmx')).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(/"mmx"/) }),
    );
  });

  const addon = () => createRequire(import.meta.url)(loadNative().path);

  it('survives any argument', () => {
    const { Engine, FloatEngine, instructionSets } = addon();
    const anything = fc.anything({
      withTypedArray: true,
      withBigInt: true,
      withDate: true,
      withSparseArray: true,
    });
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 4 }), (args) => {
        for (const call of [
          () => new Engine(...args),
          () => new FloatEngine(...args),
          () => instructionSets(...args),
        ]) {
          try {
            call();
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('survives a plan of which any one field is anything', () => {
    const { Engine } = addon();
    const isa = loadNative().backend.isa;
    const value = fc.oneof(
      fc.constantFrom(
        undefined,
        null,
        -1,
        0,
        1,
        3,
        64,
        65,
        8192,
        1e9,
        2 ** 31,
        Number.NaN,
        0.5,
        '',
        'pool',
        'convolution',
        'exact',
      ),
      fc.constantFrom(
        new Int8Array(9),
        new Int16Array(9),
        new Int32Array(3),
        new Float32Array(1),
        new Uint8Array(2 ** 16),
        [],
        {},
      ),
      fc.anything(),
    );
    fc.assert(
      fc.property(
        randomCase,
        fc.nat(),
        fc.nat(),
        value,
        fc.array(fc.tuple(value, value, value), { maxLength: 4 }),
        (random, at, field, junk, calls) => {
          const stages = random.plan.stages.map((stage) => ({ ...stage })) as Record<string, unknown>[];
          const stage = stages[at % stages.length]!;
          const keys = Object.keys(stage);
          stage[keys[field % keys.length]!] = junk;
          let engine: Record<string, (...args: unknown[]) => unknown>;
          try {
            engine = new Engine({ ...random.plan, stages }, isa, 2);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            return;
          }
          const matrix = new Float64Array(4);
          const attempts = [
            () => engine.run(0, 0, 1),
            () => engine.begin(random.pixels),
            ...calls.flatMap((args) => [
              () => engine.run(...args),
              () => engine.state(args[0]),
              () => engine.statistics(args[0]),
              () => engine.begin(args[0]),
              () => engine.outputPotential(args[0], args[1]),
              () => engine.outputPotential(args[0], new Float64Array(4)),
              () => engine.outputPotential(args[0], new Float64Array(4), args[1]),
              () => engine.outputPotential(args[0], new Float64Array(4), new Float64Array(1)),
              () => engine.counts(args[0], args[1]),
              () => engine.counts(args[0], new Int32Array(4)),
              () => engine.emit(args[0], args[1]),
              () => engine.multiply(...args, ...args, ...args),
              () => engine.multiply(matrix, args[0], matrix, args[1], matrix, args[2], 2, 2, 2),
              () => engine.multiply(matrix, 0, matrix, 0, matrix, 0, ...args),
              () => engine.emit(args[0], new Int32Array(4)),
            ]),
            () => engine.close(),
            () => engine.run(0, 0, 1),
            () => engine.outputPotential(random.plan.stages.length - 1, new Float64Array(1)),
            () => engine.multiply(matrix, 0, matrix, 0, matrix, 0, 1, 1, 1),
          ];
          for (const attempt of attempts) {
            try {
              attempt();
            } catch (error) {
              expect(error).toBeInstanceOf(Error);
            }
          }
        },
      ),
      { numRuns: 600 },
    );
  });

  it('survives getters that free or shrink arrays while a plan is read', () => {
    const { Engine } = addon();
    const isa = loadNative().backend.isa;
    const filters = 4096;
    for (const shrink of [
      (weights: Int16Array) => structuredClone(weights, { transfer: [weights.buffer as ArrayBuffer] }),
      (weights: Int16Array) => (weights.buffer as ArrayBuffer & { resize(size: number): void }).resize(0),
    ]) {
      const buffer = new (ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer)(
        filters * 27 * 2,
        {
          maxByteLength: filters * 27 * 2,
        },
      );
      const weights = new Int16Array(buffer);
      const stage = {
        kind: 'convolution',
        input: -1,
        height: 1,
        width: 1,
        channels: 3,
        outHeight: 1,
        outWidth: 1,
        filters,
        size: 3,
        stride: 1,
        padding: 1,
        weights,
        firing: new Int32Array(8 * filters).fill(1),
        startPotential: new Int32Array(filters),
        startDelay: 0,
        fires: true,
        channelwise: false,
        reach: filters,
        get bias() {
          shrink(weights);
          return new Int32Array(filters);
        },
      };
      expect(() => new Engine({ stages: [stage], gamma: 1, blockLength: 1 }, isa, 1)).toThrow(/weights/);
    }
  });

  it('refuses steps out of order and buffers of another size', () => {
    const { Engine, FloatEngine } = addon();
    const isa = loadNative().backend.isa;
    const [random] = fc.sample(
      randomCase.filter(({ plan }) =>
        plan.stages.every((s) => s.kind !== 'convolution' || s.startDelay === 0),
      ),
      1,
    );
    const engine = new Engine(random!.plan, isa, 1);
    expect(() => engine.run(0, 0, 1)).toThrow(/begin must be called/);
    expect(() => engine.begin(new Uint8Array(1))).toThrow(/expected/);
    engine.begin(random!.pixels);
    expect(() => engine.run(0, 1, 1)).toThrow(/in order/);
    expect(() => engine.run(random!.plan.stages.length, 0, 1)).toThrow(/stage/);
    const matrix = new Float64Array(4);
    for (const [at, fault] of [0, 2, 4].entries()) {
      const name = ['left', 'right', 'out'][at]!;
      const args: unknown[] = [matrix, 0, matrix, 0, matrix, 0, 2, 2, 2];
      args[fault] = new Float64Array(3);
      expect(() => engine.multiply(...args)).toThrow(new RegExp(`${name} has the wrong type or fewer`));
      args[fault] = new Float32Array(4);
      expect(() => engine.multiply(...args)).toThrow(new RegExp(`${name} has the wrong type or fewer`));
      args[fault] = matrix;
      args[fault + 1] = 1;
      expect(() => engine.multiply(...args)).toThrow(new RegExp(`${name} has the wrong type or fewer`));
    }
    expect(() => engine.multiply(matrix, 0, matrix, 0, matrix, 0, 2, 0, 2)).toThrow(/an extent must be/);
    const geometry = {
      height: 2,
      width: 2,
      channels: 1,
      outHeight: 2,
      outWidth: 2,
      filters: 1,
      size: 1,
      stride: 1,
      padding: 0,
      channelwise: false,
      slope: 0,
    };
    const kernels = new FloatEngine(
      [{ ...geometry, weights: new Float32Array(1), bias: new Float32Array(1) }],
      isa,
    );
    expect(() => kernels.convolve(0, new Float32Array(3), new Float32Array(4))).toThrow(/expected 4/);
    expect(() => kernels.convolve(1, new Float32Array(4), new Float32Array(4))).toThrow(/index/);
  });
});
