import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import type { DetectorOptions, ModelSource } from '../detector.js';
import { abortedError, reasonOf } from '../errors.js';
import type { PhotoOutcome, PhotoTask } from './process-photo.js';
import type { WorkerSettings, WorkerTask } from './worker.js';

/** How a batch is run. */
export interface BatchOptions {
  /** Stops the batch: photos under way end after their present block of time steps. */
  signal?: AbortSignal | undefined;
  /** True to give outcomes in the order of the tasks instead of as they finish. */
  ordered?: boolean;
}

/** Heap of a worker thread in MB; pixels and potentials are not in it. */
export const WORKER_HEAP_MB = 1024;

/** Threads that share photos, each with a network of its own; the model's bytes are shared. */
export class DetectorPool {
  private readonly piscina: Piscina<WorkerTask, PhotoOutcome>;
  private readonly workers: number;
  /** Stops each batch under way. */
  private readonly batches = new Set<() => Promise<unknown>>();

  /** @param filename of the worker; another one is for tests */
  constructor(
    model: ModelSource | undefined,
    options: DetectorOptions,
    workers: number,
    filename = new URL('./worker.js', import.meta.url).href,
  ) {
    const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers));
    const settings: WorkerSettings = { options: { ...options, model: undefined, threads }, model };
    this.workers = workers;
    this.piscina = new Piscina({
      filename,
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: 1,
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB },
      workerData: settings,
    });
  }

  /** One photo; if its thread dies, it takes only this photo with it, which is tried once more. */
  private async runTask(task: WorkerTask): Promise<PhotoOutcome> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.piscina.run(task);
      } catch (error) {
        if (attempt < 2 && Atomics.load(task.cancelled, 0) === 0) continue;
        return {
          error: {
            code: 'INTERNAL',
            message: `its worker thread failed ${attempt === 1 ? 'once' : 'twice'}: ${reasonOf(error)}`,
          },
        };
      }
    }
  }

  /**
   * Outcomes of tasks, which are taken only as workers become free: at most two a worker are under way, so memory stays
   * bounded. When the signal aborts, outcomes that are complete are given, then `ABORTED` is thrown. A caller that
   * stops early stops the photos under way.
   */
  async *run<T extends PhotoTask>(
    tasks: Iterable<T> | AsyncIterable<T>,
    { signal, ordered = false }: BatchOptions = {},
  ): AsyncGenerator<{ task: T; outcome: PhotoOutcome }> {
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const stopped = () => Atomics.load(cancelled, 0) === 1;
    const change = new Condition();
    const cancel = () => {
      Atomics.store(cancelled, 0, 1);
      change.notify();
    };
    /** Tasks that were started and not given yet, in their order. */
    const underWay = new Map<T, PhotoOutcome | undefined>();
    const running = new Set<Promise<void>>();
    const start = (task: T) => {
      underWay.set(task, undefined);
      const { source, draw, failure: known } = task;
      const outcomeOf = known ? Promise.resolve(known) : this.runTask({ source, draw, cancelled });
      const done = outcomeOf.then((outcome) => {
        underWay.set(task, outcome);
        running.delete(done);
        change.notify();
      });
      running.add(done);
    };
    let exhausted = false;
    let failure: { error: unknown } | undefined;
    const feed = async () => {
      try {
        for await (const task of tasks) {
          while (underWay.size >= 2 * this.workers && !stopped()) await change.wait();
          if (stopped()) break;
          start(task);
        }
      } catch (error) {
        failure = { error };
      }
      exhausted = true;
      change.notify();
    };
    const stop = () => {
      cancel();
      return Promise.all(running);
    };
    this.batches.add(stop);
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    try {
      void feed();
      for (;;) {
        const changed = change.wait();
        const candidates = ordered ? [...underWay].slice(0, 1) : [...underWay];
        const finished = candidates.find(([, outcome]) => outcome !== undefined);
        if (finished) {
          const [task, outcome] = finished as [T, PhotoOutcome];
          underWay.delete(task);
          change.notify();
          if (!(stopped() && outcome.error?.code === 'ABORTED')) yield { task, outcome };
        } else if (underWay.size === 0 && (exhausted || stopped())) {
          break;
        } else {
          await changed;
        }
      }
      if (failure) throw failure.error;
      if (stopped()) throw abortedError('cancelled', signal?.reason);
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.batches.delete(stop);
      await stop();
    }
  }

  /** Stops the batches under way after their present blocks of time steps, then ends the threads. */
  async close(): Promise<void> {
    await Promise.all([...this.batches].map((stop) => stop()));
    await this.piscina.destroy();
  }
}

/** Something that is waited for until it changes. */
class Condition {
  private resolve = () => {};
  private promise: Promise<void> = Promise.resolve();

  constructor() {
    this.renew();
  }

  private renew(): void {
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  /** Resolves at the next `notify`. */
  wait(): Promise<void> {
    return this.promise;
  }

  notify(): void {
    this.resolve();
    this.renew();
  }
}
