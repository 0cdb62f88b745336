import { Piscina } from 'piscina';
import type { DetectorOptions, ModelSource } from '../detector.js';
import { describeError, type PhotoOutcome, type PhotoTask } from './process-photo.js';
import type { WorkerSettings } from './worker.js';

/** Threads that share a list of photos, each with a network of its own; the model's bytes are shared. */
export class DetectorPool {
  private readonly piscina: Piscina<PhotoTask, PhotoOutcome>;
  private readonly cancelled = new Int32Array(new SharedArrayBuffer(4));
  private readonly threads: number;

  constructor(model: ModelSource | undefined, options: DetectorOptions, threads: number) {
    const settings: WorkerSettings = { options, model, cancelled: this.cancelled };
    this.threads = threads;
    this.piscina = new Piscina({
      filename: new URL('./worker.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      workerData: settings,
    });
  }

  /** Outcomes in the order of the tasks; at most two tasks a thread are under way, so memory stays bounded. */
  async *run(tasks: Iterable<PhotoTask>): AsyncGenerator<PhotoOutcome> {
    const waiting: Promise<PhotoOutcome>[] = [];
    for (const task of tasks) {
      // a thread that dies takes only its photo with it
      const lost = (error: unknown): PhotoOutcome => ({ path: task.path, error: describeError(error) });
      waiting.push(this.piscina.run(task).catch(lost));
      if (waiting.length >= 2 * this.threads) yield await waiting.shift()!;
    }
    for (const outcome of waiting) yield await outcome;
  }

  /** Stops photos under way after their present block of time steps. */
  cancel(): void {
    Atomics.store(this.cancelled, 0, 1);
  }

  async close(): Promise<void> {
    await this.piscina.destroy();
  }
}
