import type { DetectorResult, PhotoSource } from '../detector.js';
import { type ChangeGrid, ChangeMap } from '../engine/change-map.js';
import { abortedError, checkSignal, usageError } from '../errors.js';
import type { RawPixels } from '../image/raw-photo.js';
import type { Photo } from '../image/resize.js';
import type { Frame } from '../video/frames.js';
import type { HeadOptions, SpikingDetector, SpikingResult } from './detector.js';
import { HeldPicture } from './held-picture.js';
import type { DetectionSettings } from './settings.js';

/** h where nothing else is asked for (docs/streams.md). */
export const DEFAULT_HOLD = 1;

/** How a video is looked at. */
export interface StreamOptions {
  /**
   * h: how far a neuron's count may be off what the present picture asks for before it changes, in counts: .5 to 1 in 256ths
   * (default 1). At .5 results are those of a fresh run, bit for bit.
   */
  hold?: number | undefined;
  /** δ: grey levels that a pixel may differ by from the picture held without changing it, 0 (the default) to 255. */
  deadZone?: number | undefined;
  /** For {@link DetectionStream.frames}: frames a second at most, by their `time` or else as they come; default: all of them. */
  fps?: number | undefined;
  /** True to add to results where in the picture neurons changed, which costs a look at all counts. */
  changeMap?: boolean | undefined;
  /** True to look at frames in a thread of its own, so that several streams share the cores; default: in the calling thread. */
  worker?: boolean | undefined;
}

/** What was found on a frame; spikes, operations and energies are of what changed. */
export type FrameResult = Omit<DetectorResult, 'clippedNeurons' | 'settled'> & {
  /** From 0, or as the frame itself says. */
  frame: number;
  /** Seconds, if the frame itself says so. */
  time?: number | undefined;
  /** Part of the groups of 4 neighbouring channels, over all neurons, in which a count changed. */
  changed: number;
  /** Where: with `changeMap`. */
  changeMap?: ChangeGrid | undefined;
};

/** What a stream takes from its detector. */
export interface StreamSettings extends DetectionSettings, HeadOptions {
  checksum: boolean;
  model: string;
}

/** Looks at one frame after another. */
export interface FrameLooker<Source = PhotoSource> {
  next(source: Source | RawPixels): Promise<FrameResult>;
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Throws `USAGE` for an option outside its range, or settings that no stream has. */
export function checkStream(
  { hold = DEFAULT_HOLD, deadZone = 0, fps, changeMap }: StreamOptions,
  { schedule, neuron, rho, pool }: DetectionSettings,
): void {
  if (!(typeof hold === 'number' && Number.isInteger(hold * 256) && hold >= 0.5 && hold <= 1))
    throw usageError(`hold is ${hold}; expected a multiple of 1/256 from 0.5 to 1`);
  if (!(Number.isInteger(deadZone) && deadZone >= 0 && deadZone <= 255))
    throw usageError(`deadZone is ${deadZone}; expected a whole number from 0 to 255`);
  if (fps !== undefined && !(typeof fps === 'number' && fps > 0))
    throw usageError(`fps is ${fps}; expected above 0`);
  if (changeMap !== undefined && typeof changeMap !== 'boolean')
    throw usageError(`changeMap is ${String(changeMap)}; expected true or false`);
  if (schedule !== 'layered' || neuron !== 'ibt-memory' || rho !== 0.5 || pool !== 'exact')
    throw usageError('a stream runs layer by layer, with the neuron ibt-memory at ρ = ½ and the pool exact');
}

/** Frames in the calling thread, on a network that is kept from frame to frame. */
export class LocalLooker<Source = PhotoSource> implements FrameLooker<Source> {
  private readonly network: SpikingDetector;
  private readonly settings: StreamSettings;
  private readonly picture: HeldPicture;
  private readonly read: (source: Source | RawPixels) => Photo | Promise<Photo>;
  private readonly changes: ChangeMap | undefined;
  private last: SpikingResult | undefined;
  private seen = 0;

  constructor(
    network: SpikingDetector,
    settings: StreamSettings,
    { deadZone = 0, changeMap }: StreamOptions,
    read: (source: Source | RawPixels) => Photo | Promise<Photo>,
  ) {
    this.network = network;
    this.settings = settings;
    this.picture = new HeldPicture(network.input.channels, deadZone);
    this.changes = changeMap ? new ChangeMap(network.simulation, network.input) : undefined;
    this.read = read;
  }

  async next(source: Source | RawPixels): Promise<FrameResult> {
    const start = performance.now();
    const photo = await this.read(source);
    const decoded = performance.now();
    const { network, settings, picture } = this;
    const pixels = network.resize(photo, settings.resize);
    // another size of frame is another video
    if (this.last && (this.last.width !== photo.width || this.last.height !== photo.height)) this.forget();
    const differs = picture.update(pixels) > 0;
    const prepared = { decode: decoded - start, resize: performance.now() - decoded };
    if (differs || !this.last) {
      const found = this.look(photo);
      this.last = found;
      const { network: ms, postprocess } = found.elapsedMs;
      const elapsedMs = { ...prepared, network: ms, postprocess };
      return this.frameOf({ ...found, elapsedMs }, network.simulation.changed());
    }
    const nothing = { spikes: 0, spikesPerNeuron: 0, sops: 0, spikesPerNeuronMacWeighted: 0 };
    return this.frameOf(
      { ...this.last, ...nothing, elapsedMs: { ...prepared, network: 0, postprocess: 0 } },
      0,
    );
  }

  /** Looks at the picture held; a failure leaves a network that has to begin anew. */
  private look(photo: Photo): SpikingResult {
    const { network, settings, picture } = this;
    const { checksum } = settings;
    try {
      const { clippedNeurons: _, ...found } = network.detectPixels(picture.pixels!, photo, settings, {
        checksum,
      });
      return found;
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  async reset(): Promise<void> {
    this.forget();
    this.seen = 0;
  }

  private forget(): void {
    this.picture.reset();
    this.network.simulation.reset();
    this.changes?.reset();
    this.last = undefined;
  }

  async close(): Promise<void> {
    this.network.close();
  }

  private frameOf(result: SpikingResult, changed: number): FrameResult {
    const where = this.changes ? { changeMap: this.changes.update() } : {};
    return { ...result, model: this.settings.model, frame: this.seen++, changed, ...where } as FrameResult;
  }
}

const streamClosed = () => usageError('this stream is closed');

const isTimed = (frame: unknown): frame is Frame =>
  typeof frame === 'object' &&
  frame !== null &&
  'photo' in frame &&
  typeof frame.photo === 'object' &&
  frame.photo !== null;

/** What comes of a promise, or undefined as soon as the signal aborts. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    // a listener for each wait, removed after it: one promise for all of them would keep something of every frame
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  });
}

/** What an iterator gives, one by one, until the signal aborts, also while it waits: then what `reason` gives is thrown. */
async function* untilAborted<T>(
  values: AsyncIterable<T> | Iterable<T>,
  signal: AbortSignal,
  reason: () => Error,
): AsyncGenerator<T> {
  const iterator =
    Symbol.asyncIterator in values ? values[Symbol.asyncIterator]() : values[Symbol.iterator]();
  try {
    for (;;) {
      const next = await orAborted(Promise.resolve(iterator.next()), signal);
      if (signal.aborted) throw reason();
      if (!next || next.done) return;
      yield next.value;
    }
  } finally {
    // one that still waits ends when it can
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/**
 * The frames of one video, one after another, through a network that is kept from frame to frame; made by `Detector.stream`.
 *
 * @example
 * ```ts
 * import { Detector, readFrames } from 'spiking-yolo';
 *
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
 * const stream = detector.stream({ hold: 0.75 });
 * for await (const { frame, changed } of stream.frames(readFrames('samples', { duration: 0.1 }))) {
 *   if (frame === 0) console.log(changed > 0.5); // true
 * }
 * await stream.close();
 * await detector.close();
 * ```
 */
export class DetectionStream<Source = PhotoSource, Taken = Source> {
  private readonly looker: () => Promise<FrameLooker<Taken>>;
  private readonly take: (source: Source | RawPixels) => Taken | RawPixels | Promise<Taken | RawPixels>;
  private readonly onClosed: () => void;
  private readonly interval: number;
  private opened: Promise<FrameLooker<Taken>> | undefined;
  /** Ends when the frames before have been looked at. */
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  /** Ends the loops over {@link frames} that wait. */
  private readonly loops = new Set<() => void>();

  /**
   * @param take keeps a source as it is at the call, for its turn
   * @internal
   */
  constructor(
    { fps }: StreamOptions,
    looker: () => Promise<FrameLooker<Taken>>,
    onClosed: () => void,
    take: (source: Source | RawPixels) => Taken | RawPixels | Promise<Taken | RawPixels>,
  ) {
    this.looker = looker;
    this.onClosed = onClosed;
    this.take = take;
    this.interval = fps === undefined ? 0 : 1 / fps;
  }

  /**
   * Looks at the next frame: a path, the bytes of a picture, or raw pixels. Frames are looked at in the order of the calls. Throws
   * what `Detector.detect` throws, after which the stream goes on as if that frame had not come.
   */
  next(source: Source | RawPixels): Promise<FrameResult> {
    const taken = Promise.resolve(this.take(source));
    // told when its turn comes
    taken.catch(() => {});
    return this.inTurn(async (looker) => looker.next(await taken));
  }

  /**
   * Looks at frames as they come, those of `readFrames` or pictures from anywhere; with `fps` those that come too soon are left out.
   * Throws `ABORTED` when the signal aborts, `USAGE` when the stream is closed.
   */
  async *frames(
    frames: AsyncIterable<Source | Frame> | Iterable<Source | Frame>,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<FrameResult> {
    const { signal } = options ?? {};
    checkSignal(signal);
    const stopping = new AbortController();
    const stop = () => stopping.abort();
    this.loops.add(stop);
    signal?.addEventListener('abort', stop);
    if (signal?.aborted || this.closed) stop();
    try {
      yield* this.looksAt(frames, stopping.signal, () =>
        this.closed ? streamClosed() : abortedError('cancelled', signal?.reason),
      );
    } finally {
      this.loops.delete(stop);
      signal?.removeEventListener('abort', stop);
    }
  }

  private async *looksAt(
    frames: AsyncIterable<Source | Frame> | Iterable<Source | Frame>,
    signal: AbortSignal,
    reason: () => Error,
  ): AsyncGenerator<FrameResult> {
    const { interval } = this;
    if (
      !(
        typeof frames === 'object' &&
        frames !== null &&
        (Symbol.asyncIterator in frames || Symbol.iterator in frames)
      )
    )
      throw usageError('a stream takes an array or another iterable of frames');
    let [last, due] = [Number.POSITIVE_INFINITY, 0];
    for await (const each of untilAborted<Source | Frame>(frames, signal, reason)) {
      const time = isTimed(each) ? each.time : performance.now() / 1000;
      // a clock that goes back is that of another video
      if (time < last) due = time;
      last = time;
      // half a millisecond early is in time
      if (interval > 0 && time < due - 5e-4) continue;
      due = Math.max(due + interval, time + interval / 2);
      if (!isTimed(each)) {
        yield await this.next(each);
        continue;
      }
      const { width, height, rgb: data } = each.photo;
      yield {
        ...(await this.next({ data, width, height, channels: 3 })),
        frame: each.frame,
        time: each.time,
      };
    }
  }

  /** Forgets what it has seen: the next frame is looked at as the first of a video. */
  reset(): Promise<void> {
    return this.inTurn((looker) => looker.reset());
  }

  /** Frees the network. */
  async close(): Promise<void> {
    this.closed = true;
    this.onClosed();
    for (const stop of this.loops) stop();
    await this.turn;
    await (await this.opened?.catch(() => undefined))?.close();
  }

  private inTurn<T>(work: (looker: FrameLooker<Taken>) => Promise<T>): Promise<T> {
    const result = this.turn.then(async () => {
      if (this.closed) throw streamClosed();
      this.opened ??= this.looker();
      let looker: FrameLooker<Taken>;
      try {
        looker = await this.opened;
      } catch (error) {
        // the next frame tries again
        this.opened = undefined;
        throw error;
      }
      return work(looker);
    });
    this.turn = result.catch(() => undefined);
    return result;
  }
}
