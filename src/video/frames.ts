import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { abortedError, fileError, usageError, withPath } from '../errors.js';
import { isFolder, listPhotos, readPhotoBytes } from '../files.js';
import { decodePhoto } from '../image/read-photo.js';
import type { Photo } from '../image/resize.js';
import { frameRateOf, isUrl, picturesOf } from './ffmpeg.js';

/** Which frames of a video are read. */
export interface FrameOptions {
  /** Frames a second: of numbered pictures what they were taken at (default 25), else what the video is brought to (default: its own). */
  fps?: number | undefined;
  /** Take every n-th frame. */
  every?: number | undefined;
  /** Seconds into the video, and how many of them. */
  start?: number | undefined;
  duration?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A frame: its number from 0, its time in seconds from the video's beginning, and its picture. */
export interface Frame {
  frame: number;
  time: number;
  photo: Photo;
}

/** Frames a second of numbered pictures. */
const USUAL_FPS = 25;
/** Throws `USAGE` for an option outside its range. */
export function checkFrameOptions({ fps, every, start, duration }: FrameOptions): void {
  if (fps !== undefined && !(fps > 0 && fps <= 1000))
    throw usageError(`fps is ${fps}; expected above 0, up to 1000`);
  if (every !== undefined && !(Number.isInteger(every) && every >= 1))
    throw usageError(`every is ${every}; expected a whole number from 1`);
  if (start !== undefined && !(start >= 0)) throw usageError(`start is ${start}; expected seconds from 0`);
  if (duration !== undefined && !(duration > 0))
    throw usageError(`duration is ${duration}; expected seconds above 0`);
}

const naturally = new Intl.Collator('en', { numeric: true });

/** Files of `f%03d.png`: those of its folder that have a number in that place, in the order of the numbers. */
async function listPattern(pattern: string): Promise<string[]> {
  const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const [, before, after] = /^(.*)%0?\d*d(.*)$/.exec(basename(pattern))!;
  const name = new RegExp(`^${literally(before!)}(\\d+)${literally(after!)}$`);
  const numbers = (await listPhotos(dirname(pattern))).flatMap((path) => {
    const number = name.exec(basename(path))?.[1];
    return number === undefined ? [] : [{ path, number: Number(number) }];
  });
  return numbers.sort((a, b) => a.number - b.number).map(({ path }) => path);
}

/** Numbered pictures of a video, if that is what it is. */
async function numberedFrames(source: string): Promise<string[] | undefined> {
  const isPattern = /%0?\d*d/.test(basename(source)) && !existsSync(source);
  if (!isPattern && !(await isFolder(source))) return undefined;
  const paths = isPattern ? await listPattern(source) : await listPhotos(source);
  if (paths.length === 0) throw fileError(`${source}: there are no pictures of frames`);
  return isPattern ? paths : paths.sort((a, b) => naturally.compare(basename(a), basename(b)));
}

/**
 * The frames of a video: a folder of numbered pictures, a pattern of their names (`f%03d.png`), or anything that ffmpeg reads.
 * None is left out but by `every`. Throws `FILE` for what cannot be read, `ABORTED` when the signal aborts.
 *
 * @example
 * ```ts
 * import { readFrames } from 'spiking-yolo';
 *
 * for await (const { frame, time, photo } of readFrames('samples', { fps: 10, duration: 0.1 })) {
 *   console.log(frame, time, photo.rgb.length === photo.width * photo.height * 3); // 0 0 true
 * }
 * ```
 */
export async function* readFrames(source: string, options: FrameOptions = {}): AsyncGenerator<Frame> {
  if (typeof source !== 'string' || typeof options !== 'object' || options === null)
    throw usageError('a video is named by a path or a URL, and its options are an object');
  checkFrameOptions(options);
  const { every = 1, start = 0, duration = Number.POSITIVE_INFINITY, fps = USUAL_FPS, signal } = options;
  const paths = await numberedFrames(source);
  if (!paths) {
    yield* readWithFfmpeg(source, options);
    return;
  }
  let some = false;
  for (const [frame, path] of paths.entries()) {
    if (signal?.aborted) throw abortedError('cancelled', signal.reason);
    const time = frame / fps;
    if (time < start || frame % every !== 0) continue;
    if (time >= start + duration) return;
    let photo: Photo;
    try {
      photo = await decodePhoto(await readPhotoBytes(path));
    } catch (error) {
      throw withPath(path, error);
    }
    some = true;
    yield { frame, time, photo };
  }
  if (!some) throw fileError(`${source}: there is no frame from second ${start} on`);
}

async function* readWithFfmpeg(
  source: string,
  { fps, every = 1, start: from = 0, duration, signal }: FrameOptions,
): AsyncGenerator<Frame> {
  if (!isUrl(source) && !existsSync(source)) throw fileError(`${source}: there is no such file`);
  const rate = fps ?? (await frameRateOf(source, signal));
  const input = (address: string) => [
    ...(from > 0 ? ['-ss', String(from)] : []),
    ...['-i', address],
    ...(duration === undefined ? [] : ['-t', String(duration)]),
  ];
  let frame = 0;
  for await (const photo of picturesOf(source, input, `fps=${rate}`, signal)) {
    const number = frame++;
    if (number % every === 0) yield { frame: number, time: from + number / rate, photo };
  }
}
