import { workerData } from 'node:worker_threads';
import { Detector, type DetectorOptions, type ModelSource } from '../detector.js';
import { abortedError } from '../errors.js';
import { describeError, type PhotoOutcome, type PhotoTask, processPhoto } from './process-photo.js';

/** What a worker thread is started with. */
export interface WorkerSettings {
  options: DetectorOptions;
  /** In shared memory, so that it is there once for all workers. */
  model: ModelSource | undefined;
  /** Becomes 1 when the work is cancelled; looked at between blocks of time steps. */
  cancelled: Int32Array;
}

const { options, model, cancelled } = workerData as WorkerSettings;
let loading: Promise<Detector> | undefined;

/** A Piscina task: one photo. */
export default async function detectPhoto(task: PhotoTask): Promise<PhotoOutcome> {
  const stopIfCancelled = () => {
    if (Atomics.load(cancelled, 0) === 1) throw abortedError('cancelled');
  };
  try {
    loading ??= Detector.fromModel(model, options);
    return await processPhoto(await loading, task, stopIfCancelled);
  } catch (error) {
    loading = undefined;
    return { path: task.path, error: describeError(error) };
  }
}
