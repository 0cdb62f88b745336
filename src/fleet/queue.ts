/** Work that machines share: a queue of BullMQ on Redis, and beside it what is counted in photos. */
import { randomBytes } from 'node:crypto';
import type { Queue } from 'bullmq';
import type { Redis, RedisOptions } from 'ioredis';
import { queueError, reasonOf, SpikingYoloError, usageError, withoutSecrets } from '../errors.js';
import { type Chunk, checkPlan, idOf, placesOf, type WorkPlan } from './chunk.js';

/** Where a queue is. */
export interface QueueAddress {
  /** `redis://` or, over TLS, `rediss://`, with `user:password@` and `/database` as needed. */
  url: string;
  name: string;
}

/** How far the work is, in photos. */
export interface FleetStatus {
  total: number;
  /** Something can be said of them. */
  done: number;
  /** They could not be read, or were given up. */
  failed: number;
  remaining: number;
  /** Workers that are connected. */
  workers: number;
  /** Over the last five minutes, or since the first photo if that is less. */
  photosPerSecond: number;
}

/** A photo that failed and what was wrong. */
export interface FailedPhoto {
  /** As it was given. */
  path: string;
  /** That it counts from. */
  folder: string;
  message: string;
}

/** Longest message that is kept of a failed photo. */
const LONGEST_MESSAGE = 300;
const CONNECT_MS = 5000;
/** Longest that a command of a client that does not wait takes, in ms. */
const COMMAND_MS = 20_000;
/** The rate is counted in pieces of so many seconds, of which so many count. */
const RATE = { seconds: 10, pieces: 30 };

/**
 * Takes note of chunks: of those that are new their photos are counted. Gives how many chunks are new, -1 if the queue has
 * another plan.
 */
const ADD = `
local plan = redis.call('hget', KEYS[1], 'plan')
if plan and plan ~= ARGV[1] then return -1 end
if not plan then redis.call('hset', KEYS[1], 'plan', ARGV[1]) end
local added = 0
for i = 2, #ARGV, 2 do
  if redis.call('hsetnx', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('hincrby', KEYS[1], 'total', ARGV[i + 1])
    added = added + 1
  end
end
return added`;

/**
 * Takes note of a chunk's result: its photos are counted once, however often it is done. One that is not known yet is another try of photos
 * that failed, and quicker than the note of that: they are counted already.
 */
const FINISH = `
local id, place, photos = ARGV[1], ARGV[2], tonumber(ARGV[3])
local again = redis.call('hsetnx', KEYS[5], id, photos)
if redis.call('hset', KEYS[2], id, place) == 1 then
  if again == 0 then redis.call('hincrby', KEYS[1], 'finished', photos) end
  local piece = KEYS[4] .. math.floor(redis.call('time')[1] / ${RATE.seconds})
  redis.call('incrby', piece, photos)
  redis.call('expire', piece, ${2 * RATE.seconds * RATE.pieces})
end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('hdel', KEYS[3], ARGV[i])
  else redis.call('hset', KEYS[3], ARGV[i], ARGV[i + 1]) end
end`;

/** Takes note of chunks of photos that failed before: they are to be done once more, and count as not done until then. */
const AGAIN = `
local photos = tonumber(ARGV[2])
if redis.call('hsetnx', KEYS[2], ARGV[1], photos) == 0 then return end
redis.call('hincrby', KEYS[1], 'finished', -photos)
redis.call('hdel', KEYS[3], unpack(ARGV, 3))`;

/** Takes back that a chunk is done, once. */
const REDO = `
if redis.call('hdel', KEYS[2], ARGV[1]) == 1 then redis.call('hincrby', KEYS[1], 'finished', -ARGV[2]) end`;

/** Removes what is counted, unless more has come. */
const REMOVE = `
if ARGV[1] ~= '' and redis.call('hget', KEYS[1], 'total') ~= ARGV[1] then return 0 end
redis.call('del', unpack(KEYS))
return 1`;

interface Scripts {
  fleetRemove(
    main: string,
    chunks: string,
    done: string,
    failed: string,
    total: number | string,
  ): Promise<number>;
  fleetRedo(main: string, done: string, id: string, photos: number): Promise<void>;
  fleetAdd(plan: string, chunks: string, ...chunksAndSizes: (string | number)[]): Promise<number>;
  fleetAgain(main: string, chunks: string, failed: string, ...args: (string | number)[]): Promise<void>;
  fleetFinish(
    main: string,
    done: string,
    failed: string,
    rate: string,
    chunks: string,
    ...args: (string | number)[]
  ): Promise<void>;
}

/** What a queue needs beyond this package. */
interface Libraries {
  bullmq: typeof import('bullmq');
  Redis: typeof import('ioredis').Redis;
}

/** Loads them, when a queue is opened; throws `USAGE`. */
async function loadLibraries(): Promise<Libraries> {
  try {
    // ipaddr.js is for photos that are fetched
    const [bullmq, { Redis }] = await Promise.all([import('bullmq'), import('ioredis'), import('ipaddr.js')]);
    return { bullmq, Redis };
  } catch (error) {
    throw usageError(
      `a fleet needs libraries that are not installed: npm install bullmq@6 ioredis@5 ipaddr.js@2 (${reasonOf(error)})`,
    );
  }
}

/** Keys of a queue of BullMQ that has, or had, jobs. */
const JOB_KEYS = [
  'id',
  'wait',
  'active',
  'prioritized',
  'delayed',
  'completed',
  'failed',
  'waiting-children',
];

/** What was noted of a failed photo; undefined for what others wrote there. */
function parseNote(text: string): FailedPhoto | undefined {
  try {
    const { path, folder, message } = JSON.parse(text) as Partial<FailedPhoto>;
    if ([path, folder, message].every((part) => typeof part === 'string'))
      return { path: path!, folder: folder!, message: message! };
  } catch {
    // not JSON
  }
  return undefined;
}

/** Jobs stay when they are done, so that the same one is not done again. */
const jobOptions = (jobId: string) => ({ jobId, attempts: 3, removeOnComplete: false, removeOnFail: false });

/** Checks an address; throws `USAGE`. */
function checkAddress({ url, name }: QueueAddress): void {
  const expected =
    'expected redis://[user:password@]host[:port][/database], or rediss:// over TLS (%2F for a / in a password, and so on)';
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw usageError(`--queue is no address; ${expected}`);
  }
  if (
    !['redis:', 'rediss:'].includes(parsed.protocol) ||
    parsed.hostname === '' ||
    !/^\/?\d*$/.test(parsed.pathname)
  )
    throw usageError(`--queue is no address of a Redis; ${expected}`);
  if (!/^[\w.-]{1,100}$/.test(name))
    throw usageError(`--name is "${name}"; expected letters, digits, dots, dashes and underscores`);
}

/** A client; throws `USAGE` for an address that it cannot read. */
function client(Redis: Libraries['Redis'], url: string, options: RedisOptions) {
  try {
    return new Redis(url, options);
  } catch (error) {
    throw usageError(`--queue is no address of a Redis: ${withoutSecrets(reasonOf(error))}`);
  }
}

/** What went wrong with a queue, as a `QUEUE` error without its password. */
function explain(url: string, error: unknown) {
  const { host } = new URL(url);
  const reason = withoutSecrets(
    reasonOf(error) || (error as NodeJS.ErrnoException)?.code || 'no reason given',
  );
  const reasons: [RegExp, string][] = [
    [/NOAUTH/, `it wants a password, redis://:password@${host} (${reason})`],
    [/WRONGPASS|invalid password|without any password/i, `it refuses the name or password (${reason})`],
    [/ECONNREFUSED/, 'nothing answers there; is Redis running?'],
    [/ENOTFOUND|EAI_AGAIN/, 'there is no machine of that name'],
    [/ETIMEDOUT|timed out/i, 'it does not answer in time'],
    [/Protocol error/, 'what answers there is no Redis'],
    [/max retries|Connection is closed/i, 'the connection was lost'],
    [/DB index is out of range/i, 'it has no database of that number'],
    [/OOM command/, 'its memory is full (maxmemory)'],
    [/MISCONF/, 'it cannot write its data to disk'],
  ];
  return queueError(`${host}: ${reasons.find(([form]) => form.test(reason))?.[1] ?? reason}`, error);
}

/**
 * A queue that is open.
 *
 * Beside BullMQ's keys, `bull:NAME:*`, it has its own, `spiking-yolo:NAME*`: the plan and what is counted; chunks and their sizes; chunks
 * that are done and where; photos that failed; and the photos of the last minutes.
 */
export class FleetQueue {
  readonly url: string;
  readonly name: string;
  readonly redis: Redis & Scripts;
  readonly bullmq: typeof import('bullmq');
  private opened: Queue | undefined;
  private readonly keys: { main: string; chunks: string; done: string; failed: string; rate: string };

  private constructor({ url, name }: QueueAddress, bullmq: typeof import('bullmq'), redis: Redis & Scripts) {
    this.url = url;
    this.name = name;
    this.bullmq = bullmq;
    this.redis = redis;
    const main = `spiking-yolo:${name}`;
    this.keys = {
      main,
      chunks: `${main}:chunks`,
      done: `${main}:done`,
      failed: `${main}:failed`,
      rate: `${main}:rate:`,
    };
  }

  /** BullMQ's side of it: made when it is needed, since it writes a key of its own. */
  private get queue(): Queue {
    if (!this.opened) {
      this.opened = new this.bullmq.Queue(this.name, {
        connection: this.redis,
        // nobody follows them here; each has a hundred bytes
        streams: { events: { maxLen: 1000 } },
      });
      // they come with the commands that failed, too
      this.opened.on('error', () => {});
    }
    return this.opened;
  }

  /**
   * Opens a queue; throws `QUEUE` if Redis is not there, refuses, or has a queue of that name that is not ours.
   *
   * @param patient true to wait for a Redis that goes away later as long as it takes, instead of failing
   */
  static async open(address: QueueAddress, { patient = false } = {}): Promise<FleetQueue> {
    checkAddress(address);
    const { bullmq, Redis } = await loadLibraries();
    const common: RedisOptions = { connectTimeout: CONNECT_MS, lazyConnect: true, keepAlive: 10_000 };
    const first = client(Redis, address.url, {
      ...common,
      retryStrategy: () => null,
      commandTimeout: COMMAND_MS,
    });
    // the reason comes with the event: the promise tells of a closed connection only
    let reason: unknown;
    first.on('error', (error) => {
      reason ??= error;
    });
    try {
      await first.connect();
      if (reason) throw reason;
      const ours = await first.exists(`spiking-yolo:${address.name}`);
      // a worker that waits for the first photos makes a queue, too, but no jobs
      const jobs = JOB_KEYS.map((kind) => `bull:${address.name}:${kind}`);
      if (!ours && (await first.exists(...jobs)) > 0)
        throw queueError(`the queue ${address.name} belongs to another program; use another --name`);
    } catch (error) {
      throw error instanceof SpikingYoloError ? error : explain(address.url, reason ?? error);
    } finally {
      if (first.status !== 'end') first.disconnect();
    }
    const redis = client(Redis, address.url, {
      ...common,
      lazyConnect: false,
      retryStrategy: (times: number) => Math.min(200 * times, 2000),
      ...(patient
        ? { maxRetriesPerRequest: null }
        : { maxRetriesPerRequest: 10, commandTimeout: COMMAND_MS }),
    });
    redis.on('error', () => {});
    redis.defineCommand('fleetAdd', { numberOfKeys: 2, lua: ADD });
    redis.defineCommand('fleetAgain', { numberOfKeys: 3, lua: AGAIN });
    redis.defineCommand('fleetRemove', { numberOfKeys: 4, lua: REMOVE });
    redis.defineCommand('fleetRedo', { numberOfKeys: 2, lua: REDO });
    redis.defineCommand('fleetFinish', { numberOfKeys: 5, lua: FINISH });
    return new FleetQueue(address, bullmq, redis as Redis & Scripts);
  }

  /** What Redis says as an error of this package. */
  explain(error: unknown): SpikingYoloError {
    return explain(this.url, error);
  }

  /** The error of a queue that is not there. */
  absent(): SpikingYoloError {
    return usageError(`there is no queue ${this.name}; fill it with: spiking-yolo enqueue`);
  }

  /** Runs what asks Redis; throws `QUEUE`. */
  private async ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof SpikingYoloError) throw error;
      throw explain(this.url, error);
    }
  }

  /** What the photos of this queue are looked at with; undefined if there are none yet. Throws `QUEUE`. */
  async plan(): Promise<WorkPlan | undefined> {
    const text = await this.ask(() => this.redis.hget(this.keys.main, 'plan'));
    if (text === null) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    return checkPlan(value);
  }

  /**
   * Adds chunks of one plan; those that are there already stay as they are. Gives how many are new. Throws `QUEUE`, also if the queue has
   * another plan.
   */
  add(chunks: readonly Chunk[]): Promise<number> {
    return this.ask(async () => {
      const jobs = chunks.map((data) => ({
        name: 'photos',
        data,
        opts: jobOptions(idOf(data)),
      }));
      const sizes = jobs.flatMap(({ data, opts }) => [opts.jobId, data.photos.length]);
      // counted first: if the job is lost after that, it comes again when the list is enqueued again
      const added = await this.redis.fleetAdd(
        this.keys.main,
        this.keys.chunks,
        JSON.stringify(chunks[0]!.plan),
        ...sizes,
      );
      if (added < 0)
        throw queueError(
          `the queue ${this.name} holds work with another model or other settings; use another --name`,
        );
      await this.queue.addBulk(jobs);
      return added;
    });
  }

  /** Puts jobs back that ended in an error which was not of their photos. Throws `QUEUE`. */
  retryJobs(): Promise<void> {
    return this.ask(() => this.queue.retryJobs({ state: 'failed' }));
  }

  /** Enqueues the photos that failed once more, in chunks of so many; gives how many photos they are. Throws `QUEUE`. */
  async retryPhotos(plan: WorkPlan, size: number): Promise<number> {
    const all = new Map<string, FailedPhoto[]>();
    for await (const photo of this.failed()) {
      const of = all.get(photo.folder) ?? [];
      of.push(photo);
      all.set(photo.folder, of);
    }
    let photos = 0;
    for (const [folder, of] of all) {
      for (let at = 0; at < of.length; at += size) {
        const chunk: Chunk = { plan, folder, photos: of.slice(at, at + size).map(({ path }) => path) };
        await this.again(chunk);
        photos += chunk.photos.length;
      }
    }
    return photos;
  }

  private again(chunk: Chunk): Promise<void> {
    const { main, chunks, failed } = this.keys;
    const places = placesOf(chunk);
    return this.ask(async () => {
      // the same photos may fail more than once: another try is another job
      const id = `${idOf(chunk)}-${randomBytes(4).toString('hex')}`;
      await this.queue.add('photos', chunk, jobOptions(id));
      await this.redis.fleetAgain(main, chunks, failed, id, places.length, ...places);
    });
  }

  /**
   * Takes note of a chunk's result: where it was made, and of each of its photos what was wrong, if anything. Throws `QUEUE`.
   */
  finish(id: string, place: string, chunk: Chunk, messages: readonly (string | undefined)[]): Promise<void> {
    const { main, done, failed, rate, chunks } = this.keys;
    const { photos, folder } = chunk;
    const told = placesOf(chunk).flatMap((photo, i) => {
      const message = messages[i]?.slice(0, LONGEST_MESSAGE);
      const note: FailedPhoto | undefined =
        message === undefined ? undefined : { path: photos[i]!, folder, message };
      return [photo, note ? JSON.stringify(note) : ''];
    });
    return this.ask(() =>
      this.redis.fleetFinish(main, done, failed, rate, chunks, id, place, photos.length, ...told),
    );
  }

  /** How far the work is; throws `QUEUE`. */
  status(): Promise<FleetStatus> {
    return this.ask(async () => {
      const { main, failed: failedKey, rate } = this.keys;
      const [totalText, finishedText] = await this.redis.hmget(main, 'total', 'finished');
      const [total, finished] = [Number(totalText) || 0, Number(finishedText) || 0];
      const failed = Math.min(await this.redis.hlen(failedKey), finished);
      const now = Number((await this.redis.time())[0]);
      const piece = Math.floor(now / RATE.seconds);
      const names = Array.from({ length: RATE.pieces + 1 }, (_, i) => piece - RATE.pieces + i);
      const counts = (await this.redis.mget(names.map((name) => rate + name))).map(Number);
      const first = counts.findIndex((count) => count > 0);
      const seconds = first < 0 ? 1 : Math.max(1, now - names[first]! * RATE.seconds);
      return {
        total,
        done: finished - failed,
        failed,
        remaining: total - finished,
        workers: await this.queue.getWorkersCount(),
        photosPerSecond: counts.reduce((sum, count) => sum + count, 0) / seconds,
      };
    });
  }

  /** Names of the workers that are connected; throws `QUEUE`. */
  workers(): Promise<string[]> {
    return this.ask(async () =>
      (await this.queue.getWorkers()).map(({ rawname = '' }) => rawname.replace(/^.*:w:/, '')),
    );
  }

  /** True if there is nothing to do and nothing being done; throws `QUEUE`. */
  isIdle(): Promise<boolean> {
    return this.ask(
      async () => (await this.queue.getJobCountByTypes('waiting', 'active', 'delayed', 'prioritized')) === 0,
    );
  }

  /** Fields of a hash and their values, a few at a time. */
  private async *fields(key: string): AsyncGenerator<[field: string, value: string][]> {
    let cursor = '0';
    do {
      const [next, found] = await this.ask(() => this.redis.hscan(key, cursor, 'COUNT', 500));
      yield Array.from({ length: found.length / 2 }, (_, i) => [found[2 * i]!, found[2 * i + 1]!]);
      cursor = next;
    } while (cursor !== '0');
  }

  /** Photos that failed; throws `QUEUE`. */
  async *failed(): AsyncGenerator<FailedPhoto> {
    for await (const some of this.fields(this.keys.failed))
      for (const [, text] of some) {
        const note = parseNote(text);
        if (note) yield note;
      }
  }

  /** All chunks: how many photos each has, and where its result was made, if it was. Throws `QUEUE`. */
  async *chunks(): AsyncGenerator<{ id: string; photos: number; place: string | undefined }> {
    for await (const some of this.fields(this.keys.chunks)) {
      if (some.length === 0) continue;
      const places = await this.ask(() => this.redis.hmget(this.keys.done, ...some.map(([id]) => id)));
      for (const [i, [id, photos]] of some.entries())
        yield { id, photos: Number(photos), place: places[i] ?? undefined };
    }
  }

  /** Puts a chunk that is done, but whose result is not to be had, back into the queue; false if it is not done. Throws `QUEUE`. */
  redo(id: string, photos: number): Promise<boolean> {
    return this.ask(async () => {
      const job = await this.queue.getJob(id);
      if ((await job?.getState()) !== 'completed') return false;
      await this.redis.fleetRedo(this.keys.main, this.keys.done, id, photos);
      await job!.retry('completed');
      return true;
    });
  }

  /**
   * Removes the queue and all that is known of it; false, and nothing is removed, if more has come than `total` photos. Throws
   * `QUEUE`.
   */
  remove(total?: number): Promise<boolean> {
    return this.ask(async () => {
      const { main, chunks, done, failed } = this.keys;
      // from here on nothing can be added
      const removed = await this.redis.fleetRemove(main, chunks, done, failed, total ?? '');
      if (removed === 1) await this.queue.obliterate({ force: true });
      return removed === 1;
    });
  }

  async close(): Promise<void> {
    await this.opened?.close().catch(() => {});
    this.redis.disconnect();
  }
}
