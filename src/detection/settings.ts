import { DECODERS, type Decoder } from '../decoding/readout.js';
import { DEFAULT_RUN_OPTIONS, LAYERED_STEPS, type RunOptions, type Schedule } from '../engine/plan.js';
import { usageError } from '../errors.js';
import type { DetectionOptions } from '../heads/detections.js';
import { type ModelChoices, RESIZES, type Resize } from '../model/spiking-model.js';
import { isCurve } from '../network/activations.js';
import type { Network } from '../network/network.js';
import { activatedOf, hasNeurons } from '../network/ops/index.js';

/** Choices made when a model is run, and which detections are reported. */
export interface DetectionSettings extends RunOptions, Omit<DetectionOptions, 'classIds'> {
  decode: Decoder;
  /** d: the read-out counts from step d on. */
  readoutDelay: number;
  /** True to end a run step by step when its boxes have settled. */
  untilStable: boolean;
  /** Milliseconds after which a run step by step ends with the boxes that it has. */
  budgetMs: number;
}

export const DEFAULT_SETTINGS: DetectionSettings = {
  ...DEFAULT_RUN_OPTIONS,
  decode: 'vmem',
  readoutDelay: 0,
  untilStable: false,
  budgetMs: Number.POSITIVE_INFINITY,
  conf: 0.25,
  iou: 0.45,
  maxDet: 100,
};

/** The paper's settings: signed neurons with imbalanced threshold (eq. 7), one spike a step, 5,000 steps. */
export const PAPER_SETTINGS: DetectionSettings = {
  ...DEFAULT_SETTINGS,
  schedule: 'steps',
  neuron: 'ibt',
  pool: 'gate:avg',
  gamma: 1,
  v0: 0,
  steps: 5000,
};

/** `fast`, which `default` is another name of; `frugal`: fewest spikes, as found when the model was converted; `paper`. */
export type Preset = 'default' | 'fast' | 'frugal' | 'paper';
export const PRESETS: readonly Preset[] = ['default', 'fast', 'frugal', 'paper'];

/** What can be chosen of a detector wherever it runs. Every field may be left out. */
export interface DetectionChoices extends Partial<DetectionSettings> {
  /** `paper` takes the paper's settings and, where models go by name, the model's `-paper` variant. */
  preset?: Preset;
  /** Class names to report; default: all. */
  classes?: readonly string[];
  /** Overrides how the model's photos are resized. */
  resize?: Resize;
  /** Adds `spikeChecksum` to results. */
  checksum?: boolean;
}

/** Throws `USAGE` for what {@link resolveSettings} does not look at. */
export function checkChoices({ resize, classes }: DetectionChoices): void {
  if (resize !== undefined && !RESIZES.includes(resize))
    throw usageError(`resize is "${resize}"; expected ${RESIZES.join(', ')}`);
  if (classes !== undefined && !Array.isArray(classes)) throw usageError('classes must be an array of names');
}

/** Throws `USAGE` for a model that was not converted as the preset asks. */
export function checkPreset(name: string, preset: Preset | undefined, { provenance }: ModelChoices): void {
  if (preset === 'paper' && provenance.preset !== 'paper')
    throw usageError(
      `${name} is not converted as in the paper; make such a model with: spiking-yolo convert --cfg … --weights … --names … --calibration DIR --preset paper --out FILE, and give it with --model FILE`,
    );
}

/** Which of a model's classes are to be reported, undefined for all; throws `USAGE` for one that it has not. */
export const classIdsOf = ({ classes }: DetectionChoices, known: readonly string[]): number[] | undefined =>
  classes?.map((name) => {
    const id = known.indexOf(name);
    if (id < 0) throw usageError(`class "${name}" is not one of the model's: ${known.join(', ')}`);
    return id;
  });

/** Settings that the float network has none of. */
export const RUN_OPTION_NAMES = [
  ...(Object.keys(DEFAULT_RUN_OPTIONS) as (keyof DetectionSettings)[]),
  'decode',
  'readoutDelay',
  'untilStable',
  'budgetMs',
] as const;

/** The settings among options; what is not given is undefined. */
export function pickSettings(options: Partial<DetectionSettings>): Partial<DetectionSettings> {
  const names = Object.keys(DEFAULT_SETTINGS) as (keyof DetectionSettings)[];
  return Object.fromEntries(names.map((name) => [name, options[name]]));
}

/** Γ of a run step by step of a model whose λ was tuned: as many spikes in T steps as a layer-synchronous run sends. */
const TUNED_GAMMA = 8;

/** What a model's own presets say; throws `USAGE` for a preset that it has not. */
function presetOf(preset: Preset, model: ModelChoices | undefined): Partial<DetectionSettings> {
  if (preset === 'paper') return PAPER_SETTINGS;
  if (preset === 'frugal' && model) {
    const frugal = model.presets?.frugal;
    if (!frugal)
      throw usageError(
        'this model has no preset frugal, which is found when a network is tuned, with 8 photos or more and without --tune none, and comes near its float network (error .15); convert it again so, or use fast',
      );
    return { steps: frugal.steps, coding: frugal.coding };
  }
  const tuning = model?.provenance.tuning;
  return tuning ? { steps: tuning.steps, ...(tuning.kind === 'full' ? { gamma: TUNED_GAMMA } : {}) } : {};
}

/**
 * The schedules that a network can run by: curves (SiLU and the like) and islands only layer by layer.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, possibleSchedules } from 'spiking-yolo';
 *
 * const { network } = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * console.log(possibleSchedules(network)); // [ 'layered', 'steps' ]
 * ```
 */
export const possibleSchedules = ({ layers }: Pick<Network, 'layers'>): Schedule[] =>
  layers.some(
    (layer) => layer.kind === 'island' || (hasNeurons(layer) && isCurve(activatedOf(layer).activation)),
  )
    ? ['layered']
    : ['layered', 'steps'];

/** What is asked for that only a run step by step has, by its name. */
const askedOfSteps = (
  { neuron, pool, gamma, rho, v0, readoutDelay, untilStable, budgetMs, steps }: Partial<DetectionSettings>,
  preset: Preset,
): string[] =>
  Object.entries({
    'preset paper': preset === 'paper',
    neuron: (neuron ?? 'ibt-memory') !== 'ibt-memory',
    pool: (pool ?? 'exact') !== 'exact',
    gamma: gamma !== undefined,
    rho: rho !== undefined,
    v0: (v0 ?? 0) !== 0,
    readoutDelay: (readoutDelay ?? 0) !== 0,
    untilStable: untilStable === true,
    budgetMs: (budgetMs ?? Number.POSITIVE_INFINITY) < Number.POSITIVE_INFINITY,
    [`steps above ${LAYERED_STEPS}`]: (steps ?? 0) > LAYERED_STEPS,
  })
    .filter(([, asked]) => asked)
    .map(([name]) => name);

/**
 * Fills in what is not given from a preset, which a model may have its own of; throws `USAGE` for combinations that mean
 * nothing.
 * Ranges of the run options are checked where the engine is planned. The schedule is `layered` unless something else that is
 * given has a meaning step by step only: the preset paper, a neuron other than `ibt-memory`, a pool other than `exact`,
 * `gamma`, `rho`, `v0`, `readoutDelay`, `untilStable`, `budgetMs`, or more than 127 steps.
 *
 * @example
 * ```ts
 * import { resolveSettings } from 'spiking-yolo';
 *
 * const { neuron, pool, schedule, steps } = resolveSettings({ steps: 200 }, 'paper');
 * console.log(neuron, pool, schedule, steps); // ibt gate:avg steps 200
 * ```
 */
export function resolveSettings(
  given: Partial<DetectionSettings>,
  preset: Preset = 'default',
  model?: ModelChoices,
): DetectionSettings {
  if (!PRESETS.includes(preset)) throw usageError(`preset is "${preset}"; expected ${PRESETS.join(', ')}`);
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const asked = askedOfSteps(set, preset);
  const settings: DetectionSettings = {
    ...DEFAULT_SETTINGS,
    ...presetOf(preset, model),
    ...(asked.length > 0 ? { schedule: 'steps' } : {}),
    ...set,
  };
  for (const [name, value] of Object.entries(settings)) {
    const kind = typeof DEFAULT_SETTINGS[name as keyof DetectionSettings];
    if (kind !== 'undefined' && typeof value !== kind) throw usageError(`${name} must be a ${kind}`);
  }
  const { conf, iou, maxDet, decode, schedule } = settings;
  if (preset === 'frugal' && schedule !== 'layered')
    throw usageError(
      `the preset frugal is of a layer-synchronous run; ${asked.join(', ') || 'the schedule'} asks for one step by step`,
    );
  if (settings.coding === 'phase' && schedule !== 'layered')
    throw usageError(
      `coding phase sends the counts of a layer-synchronous run; ${asked.join(', ') || 'the schedule'} asks for one step by step`,
    );
  if (!(conf >= 0 && conf <= 1)) throw usageError(`conf is ${conf}; expected 0 to 1`);
  if (!(iou >= 0 && iou <= 1)) throw usageError(`iou is ${iou}; expected 0 to 1`);
  if (!(Number.isInteger(maxDet) && maxDet >= 1 && maxDet <= 100_000)) {
    throw usageError(`maxDet is ${maxDet}; expected a whole number from 1 to 100000`);
  }
  if (!(settings.budgetMs > 0)) throw usageError(`budgetMs is ${settings.budgetMs}; expected above 0`);
  if (!DECODERS.includes(decode)) throw usageError(`decode is "${decode}"; expected ${DECODERS.join(', ')}`);
  if (given.rho !== undefined && settings.neuron !== 'ibt-memory')
    throw usageError('rho is a choice of the neuron ibt-memory only');
  if (schedule === 'layered') {
    // the default among all the others asks for nothing
    if (given.gamma !== undefined && given.gamma !== DEFAULT_SETTINGS.gamma)
      throw usageError(
        'gamma cannot be chosen in a layer-synchronous run: a layer fires once, up to 127 spikes',
      );
    if (given.readoutDelay)
      throw usageError(
        'a layer-synchronous run has no read-out delay: its output is known at the last step only',
      );
    if (settings.untilStable || settings.budgetMs !== Number.POSITIVE_INFINITY)
      throw usageError(
        'a layer-synchronous run cannot end early: its output is known at the last step only; leave --schedule layered out',
      );
  }
  return settings;
}
