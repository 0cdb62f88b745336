import { createWriteStream, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FrameResult } from '../detection/stream.js';
import { Detector } from '../detector.js';
import { fileError, reasonOf, SpikingYoloError, usageError, withoutSecrets } from '../errors.js';
import { isFolder, writeWhole } from '../files.js';
import { drawDetections } from '../image/draw.js';
import { readCamera } from '../video/camera.js';
import { Film, isFilm } from '../video/film.js';
import { checkFrameOptions, type Frame, type FrameOptions, readFrames } from '../video/frames.js';
import type { DetectOptions } from './detect.js';
import { detectorOptions, refuseOverwriting } from './options.js';
import { formatOf } from './outcome-writer.js';
import { printError } from './print.js';
import { stopOnSignals } from './stop.js';

/** Where frames come from: one of the two. */
export interface VideoSource {
  video?: string | undefined;
  camera?: string | undefined;
}

/** What a command line says of a video. */
export interface VideoOptions {
  fps?: number | undefined;
  every?: number | undefined;
  start?: number | undefined;
  duration?: number | undefined;
  hold?: number | undefined;
  deadZone?: number | undefined;
  onlyChanges?: boolean | undefined;
}

/** A line of a video's results: what `FrameResult` says, where it is from, and when it was. */
type FrameRecord = FrameResult & { path: string; time: number; dropped?: number | undefined };

const objectsOf = ({ detections }: FrameRecord) =>
  detections
    .map((detection) => detection.class)
    .sort()
    .join(', ');

/** What spikes are: units, or signed digits of counts. */
const sentOf = ({ coding }: FrameRecord) => (coding === 'phase' ? 'digits' : 'spikes');

const lineOf = (record: FrameRecord) => {
  const { frame, time, changed, spikesPerNeuron = 0, elapsedMs, dropped = 0 } = record;
  const ms = Object.values(elapsedMs).reduce((sum, each) => sum + each, 0);
  const lost = dropped > 0 ? `, ${dropped} dropped` : '';
  return `frame ${frame}, ${time.toFixed(2)} s: ${objectsOf(record) || 'nothing'} (${(100 * changed).toFixed(1)} % changed, ${spikesPerNeuron.toFixed(2)} ${sentOf(record)} a neuron, ${ms.toFixed(0)} ms${lost})\n`;
};

/** Writes text where it belongs, waiting while the reader is slow; a file is there from its first line on. Throws `FILE` if that fails. */
class Lines {
  private stream: NodeJS.WritableStream | undefined;
  private readonly path: string | undefined;
  private failure: unknown;

  constructor(path: string | undefined) {
    this.path = path;
  }

  async write(text: string): Promise<void> {
    this.stream ??= this.open();
    await new Promise<void>((resolve) => this.stream!.write(text, () => resolve()));
    this.check();
  }

  async end(): Promise<void> {
    const { stream, path } = this;
    if (stream && path !== undefined) await new Promise<void>((resolve) => stream.end(() => resolve()));
    this.check();
  }

  private open(): NodeJS.WritableStream {
    if (this.path === undefined) return process.stdout;
    const stream = createWriteStream(this.path);
    stream.on('error', (error) => {
      this.failure = error;
    });
    return stream;
  }

  private check(): void {
    if (this.failure !== undefined)
      throw fileError(`${this.path}: cannot write it: ${reasonOf(this.failure)}`);
  }
}

/** On a terminal, a line that says how it goes: frames a second, spikes, and operations against those of the first frame. */
class LiveLine {
  private readonly shown = process.stderr.isTTY === true;
  private last = performance.now();
  private rate = 0;
  private first = 0;

  show(record: FrameRecord): void {
    const { frame, sops = 0, spikesPerNeuron = 0 } = record;
    if (!this.shown) return;
    const now = performance.now();
    const rate = 1000 / Math.max(now - this.last, 1);
    this.rate = this.rate === 0 ? rate : 0.9 * this.rate + 0.1 * rate;
    this.last = now;
    this.first ||= sops;
    const share = this.first > 0 ? (100 * sops) / this.first : 0;
    process.stderr.write(
      `\r\x1b[Kframe ${frame}: ${this.rate.toFixed(1)} a second, ${spikesPerNeuron.toFixed(3)} ${sentOf(record)} a neuron, ${share.toFixed(1)} % of a fresh frame’s operations`,
    );
  }

  clear(): void {
    if (this.shown) process.stderr.write('\r\x1b[K');
  }
}

/** Where frames are drawn: a folder, or a film. */
class Drawn {
  private readonly path: string;
  private readonly fps: number | undefined;
  private film: Film | undefined;
  /** The first frame of a film waits for the second, which tells how many there are a second. */
  private first: { time: number; jpeg: Uint8Array } | undefined;

  constructor(path: string, fps: number | undefined) {
    this.path = path;
    this.fps = fps;
  }

  async add({ frame, time, photo }: Frame, { detections }: FrameResult): Promise<void> {
    const jpeg = await drawDetections(photo, detections, 'jpeg');
    if (!isFilm(this.path)) {
      await writeWhole(join(this.path, `${String(frame).padStart(6, '0')}.jpg`), jpeg);
      return;
    }
    if (!this.film && !this.first && this.fps === undefined) {
      this.first = { time, jpeg };
      return;
    }
    await this.begin(this.fps ?? 1 / Math.max(time - (this.first?.time ?? 0), 1e-3));
    await this.film!.write(jpeg);
  }

  private async begin(fps: number): Promise<void> {
    this.film ??= new Film(this.path, fps);
    if (this.first) await this.film.write(this.first.jpeg);
    this.first = undefined;
  }

  async end(): Promise<void> {
    if (this.first) await this.begin(1);
    await this.film?.end();
  }
}

/** Frames of a video or camera; what is said of a camera that goes away goes to stderr. */
function framesOf(
  { video, camera }: VideoSource,
  options: FrameOptions,
): AsyncIterable<Frame & { dropped?: number }> {
  if (video !== undefined) return readFrames(video, options);
  const { start: _, ...rest } = options;
  return readCamera(camera!, {
    ...rest,
    onLost: ({ message }, pauseMs) =>
      process.stderr.write(`${message}; tried again in ${Math.round(pauseMs / 1000)} s\n`),
  });
}

/** `detect --video` and `--camera`: frames, one after another, a line each. */
export async function detectVideo(
  from: VideoSource,
  inputs: readonly string[],
  { onlyChanges, hold, deadZone, ...frames }: VideoOptions,
  given: DetectOptions,
): Promise<number> {
  const { format: asked, out, resume, shard, watch, draw, ...rest } = given;
  const source = (from.video ?? from.camera)!;
  if (inputs.length > 0) throw usageError('--video looks at one video; leave photos out');
  if (from.camera !== undefined && frames.start !== undefined)
    throw usageError('--start is of a video: a camera begins now');
  const refused = { resume, shard, watch, workers: rest.workers };
  const odd = Object.entries(refused).find(([, value]) => value !== undefined);
  if (odd)
    throw usageError(
      `--${odd[0]} is of photos: the frames of a video are looked at one after another, from --start on`,
    );
  const format = formatOf({ format: asked, out });
  if (format !== 'text' && format !== 'ndjson')
    throw usageError(`frames are written as text or ndjson, not ${format}`);
  if (out !== undefined && existsSync(out))
    throw usageError(`${out} is there already; name another file or delete it`);
  if (draw !== undefined && existsSync(draw) && !(await isFolder(draw)))
    throw usageError(
      isFilm(draw)
        ? `${draw} is there already; name another file or delete it`
        : '--draw takes a folder for the frames of a video, or a film’s name (film.mp4)',
    );
  if (draw !== undefined && isFilm(draw) && !(await isFolder(dirname(draw))))
    throw fileError(`${draw}: there is no folder ${dirname(draw)}`);
  checkFrameOptions(frames);
  await refuseOverwriting({ out }, [source, rest.model]);
  const detector = await Detector.load(detectorOptions(rest));
  const controller = new AbortController();
  const release = stopOnSignals(controller);
  const lines = new Lines(out);
  const live = new LiveLine();
  const drawn =
    draw === undefined ? undefined : new Drawn(draw, frames.fps && frames.fps / (frames.every ?? 1));
  const look = async () => {
    const stream = detector.stream({ hold, deadZone });
    let before: string | undefined;
    let dropped = 0;
    for await (const each of framesOf(from, { ...frames, signal: controller.signal })) {
      const { frame, time, photo } = each;
      const { width, height, rgb: data } = photo;
      const result = await stream.next({ data, width, height, channels: 3 });
      dropped += each.dropped ?? 0;
      const ofCamera = from.camera === undefined ? {} : { dropped };
      const record: FrameRecord = { path: withoutSecrets(source), ...result, frame, time, ...ofCamera };
      const objects = objectsOf(record);
      if (!onlyChanges || objects !== before) {
        live.clear();
        await lines.write(format === 'ndjson' ? `${JSON.stringify(record)}\n` : lineOf(record));
        dropped = 0;
      }
      live.show(record);
      before = objects;
      await drawn?.add(each, result);
    }
  };
  // whatever fails, all that was begun is ended, and the first failure is told
  let failure: unknown;
  for (const step of [look, () => lines.end(), () => drawn?.end(), () => detector.close()]) {
    try {
      await step();
    } catch (error) {
      failure ??= error;
    }
    live.clear();
  }
  release();
  if (failure === undefined) return 0;
  if (!(failure instanceof SpikingYoloError) || failure.code === 'USAGE') throw failure;
  if (failure.code === 'ABORTED') return 130;
  // what was found before stays
  printError(failure.message);
  return 1;
}
