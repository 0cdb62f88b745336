import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortedError, fileError, SpikingYoloError, usageError, withoutSecrets } from '../errors.js';
import type { Photo } from '../image/resize.js';
import { isUrl, picturesOf } from './ffmpeg.js';
import { checkFrameOptions, type Frame } from './frames.js';

/** How a camera is read. */
export interface CameraOptions {
  /** Frames a second that are taken from it (default: all that it brings). */
  fps?: number | undefined;
  /** Take every n-th frame. */
  every?: number | undefined;
  /** Seconds after which it ends. */
  duration?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called when the camera has gone away: why, and after how many milliseconds it is tried again. */
  onLost?: ((reason: SpikingYoloError, pauseMs: number) => void) | undefined;
}

/** A camera's frame: `frame` counts all that it brought, `time` is since the first one. */
export interface CameraFrame extends Frame {
  /** Frames since the last one given that nobody had time for. */
  dropped: number;
}

/** Pauses before a camera that went away is tried again. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** What ffmpeg reads a camera by. Throws `FILE` for a device that is not there, `USAGE` for anything else that is none. */
function inputOf(device: unknown): string[] {
  if (typeof device !== 'string') throw usageError('a camera is named by its device or URL');
  if (isUrl(device)) return ['-i', device];
  if (!device.startsWith('/dev/'))
    throw usageError(`a camera is a device (/dev/video0) or a URL, not ${device}; --video reads files`);
  if (!existsSync(device)) throw fileError(`${device}: there is no such device`);
  return ['-f', 'v4l2', '-i', device];
}

/** The newest of some things: what is not taken before the next one comes is dropped and counted. */
class Newest<T> {
  private value: { value: T } | undefined;
  private ended: { error?: unknown } | undefined;
  private wake: (() => void) | undefined;
  private dropped = 0;

  put(value: T): void {
    if (this.value) this.dropped++;
    this.value = { value };
    this.wake?.();
  }

  end(error?: unknown): void {
    this.ended = { error };
    this.wake?.();
  }

  /** The newest, as soon as there is one; undefined at the end, or its error thrown. */
  async take(): Promise<{ value: T; dropped: number } | undefined> {
    while (!this.value && !this.ended)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    const { value, dropped } = this;
    this.value = undefined;
    this.dropped = 0;
    if (value) return { value: value.value, dropped };
    if (this.ended!.error !== undefined) throw this.ended!.error;
    return undefined;
  }
}

/**
 * The frames of a camera, through ffmpeg: always the newest; those that come while nobody asks are dropped, never queued. A camera
 * that goes away is tried again, after pauses that double from a second to a minute. Throws `FILE` if it brings no frame at all or
 * ffmpeg is not there, `ABORTED` when the signal aborts.
 *
 * @example
 * ```ts
 * import { readCamera } from 'spiking-yolo';
 *
 * const error = await readCamera('/dev/no-such-camera').next().catch((thrown) => thrown);
 * console.log(error.message); // /dev/no-such-camera: there is no such device
 * ```
 */
export async function* readCamera(device: string, options: CameraOptions = {}): AsyncGenerator<CameraFrame> {
  checkFrameOptions(options);
  const { fps, every = 1, duration = Number.POSITIVE_INFINITY, signal, onLost } = options;
  inputOf(device);
  const over = new AbortController();
  const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  const newest = new Newest<{ frame: number; at: number; photo: Photo }>();
  let frames = 0;
  const attempt = async () => {
    const filter = fps === undefined ? undefined : `fps=${fps}`;
    for await (const photo of picturesOf(device, () => inputOf(device), filter, either)) {
      const frame = frames++;
      if (frame % every === 0) newest.put({ frame, at: performance.now(), photo });
    }
    throw fileError(`${withoutSecrets(device)}: the camera has ended`);
  };
  const pump = async () => {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const before = frames;
      try {
        await attempt();
      } catch (error) {
        const lost = error instanceof SpikingYoloError && error.code === 'FILE' && frames > 0;
        if (!lost || either.aborted) throw error;
        if (frames > before) pause = FIRST_PAUSE_MS;
        onLost?.(error, pause);
        await sleep(pause, undefined, { signal: either });
      }
    }
  };
  pump().catch((error) => newest.end(error));
  try {
    let first: number | undefined;
    for (;;) {
      const taken = await newest.take();
      if (signal?.aborted) throw abortedError('cancelled', signal.reason);
      const { frame, at, photo } = taken!.value;
      first ??= at;
      const time = (at - first) / 1000;
      if (time >= duration) return;
      yield { frame, time, photo, dropped: taken!.dropped };
    }
  } catch (error) {
    if (signal?.aborted) throw abortedError('cancelled', signal.reason);
    throw error;
  } finally {
    over.abort();
  }
}
