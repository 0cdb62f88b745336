/** What a machine looks at a queue's photos with. */
import { Detector, type DetectorOptions, type ModelSource, readModel, workersFor } from '../detector.js';
import { queueError } from '../errors.js';
import { differences, settle } from '../export/recorded-settings.js';
import { sha256 } from '../files.js';
import { listModels } from '../model/registry.js';
import { DetectorPool } from '../workers/pool.js';
import type { WorkPlan } from './chunk.js';

/** Options of the machine: with any of them the same boxes are found. */
export type MachineOptions = Pick<DetectorOptions, 'backend' | 'isa' | 'threads' | 'workers' | 'maxPixels'>;

/** Threads with the network of a plan. */
export interface Engine {
  pool: DetectorPool;
  workers: number;
  /** What results are recorded with. */
  recorded: Record<string, unknown>;
}

const shortened = (digest: string) => digest.slice(0, 12);

/** The model of a plan: from a file, else by its name; never from a path that a job gives. */
async function modelOf(
  { model: { name, sha256: digest } }: WorkPlan,
  file: string | undefined,
): Promise<ModelSource> {
  if (file === undefined && !listModels().some((model) => model.name === name))
    throw queueError(
      `photos of this queue are looked at with the model ${name} (SHA-256 ${shortened(digest)}…), which did not come with this package: give its file with --model`,
    );
  const { bytes } = await readModel({ model: file ?? name });
  const own = sha256(bytes);
  if (own !== digest)
    throw queueError(
      `the model ${file ?? name} here is another one (SHA-256 ${shortened(own)}…) than the queue's (${name}, ${shortened(digest)}…)`,
    );
  return { name, bytes };
}

/**
 * Loads a plan's model and starts the threads. Throws `QUEUE` if this machine has another model, or a version of this package that
 * settles the options differently; `BACKEND`, `MODEL` or `USAGE` for what the detector refuses.
 */
export async function startEngine(
  plan: WorkPlan,
  file: string | undefined,
  machine: MachineOptions,
): Promise<Engine> {
  const model = await modelOf(plan, file);
  const options: DetectorOptions = { ...plan.options, ...machine };
  const { recorded } = settle(model, options);
  const differing = differences(plan.recorded, recorded);
  if (differing.length > 0)
    throw queueError(
      `this version of spiking-yolo runs the queue's model with other settings (${differing.join(', ')}) than the one that enqueued`,
    );
  // what it refuses is said once, not once a photo
  await (await Detector.fromModel(model, options)).close();
  const workers = workersFor(options);
  return { pool: new DetectorPool(model, options, workers), workers, recorded };
}
