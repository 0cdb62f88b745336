import { exp, logistic, mish } from '../tensor/exp.js';

/** Activation functions: slopes, which firing limits express (docs/engine.md), and curves, which tables do. */

/** leaky: max(x, 0.1·x); linear: x; relu: max(x, 0). */
export type SlopeActivation = 'leaky' | 'linear' | 'relu';
export type CurveActivation = 'silu' | 'hardswish' | 'mish' | 'relu6' | 'elu';
export type Activation = SlopeActivation | CurveActivation;

const NEGATIVE_SLOPES: Record<SlopeActivation, number> = { leaky: 0.1, linear: 1, relu: 0 };

/** A function of one variable whose ends are straight: f(x) tends to 0 or a constant below, to x or a constant above. */
interface Curve {
  f(x: number): number;
  /** True if f(x) tends to x above. */
  linear: boolean;
}

const CURVES: Record<CurveActivation, Curve> = {
  silu: { f: (x) => x * logistic(x), linear: true },
  hardswish: { f: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6, linear: true },
  mish: { f: mish, linear: true },
  relu6: { f: (x) => Math.min(Math.max(x, 0), 6), linear: false },
  elu: { f: (x) => (x > 0 ? x : exp(x) - 1), linear: true },
};

export const ACTIVATIONS = [...Object.keys(NEGATIVE_SLOPES), ...Object.keys(CURVES)] as Activation[];

export const isCurve = (activation: Activation): activation is CurveActivation =>
  Object.hasOwn(CURVES, activation);

export const curveOf = (activation: CurveActivation): Curve => CURVES[activation];

/** An activation, and the slope of a leaky one where it is not 0.1. */
export interface Activated {
  activation: Activation;
  slope?: number;
}

/** True for a slope that a layer may name: of a leaky activation, so that θ/α stays an integer of the engine. */
export const isSlope = ({ activation, slope }: Activated): boolean =>
  slope === undefined || (activation === 'leaky' && slope >= 1e-3 && slope <= 1);

/** Slope α of an activation's negative side (paper section 3.3, eq. 7); 0 for a curve, which has none. */
export const negativeSlope = ({ activation, slope }: Activated): number =>
  isCurve(activation) ? 0 : (slope ?? NEGATIVE_SLOPES[activation]);

/** Applies an activation to float32 sums, in place. */
export function activate(layer: Activated, values: Float32Array): void {
  const { activation } = layer;
  if (isCurve(activation)) {
    const { f } = CURVES[activation];
    for (let i = 0; i < values.length; i++) values[i] = f(values[i]!);
    return;
  }
  const slope = Math.fround(negativeSlope(layer));
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    values[i] = value > 0 ? value : Math.fround(slope * value);
  }
}
