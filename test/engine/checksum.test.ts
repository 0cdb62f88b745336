import { describe, expect, it } from 'vitest';
import { Fnv1a64 } from '../../src/engine/checksum.js';
import type { EnginePlan, Stage } from '../../src/engine/plan.js';
import { firingLimits } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { fastBackends } from '../support/backends.js';
import { unitConvolution } from '../support/plans.js';

/** FNV-1a 64 as its authors publish it, on BigInt. */
function fnv1a64(bytes: Iterable<number>): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

const littleEndian = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) =>
    Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 255n),
  );

describe('FNV-1a 64', () => {
  it('gives the published test vectors', () => {
    const of = (text: string) => new Fnv1a64().update(new TextEncoder().encode(text)).digest();
    expect(of('')).toBe('cbf29ce484222325');
    expect(of('a')).toBe('af63dc4c8601ec8c');
    expect(of('foobar')).toBe('85944171f73967e8');
  });
});

/** Networks small enough to be simulated by loops written out below, with no code of the engine's. */
const networks: {
  name: string;
  plan: EnginePlan;
  pixels: Uint8Array;
  steps: number;
  byHand: () => string;
}[] = [
  {
    name: 'one ibt neuron and a head',
    plan: {
      gamma: 1,
      blockLength: 4,
      stages: [
        unitConvolution({ name: 'a', input: -1, weights: Int16Array.of(3), bias: Int32Array.of(-7) }),
        unitConvolution({
          name: 'head',
          input: 0,
          weights: Int16Array.of(-50),
          bias: Int32Array.of(2),
          fires: false,
        }),
      ],
    },
    pixels: Uint8Array.of(20),
    steps: 11,
    byHand: () => {
      let v = 0;
      let n = 0;
      for (let t = 0; t < 11; t++) {
        v += 3 * 20 - 7;
        if (v >= 100) {
          v -= 100;
          n++;
        } else if (v < -1000) {
          v += 1000;
          n--;
        }
      }
      return fnv1a64([...littleEndian(n, 4), ...littleEndian(v, 4), ...littleEndian(-50 * n + 11 * 2, 8)]);
    },
  },
  {
    name: 'four ibt-memory neurons, an exact pool and a head',
    plan: {
      gamma: 2,
      blockLength: 3,
      stages: [
        unitConvolution({
          name: 'a',
          input: -1,
          height: 2,
          width: 2,
          outHeight: 2,
          outWidth: 2,
          weights: Int16Array.of(5),
          bias: Int32Array.of(-300),
          firing: firingLimits('ibt-memory', 0.75, Int32Array.of(400), Int32Array.of(4000)),
        }),
        {
          kind: 'pool',
          name: 'p',
          input: 0,
          height: 2,
          width: 2,
          channels: 1,
          outHeight: 1,
          outWidth: 1,
          size: 2,
          stride: 2,
          offset: 0,
          rule: 'exact',
        },
        unitConvolution({ name: 'head', input: 1, weights: Int16Array.of(9), fires: false }),
      ] satisfies Stage[],
    },
    pixels: Uint8Array.of(0, 100, 200, 30),
    steps: 9,
    byHand: () => {
      const pixels = [0, 100, 200, 30];
      const v = [0, 0, 0, 0];
      const n = [0, 0, 0, 0];
      for (let t = 0; t < 9; t++) {
        for (let i = 0; i < 4; i++) {
          v[i]! += 5 * pixels[i]! - 300;
          for (let k = 0; k < 2; k++) {
            const up = n[i]! >= 0 ? 400 : 4000;
            const down = n[i]! > 0 ? 400 : 4000;
            if (v[i]! >= 0.75 * up) {
              v[i]! -= up;
              n[i]!++;
            } else if (v[i]! < -0.75 * down) {
              v[i]! += down;
              n[i]!--;
            }
          }
        }
      }
      const bytes = [...n, ...v].flatMap((value) => littleEndian(value, 4));
      return fnv1a64([...bytes, ...littleEndian(9 * Math.max(...n), 8)]);
    },
  },
  {
    name: 'two layers of a 3×3 convolution on one row, signed neurons',
    plan: {
      gamma: 1,
      blockLength: 16,
      stages: [
        unitConvolution({
          name: 'a',
          input: -1,
          width: 3,
          outWidth: 3,
          size: 3,
          padding: 1,
          weights: Int8Array.of(0, 0, 0, 1, -2, 4, 0, 0, 0),
          firing: firingLimits('signed', 0.5, Int32Array.of(90), Int32Array.of(900)),
        }),
        unitConvolution({
          name: 'b',
          input: 0,
          width: 3,
          outWidth: 3,
          size: 3,
          padding: 1,
          weights: Int8Array.of(9, 9, 9, 3, 7, -5, 9, 9, 9),
          firing: firingLimits('signed', 0.5, Int32Array.of(6), Int32Array.of(60)),
        }),
        unitConvolution({
          name: 'head',
          input: 1,
          width: 3,
          outWidth: 3,
          weights: Int8Array.of(1),
          bias: Int32Array.of(1),
          fires: false,
        }),
      ],
    },
    pixels: Uint8Array.of(10, 60, 25),
    steps: 13,
    byHand: () => {
      const p = [10, 60, 25];
      const a = { v: [0, 0, 0], n: [0, 0, 0], s: [0, 0, 0] };
      const b = { v: [0, 0, 0], n: [0, 0, 0], s: [0, 0, 0] };
      const fire = (layer: typeof a, theta: number) => {
        for (let i = 0; i < 3; i++) {
          layer.s[i] = layer.v[i]! >= theta ? 1 : layer.v[i]! < -theta ? -1 : 0;
          layer.v[i]! -= layer.s[i]! * theta;
          layer.n[i]! += layer.s[i]!;
        }
      };
      for (let t = 0; t < 13; t++) {
        for (let i = 0; i < 3; i++) a.v[i]! += (p[i - 1] ?? 0) - 2 * p[i]! + 4 * (p[i + 1] ?? 0);
        fire(a, 90);
        for (let i = 0; i < 3; i++) b.v[i]! += 3 * (a.s[i - 1] ?? 0) + 7 * a.s[i]! - 5 * (a.s[i + 1] ?? 0);
        fire(b, 6);
      }
      const bytes = [...a.n, ...a.v, ...b.n, ...b.v].flatMap((value) => littleEndian(value, 4));
      return fnv1a64([...bytes, ...b.n.flatMap((n) => littleEndian(n + 13, 8))]);
    },
  },
];

describe.each(networks)('$name', ({ plan, pixels, steps, byHand }) => {
  it.each(
    [referenceBackend, ...fastBackends].map(
      (backend) => [`${backend.name} ${backend.isa}`, backend] as const,
    ),
  )('has the checksum worked out by hand on %s', (_, backend) => {
    const simulation = new Simulation(plan, backend);
    simulation.begin(pixels);
    simulation.advanceTo(steps);
    expect(simulation.checksum()).toBe(byHand());
  });
});
