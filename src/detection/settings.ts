import { DECODERS, type Decoder } from '../decoding/readout.js';
import { DEFAULT_RUN_OPTIONS, type RunOptions, type Schedule } from '../engine/plan.js';
import { usageError } from '../errors.js';
import type { DetectionOptions } from '../heads/detections.js';
import { isCurve } from '../network/activations.js';
import type { Network } from '../network/network.js';
import { activatedOf, hasNeurons } from '../network/ops/index.js';

/** Choices made when a model is run, and which detections are reported. */
export interface DetectionSettings extends RunOptions, Omit<DetectionOptions, 'classIds'> {
  decode: Decoder;
  /** d: the read-out counts from step d on. */
  readoutDelay: number;
}

export const DEFAULT_SETTINGS: DetectionSettings = {
  ...DEFAULT_RUN_OPTIONS,
  decode: 'vmem',
  readoutDelay: 0,
  conf: 0.25,
  iou: 0.45,
  maxDet: 100,
};

/** The paper's settings: signed neurons with imbalanced threshold (eq. 7), one spike a step, 5,000 steps. */
export const PAPER_SETTINGS: DetectionSettings = {
  ...DEFAULT_SETTINGS,
  neuron: 'ibt',
  pool: 'gate:avg',
  gamma: 1,
  v0: 0,
  steps: 5000,
};

export type Preset = 'default' | 'paper';
export const PRESETS: readonly Preset[] = ['default', 'paper'];

/**
 * The schedule of a network if none is asked for: curves (SiLU and the like) and islands can only run layer by layer.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, usualSchedule } from 'spiking-yolo';
 *
 * console.log(usualSchedule(decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors')).network)); // steps
 * ```
 */
export const usualSchedule = ({ layers }: Pick<Network, 'layers'>): Schedule =>
  layers.some(
    (layer) => layer.kind === 'island' || (hasNeurons(layer) && isCurve(activatedOf(layer).activation)),
  )
    ? 'layered'
    : 'steps';

/**
 * Fills in what is not given from a preset; throws `USAGE` for combinations that mean nothing.
 * Ranges of the run options are checked where the engine is planned. `usual` is the schedule that is taken if none is given
 * (see {@link usualSchedule}).
 *
 * @example
 * ```ts
 * import { resolveSettings } from 'spiking-yolo';
 *
 * const { neuron, pool, steps } = resolveSettings({ steps: 200 }, 'paper');
 * console.log(neuron, pool, steps); // ibt gate:avg 200
 * ```
 */
export function resolveSettings(
  given: Partial<DetectionSettings>,
  preset: Preset = 'default',
  usual: Schedule = DEFAULT_SETTINGS.schedule,
): DetectionSettings {
  if (!PRESETS.includes(preset)) throw usageError(`preset is "${preset}"; expected ${PRESETS.join(', ')}`);
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const settings: DetectionSettings = {
    ...(preset === 'paper' ? PAPER_SETTINGS : DEFAULT_SETTINGS),
    schedule: usual,
    ...set,
  };
  for (const [name, value] of Object.entries(settings)) {
    const kind = typeof DEFAULT_SETTINGS[name as keyof DetectionSettings];
    if (kind !== 'undefined' && typeof value !== kind) throw usageError(`${name} must be a ${kind}`);
  }
  const { conf, iou, maxDet, decode, schedule } = settings;
  if (!(conf >= 0 && conf <= 1)) throw usageError(`conf is ${conf}; expected 0 to 1`);
  if (!(iou >= 0 && iou <= 1)) throw usageError(`iou is ${iou}; expected 0 to 1`);
  if (!(Number.isInteger(maxDet) && maxDet >= 1 && maxDet <= 100_000)) {
    throw usageError(`maxDet is ${maxDet}; expected a whole number from 1 to 100000`);
  }
  if (!DECODERS.includes(decode)) throw usageError(`decode is "${decode}"; expected ${DECODERS.join(', ')}`);
  if (given.rho !== undefined && settings.neuron !== 'ibt-memory')
    throw usageError('rho is a choice of the neuron ibt-memory only');
  if (schedule === 'layered') {
    if (given.gamma !== undefined)
      throw usageError(
        'gamma cannot be chosen in a layer-synchronous run: a layer fires once, up to 127 spikes',
      );
    if (given.readoutDelay)
      throw usageError(
        'a layer-synchronous run has no read-out delay: its output is known at the last step only',
      );
  }
  return settings;
}
