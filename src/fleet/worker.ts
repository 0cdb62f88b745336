/** A machine of a fleet: takes chunks of photos from the queue and writes what was found on them. */
import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Job, Worker } from 'bullmq';
import { describeError, fileError, SpikingYoloError, withoutPath } from '../errors.js';
import { type PhotoRecord, recordOf } from '../export/records.js';
import type { PhotoOutcome, PhotoTask } from '../workers/process-photo.js';
import {
  type Chunk,
  checkChunk,
  checkId,
  ForeignJobError,
  isAddress,
  nameOf,
  placeOf,
  type WorkPlan,
} from './chunk.js';
import { type Engine, type MachineOptions, startEngine } from './engine.js';
import { type FetchLimits, fetchPhoto } from './fetch-photo.js';
import type { FleetQueue } from './queue.js';
import { readResult, resultPath, writeResult } from './result.js';
import { Turns } from './turns.js';

/** How a machine works. */
export interface WorkOptions {
  /** Folder of the results, one file a chunk, named after its job. */
  out: string;
  /** The model's file, where it did not come with this package. */
  model: string | undefined;
  machine: MachineOptions;
  limits: FetchLimits;
  /** Milliseconds without a word after which the queue takes this worker for dead, and gives its chunks to others. */
  lockMs: number;
  /** Milliseconds that chunks under way have to end when the worker is stopped; after that they are given back. */
  graceMs: number;
  /** True to end when there is nothing left to do. */
  untilDone: boolean;
}

/** Is told how the work goes. */
export interface WorkListener {
  onPhoto(): void;
  /** So many photos have their results. */
  onWritten(photos: number): void;
  onFailure(photo: string, message: string): void;
  onNote(message: string): void;
}

/** Chunks that a worker has at once: while the last photos of one are looked at, those of the next have begun. */
const AT_ONCE = 2;
/** How often a photo is tried that ends the process which looks at it. */
const MOST_TRIES = 3;
/** How often a chunk is given back because this machine can read none of its photos. */
const MOST_RETURNS = 2;
/** How often an idle worker looks whether all is done, in ms. */
const LOOK_MS = 500;
/** Longest that a stopped worker waits for Redis, in ms. */
const CLOSE_MS = 2000;
/** Minutes whose finished chunks BullMQ counts: a day. */
const MOST_METRICS = 1440;

/** What is remembered of a chunk between tries. */
interface Tries {
  /** Ends of the process while a photo was looked at, by its index. */
  deaths: Record<number, number>;
  /** The photo that is looked at, alone, and how often the chunk had been lost by then. */
  at?: number;
  stalls?: number;
  /** How often it was given back unread. */
  returns: number;
}

/** A photo of a chunk on its way through the threads. */
interface ChunkTask extends PhotoTask {
  photo: string;
}

const triesOf = ({ progress }: Job): Tries => {
  const known = typeof progress === 'object' && progress !== null ? (progress as Partial<Tries>) : {};
  return { ...known, deaths: { ...known.deaths }, returns: known.returns ?? 0 };
};

/** Works until the signal aborts (or all is done, if asked for); throws what keeps this machine from working: chunks under way are given back. */
export async function work(
  queue: FleetQueue,
  options: WorkOptions,
  listener: WorkListener,
  signal: AbortSignal,
): Promise<void> {
  await new FleetWorker(queue, options, listener).run(signal);
}

class FleetWorker {
  private readonly queue: FleetQueue;
  private readonly options: WorkOptions;
  private readonly listener: WorkListener;
  private readonly place = `${hostname()}:${process.pid}`;
  private readonly turns = new Turns();
  /** Stops photos under way. */
  private readonly stop = new AbortController();
  /** Aborts when this machine cannot go on, with the reason. */
  private readonly failed = new AbortController();
  private engine: Engine | undefined;
  /** The engine's plan, and that of the chunk which got its turn last. */
  private plan = '';
  private nextPlan = '';
  /** True once a photo could be read here. */
  private proven = false;
  private connected = true;
  /** Resolves when the photos of the chunk that was begun last have all been given to the threads. */
  private given: Promise<void> = Promise.resolve();

  constructor(queue: FleetQueue, options: WorkOptions, listener: WorkListener) {
    this.queue = queue;
    this.options = options;
    this.listener = listener;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { lockMs, graceMs, untilDone } = this.options;
    const plan = await this.queue.plan();
    // what this machine lacks is said before it takes anything
    if (plan) await this.prepare(plan);
    else if (untilDone) throw this.queue.absent();
    else this.listener.onNote(`there is no queue ${this.queue.name} yet; waiting for its first photos`);
    this.nextPlan = this.plan;
    const worker = new this.queue.bullmq.Worker<unknown>(
      this.queue.name,
      (job, token) => this.process(job, token!),
      {
        connection: this.queue.redis,
        name: this.place,
        concurrency: AT_ONCE,
        lockDuration: lockMs,
        stalledInterval: lockMs,
        // how often is decided here, photo by photo
        maxStalledCount: Number.MAX_SAFE_INTEGER,
        // counters for those who look with BullMQ's own tools
        metrics: { maxDataPoints: MOST_METRICS },
        autorun: false,
      },
    );
    this.tellOfTroubles(worker);
    const ended = AbortSignal.any([signal, this.failed.signal]);
    const working = worker.run().catch((error) => this.failed.abort(error));
    try {
      if (untilDone) await this.untilIdle(ended);
      else await aborted(ended);
    } finally {
      const grace = setTimeout(() => this.stop.abort(), this.failed.signal.aborted ? 0 : graceMs);
      await Promise.race([worker.close(), this.outOfTime()]);
      clearTimeout(grace);
      this.stop.abort();
      await this.engine?.pool.close();
      await Promise.race([working, wait(CLOSE_MS, undefined, { ref: false })]);
    }
    if (this.failed.signal.aborted) throw this.failed.signal.reason;
  }

  /** Some time after photos were stopped: Redis does not answer. */
  private async outOfTime(): Promise<void> {
    await aborted(this.stop.signal);
    await wait(CLOSE_MS, undefined, { ref: false });
  }

  private async untilIdle(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      await wait(LOOK_MS, undefined, { signal: ended }).catch(() => {});
      // while Redis is away there is no answer, and none is needed
      if (!ended.aborted && this.connected && (await this.queue.isIdle().catch(() => false))) return;
    }
  }

  private tellOfTroubles(worker: Worker<unknown>): void {
    const lost = `a chunk was given to another worker: Redis did not hear of this one for ${this.options.lockMs / 1000} s`;
    worker.on('lockRenewalFailed', () => this.listener.onNote(lost));
    worker.on('failed', (_, error) => this.listener.onNote(`a chunk failed: ${error.message}`));
    worker.on('error', (error) => {
      // what Redis refuses (no memory, a wrong type, no right) it refuses again at once
      if (error.name === 'ReplyError' && !/LOADING|lock for job/.test(error.message))
        this.failed.abort(this.queue.explain(error));
      // said by the events above, or by the connection
      if (/lock for job|ECONN|Connection is closed|EPIPE|ETIMEDOUT/i.test(error.message) || !this.connected)
        return;
      this.listener.onNote(error.message);
    });
    const { redis } = this.queue;
    redis.on('close', () => {
      if (this.connected && !this.stop.signal.aborted)
        this.listener.onNote('the connection to Redis is lost; trying again');
      this.connected = false;
    });
    redis.on('ready', () => {
      if (!this.connected) this.listener.onNote('the connection to Redis is back');
      this.connected = true;
    });
  }

  /** Loads what a plan asks for, unless it is loaded. */
  private async prepare(plan: WorkPlan): Promise<void> {
    const wanted = JSON.stringify(plan);
    if (this.engine && this.plan === wanted) return;
    await this.engine?.pool.close();
    this.engine = undefined;
    this.plan = wanted;
    this.engine = await startEngine(plan, this.options.model, this.options.machine);
  }

  /** A job's chunk; a job that is none of ours fails alone. Throws `QUEUE` for one of another version. */
  private checked(job: Job<unknown>): Chunk {
    try {
      const chunk = checkChunk(job.data);
      checkId(job.id, chunk);
      return chunk;
    } catch (error) {
      if (error instanceof ForeignJobError) throw new this.queue.bullmq.UnrecoverableError(error.message);
      throw error;
    }
  }

  /** A job of the queue: one chunk. */
  private async process(job: Job<unknown>, token: string): Promise<void> {
    try {
      const chunk = this.checked(job);
      const wanted = JSON.stringify(chunk.plan);
      const suspected = job.stalledCounter > 0;
      // a photo that ends the process must not take others' chunks with it, and a network is changed when nothing runs
      const alone = suspected || wanted !== this.nextPlan;
      this.nextPlan = wanted;
      await this.turns.take(alone, async () => {
        this.stop.signal.throwIfAborted();
        await this.prepare(chunk.plan);
        await this.finish(job, chunk, suspected);
      });
    } catch (error) {
      if (error instanceof SpikingYoloError || this.stop.signal.aborted) {
        if (!this.stop.signal.aborted) this.failed.abort(error);
        await job.moveToWait(token);
        throw new this.queue.bullmq.WaitingError();
      }
      throw error;
    }
  }

  /** Looks at a chunk's photos, writes the result and takes note of it; one that is there already counts. */
  private async finish(job: Job<unknown>, chunk: Chunk, suspected: boolean): Promise<void> {
    const id = job.id!;
    const path = resultPath(this.options.out, id);
    let records = await readResult(path, chunk.plan, id);
    if (!records) {
      records = [];
      const outcomes = suspected ? this.oneByOne(job, chunk) : this.together(chunk);
      for await (const { photo, outcome } of outcomes) {
        records.push(this.record(photo, placeOf(photo, chunk.folder), outcome));
        this.listener.onPhoto();
      }
      await this.checkReadable(job, chunk, records);
      for (const { path, error } of records)
        if (error) this.listener.onFailure(path, withoutPath(path, error.message));
      await writeResult(path, records);
      this.listener.onWritten(records.length);
    }
    await this.queue.finish(
      id,
      this.place,
      chunk,
      records.map(({ path, error }) => error && withoutPath(path, error.message)),
    );
  }

  /** As `detect` records it: an error names the photo as it was given. */
  private record(photo: string, place: string, outcome: PhotoOutcome): PhotoRecord {
    const path = nameOf(photo);
    const { error } = outcome;
    const told = error?.message.startsWith(`${place}: `)
      ? { error: { ...error, message: `${path}: ${withoutPath(place, error.message)}` } }
      : outcome;
    return recordOf(path, nameOf(place), told, this.engine!.recorded);
  }

  /** All photos at once, as many as there are threads; those of the next chunk begin when the last of these have begun. */
  private async *together({
    photos,
    folder,
  }: Chunk): AsyncGenerator<{ photo: string; outcome: PhotoOutcome }> {
    const { pool, workers } = this.engine!;
    const { signal } = this.stop;
    const before = this.given;
    let haveBeenGiven = () => {};
    this.given = new Promise((resolve) => {
      haveBeenGiven = resolve;
    });
    try {
      await before;
      const tasks = this.opened(photos, folder, 2 * workers, haveBeenGiven);
      for await (const { task, outcome } of pool.run(tasks, { signal, ordered: true }))
        yield { photo: task.photo, outcome };
    } finally {
      haveBeenGiven();
    }
  }

  /**
   * One photo after another, after a process ended (or fell silent) that had this chunk: which photo is looked at is known to the queue, so
   * that it is known which one ends processes. It is given up at the third time.
   */
  private async *oneByOne(
    job: Job<unknown>,
    { photos, folder }: Chunk,
  ): AsyncGenerator<{ photo: string; outcome: PhotoOutcome }> {
    const { pool } = this.engine!;
    const { signal } = this.stop;
    const tries = triesOf(job);
    const { at, stalls = 0 } = tries;
    if (at !== undefined && job.stalledCounter > stalls) tries.deaths[at] = (tries.deaths[at] ?? 0) + 1;
    for (const [index, photo] of photos.entries()) {
      // the first time it was looked at together with the others
      if (1 + (tries.deaths[index] ?? 0) >= MOST_TRIES) {
        const message = `given up: a worker's process ended each of the ${MOST_TRIES} times that it was looked at`;
        yield { photo, outcome: { error: { code: 'INTERNAL', message } } };
        continue;
      }
      await job.updateProgress({ ...tries, at: index, stalls: job.stalledCounter });
      const task = await this.open(photo, folder);
      for await (const { outcome } of pool.run([task], { signal })) yield { photo, outcome };
    }
  }

  /** Tasks of photos in their order, those that are fetched some ahead; tells when the last has been taken. */
  private async *opened(
    photos: readonly string[],
    folder: string,
    ahead: number,
    onTaken: () => void,
  ): AsyncGenerator<ChunkTask> {
    const opening: Promise<ChunkTask>[] = [];
    for (let next = 0, given = 0; given < photos.length; given++) {
      for (; next < Math.min(photos.length, given + ahead); next++)
        opening.push(this.open(photos[next]!, folder));
      yield await opening.shift()!;
    }
    onTaken();
  }

  private async open(photo: string, folder: string): Promise<ChunkTask> {
    if (!isAddress(photo)) return { photo, source: placeOf(photo, folder) };
    try {
      return { photo, source: await fetchPhoto(photo, this.options.limits, this.stop.signal) };
    } catch (error) {
      return { photo, source: photo, failure: describeError(error) };
    }
  }

  /**
   * Throws `FILE` if this machine, which has read no photo yet, has not even the folders of a chunk's photos: a share that is not mounted must
   * not make failures of a whole queue. A chunk that comes back like this is taken at its word the third time.
   */
  private async checkReadable(
    job: Job<unknown>,
    { photos, folder }: Chunk,
    records: readonly PhotoRecord[],
  ): Promise<void> {
    this.proven ||= records.some(({ error }, i) => error?.code !== 'FILE' && !isAddress(photos[i]!));
    if (this.proven || !records.every(({ error }) => error?.code === 'FILE')) return;
    const folders = new Set(photos.map((photo) => dirname(placeOf(photo, folder))));
    if ([...folders].some((path) => !isMissingOrEmpty(path))) return;
    const { at: _, stalls: __, ...tries } = triesOf(job);
    if (tries.returns >= MOST_RETURNS) return;
    await job.updateProgress({ ...tries, returns: tries.returns + 1 });
    const [first] = folders;
    throw fileError(
      `${first}: there is no such folder here, or it is empty, and no photo of the first chunk can be read; is it mounted on this machine?`,
    );
  }
}

function isMissingOrEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch {
    return true;
  }
}

/** Resolves when a signal aborts. */
const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
