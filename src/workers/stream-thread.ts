import { Piscina } from 'piscina';
import type { FrameLooker, FrameResult, StreamOptions } from '../detection/stream.js';
import type { DetectorOptions, ModelSource, PhotoSource } from '../detector.js';
import { errorOf, type Failure } from '../errors.js';
import { WORKER_HEAP_MB } from './pool.js';
import type { WorkerSettings } from './worker.js';

/** What a stream's thread is asked for: to look at a frame, or to forget what it has seen. */
export type StreamTask = { source: PhotoSource } | { reset: true };
export type StreamOutcome = (FrameResult & { error?: undefined }) | Failure | undefined;

/** What a picture is, without anything else that cannot go to another thread. */
function plain(source: PhotoSource): PhotoSource {
  if (typeof source === 'string' || source instanceof Uint8Array) return source;
  const { data, width, height, channels } = source ?? {};
  const pixels = data instanceof Uint8Array ? data : new Uint8Array(0);
  const number = (value: number) => (typeof value === 'number' ? value : 0);
  return { data: pixels, width: number(width), height: number(height), channels: channels === 4 ? 4 : 3 };
}

/** A stream in a thread of its own. If the thread dies, the frame fails and the next one is the first again. */
export class ThreadLooker implements FrameLooker {
  private readonly piscina: Piscina<StreamTask, StreamOutcome>;

  constructor(model: ModelSource, options: DetectorOptions, stream: StreamOptions) {
    const settings: WorkerSettings = {
      options: { ...options, model: undefined, threads: options.threads ?? 1 },
      model,
      stream,
    };
    this.piscina = new Piscina({
      filename: new URL('./worker.js', import.meta.url).href,
      name: 'lookAtFrame',
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB },
      workerData: settings,
    });
  }

  async next(source: PhotoSource): Promise<FrameResult> {
    const outcome = (await this.piscina.run({ source: plain(source) }))!;
    if (!outcome.error) return outcome;
    throw errorOf(outcome);
  }

  async reset(): Promise<void> {
    await this.piscina.run({ reset: true });
  }

  async close(): Promise<void> {
    await this.piscina.destroy();
  }
}
