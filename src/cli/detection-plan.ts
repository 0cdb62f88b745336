import { resolveSettings } from '../detection/settings.js';
import { type DetectorOptions, type ModelSource, readModel, workersFor } from '../detector.js';
import { settle } from '../export/recorded-settings.js';
import { DEFAULT_PAPER_MODEL } from '../model/registry.js';
import { detectorOptions, type ModelCommandOptions } from './options.js';

/** What photos are looked at with. */
export interface DetectionPlan {
  /** Absent for a trained network's files. */
  model: ModelSource | undefined;
  /** What each result is recorded with. */
  recorded: Record<string, unknown>;
}

/** A command's options, as far as they can be checked without its model; throws `USAGE`. */
export function checkedOptions(given: ModelCommandOptions): DetectorOptions {
  const options = detectorOptions(given);
  workersFor(options);
  resolveSettings(options, options.preset);
  return options;
}

/**
 * Reads the model and settles how it is run, saying on stderr what a user may not expect: another model, or counts that clip. Throws `FILE` or
 * `USAGE`.
 */
export async function planDetection(options: DetectorOptions): Promise<DetectionPlan> {
  const paper = options.preset === 'paper';
  if (paper && options.model === undefined && !options.trained) {
    const { steps } = resolveSettings(options, options.preset);
    process.stderr.write(`the preset paper takes the model ${DEFAULT_PAPER_MODEL}, ${steps} steps a photo\n`);
  }
  const model = options.trained ? undefined : await readModel(options);
  if (paper && options.model !== undefined && model && model.name !== options.model)
    process.stderr.write(`the preset paper takes the model ${model.name}\n`);
  const { settings, recorded, tuning } = settle(model, options);
  if (tuning?.kind === 'full' && settings.schedule === 'layered' && settings.steps > tuning.steps)
    process.stderr.write(
      `this model was tuned for ${tuning.steps} steps; counts clip with ${settings.steps}, which finds less\n`,
    );
  return { model, recorded };
}
