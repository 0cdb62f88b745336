import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exp, logistic, mish, tanh } from '../../src/tensor/exp.js';

const bits = (value: number) => new BigUint64Array(Float64Array.of(value).buffer)[0]!;

describe('the exponential', () => {
  it('is within 2 units in the last place of the engine’s own', () => {
    fc.assert(
      fc.property(fc.double({ min: -708, max: 709.7, noNaN: true }), (x) => {
        const apart = bits(exp(x)) - bits(Math.exp(x));
        expect(apart >= -2n && apart <= 2n).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  it('has these bits everywhere', () => {
    const pinned: [number, string][] = [
      [0, '3ff0000000000000'],
      [1, '4005bf0a8b14576a'],
      [-1, '3fd78b56362cef38'],
      [0.1, '3ff1aec7b35a00d4'],
      [-0.5, '3fe368b2fc6f960a'],
      [0.3465735902799726, '3ff6a09e667f3bcc'],
      [0.34657359027997264, '3ff6a09e667f3bcc'],
      [2, '401d8e64b8d4ddae'],
      [Math.PI, '403724046eb09338'],
      [-10, '3f07cd79b5647c9a'],
      [20.25, '41c290d76d1966a9'],
      [100, '48f3494a9b171bf5'],
      [-100, '36ea8c1f14e2af5d'],
      [-700, 'd14f2b0fb9307f'],
      [709, '7fdd422d2be5dc9b'],
      [-740.5, '33'],
    ];
    for (const [x, expected] of pinned) expect([x, bits(exp(x)).toString(16)]).toEqual([x, expected]);
  });

  it('ends where float64 does', () => {
    expect(exp(Number.NEGATIVE_INFINITY)).toBe(0);
    expect(exp(-746)).toBe(0);
    expect(exp(-745)).toBe(Number.MIN_VALUE);
    expect(exp(709.78)).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(exp(709.79)).toBe(Number.POSITIVE_INFINITY);
    expect(exp(Number.NaN)).toBeNaN();
    expect(exp(-0)).toBe(1);
  });

  it('makes the other curves what they are', () => {
    fc.assert(
      fc.property(fc.double({ min: -50, max: 50, noNaN: true }), (x) => {
        expect(logistic(x)).toBeCloseTo(1 / (1 + Math.exp(-x)), 14);
        expect(tanh(x)).toBeCloseTo(Math.tanh(x), 14);
        expect(mish(x)).toBeCloseTo(x * Math.tanh(Math.log1p(Math.exp(x))), 12);
      }),
    );
  });
});
