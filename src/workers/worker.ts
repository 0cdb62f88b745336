import { workerData } from 'node:worker_threads';
import type { DetectionStream, StreamOptions } from '../detection/stream.js';
import { Detector, type DetectorOptions, type ModelSource } from '../detector.js';
import { abortedError, describeError, SpikingYoloError } from '../errors.js';
import { type PhotoOutcome, type PhotoTask, processPhoto } from './process-photo.js';
import type { StreamOutcome, StreamTask } from './stream-thread.js';

/** What a worker thread is started with. */
export interface WorkerSettings {
  options: DetectorOptions;
  /** In shared memory, so that it is there once for all workers. */
  model: ModelSource | undefined;
  /** Of a thread that looks at one stream. */
  stream?: StreamOptions;
}

/** A photo and its batch's flag: becomes 1 when the batch is cancelled; looked at between blocks of time steps. */
export interface WorkerTask extends PhotoTask {
  cancelled: Int32Array;
}

const { options, model, stream: streamOptions } = workerData as WorkerSettings;
let loading: Promise<Detector> | undefined;

/** A Piscina task: one photo. */
export default async function detectPhoto({ cancelled, ...task }: WorkerTask): Promise<PhotoOutcome> {
  const stopIfCancelled = () => {
    if (Atomics.load(cancelled, 0) === 1) throw abortedError('cancelled');
  };
  try {
    stopIfCancelled();
    loading ??= Detector.fromModel(model, options);
    return await processPhoto(await loading, task, stopIfCancelled);
  } catch (error) {
    if (error instanceof SpikingYoloError && error.code === 'ABORTED') return describeError(error);
    // whatever it was may have left the network in disorder: the next photo gets a new one
    loading = undefined;
    if (!(error instanceof SpikingYoloError)) throw error;
    return describeError(error);
  }
}

let stream: DetectionStream | undefined;

/** A Piscina task: the next frame of this thread's stream. */
export async function lookAtFrame(task: StreamTask): Promise<StreamOutcome> {
  try {
    stream ??= (await Detector.fromModel(model, options)).stream({ ...streamOptions, worker: false });
    if ('reset' in task) {
      await stream.reset();
      return undefined;
    }
    return await stream.next(task.source);
  } catch (error) {
    return describeError(error);
  }
}
