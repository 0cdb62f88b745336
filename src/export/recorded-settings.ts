import { type DetectionSettings, resolveSettings } from '../detection/settings.js';
import type { DetectorOptions, ModelSource } from '../detector.js';
import { readChoices } from '../model/model-file.js';
import type { ModelChoices } from '../model/spiking-model.js';

/** What a model says about how it is run; a damaged one is refused later, by the detector. */
function choicesOf({ bytes }: ModelSource): ModelChoices | undefined {
  try {
    return readChoices(bytes);
  } catch {
    return undefined;
  }
}

/**
 * How a model (undefined for a trained network's files) is run with some options, what results are recorded with, and how it was tuned.
 * Throws `USAGE`.
 */
export function settle(model: ModelSource | undefined, options: DetectorOptions) {
  const choices = model && !options.ann ? choicesOf(model) : undefined;
  const settings = resolveSettings(options, options.preset, choices);
  return { settings, recorded: recordedSettings(options, settings), tuning: choices?.provenance.tuning };
}

/** The choices that decide a result, the model excepted. */
function recordedSettings(options: DetectorOptions, settings: DetectionSettings): Record<string, unknown> {
  const { neuron, pool, rho, gamma, v0, schedule, coding, steps, decode, readoutDelay } = settings;
  const { conf, iou, maxDet } = settings;
  const { classes, resize } = options;
  return {
    ...(options.ann ? {} : { neuron, pool, rho, gamma, v0, schedule, coding, steps, decode, readoutDelay }),
    ...(settings.untilStable ? { untilStable: true } : {}),
    ...(settings.budgetMs < Number.POSITIVE_INFINITY ? { budgetMs: settings.budgetMs } : {}),
    conf,
    iou,
    maxDet,
    ...(classes ? { classes } : {}),
    ...(resize ? { resize } : {}),
  };
}

/** Names of the fields that differ. */
export function differences(a: Record<string, unknown>, b: object): string[] {
  const other = b as Record<string, unknown>;
  const names = new Set([...Object.keys(a), ...Object.keys(other)]);
  return [...names].filter((name) => JSON.stringify(a[name]) !== JSON.stringify(other[name]));
}
