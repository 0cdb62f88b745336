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

/** An activation, and the slope of a leaky one where it is not 0.1: one, or one a channel (PReLU). */
export interface Activated {
  activation: Activation;
  slope?: number | readonly number[];
}

/** The least slope but 0, so that θ/α stays an integer of the engine. */
export const LEAST_SLOPE = 1e-3;
/** The largest slope of a channel. */
export const MOST_SLOPE = 8;

/** True for the slope that a layer of so many channels may name: of a leaky activation, one or one a channel. */
export const isSlope = ({ activation, slope }: Activated, channels: number): boolean =>
  slope === undefined ||
  (activation === 'leaky' &&
    (Array.isArray(slope) ? slope.length === channels && slope.every(isSlopeOfChannel) : isOneSlope(slope)));

const isOneSlope = (slope: unknown) => typeof slope === 'number' && slope >= LEAST_SLOPE && slope <= 1;

/** True for a slope that a neuron can have beside others of its layer. */
export const isSlopeOfChannel = (slope: unknown): boolean =>
  slope === 0 || (typeof slope === 'number' && slope >= LEAST_SLOPE && slope <= MOST_SLOPE);

/** Slope α of an activation's negative side in a channel (paper section 3.3, eq. 7); 0 for a curve, which has none. */
export function negativeSlope({ activation, slope }: Activated, channel: number): number {
  if (isCurve(activation)) return 0;
  return (typeof slope === 'object' ? slope[channel] : slope) ?? NEGATIVE_SLOPES[activation];
}

/** True if all channels have the same slope. */
export const hasOneSlope = ({ activation, slope }: Activated): boolean =>
  !isCurve(activation) && typeof slope !== 'object';

/** Applies an activation to float32 sums, (height, width, channels), in place. */
export function activate(layer: Activated, values: Float32Array, channels: number): void {
  const { activation } = layer;
  if (isCurve(activation)) {
    const { f } = CURVES[activation];
    for (let i = 0; i < values.length; i++) values[i] = f(values[i]!);
    return;
  }
  const slopes = Float32Array.from({ length: channels }, (_, channel) => negativeSlope(layer, channel));
  for (let i = 0, channel = 0; i < values.length; i++) {
    const value = values[i]!;
    values[i] = value > 0 ? value : Math.fround(slopes[channel]! * value);
    if (++channel === channels) channel = 0;
  }
}
