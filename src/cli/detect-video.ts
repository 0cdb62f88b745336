import { createWriteStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { FrameResult } from '../detection/stream.js';
import { Detector } from '../detector.js';
import { fileError, reasonOf, SpikingYoloError, usageError, withPath } from '../errors.js';
import { isFolder, writeWhole } from '../files.js';
import { drawDetections } from '../image/draw.js';
import type { Photo } from '../image/resize.js';
import { readFrames } from '../video/frames.js';
import type { DetectOptions } from './detect.js';
import { detectorOptions, refuseOverwriting } from './options.js';
import { printError } from './print.js';
import { stopOnSignals } from './stop.js';

/** What a command line says of a video. */
export interface VideoOptions {
  fps?: number | undefined;
  every?: number | undefined;
  start?: number | undefined;
  duration?: number | undefined;
  deadZone?: number | undefined;
  onlyChanges?: boolean | undefined;
}

/** A line of a video's results: what `FrameResult` says, where it is from, and when it was. */
type FrameRecord = FrameResult & { path: string; time: number };

const objectsOf = ({ detections }: FrameRecord) =>
  detections
    .map((detection) => detection.class)
    .sort()
    .join(', ');

const lineOf = (record: FrameRecord) => {
  const { frame, time, changed, spikesPerNeuron = 0, elapsedMs } = record;
  const ms = Object.values(elapsedMs).reduce((sum, each) => sum + each, 0);
  return `frame ${frame}, ${time.toFixed(2)} s: ${objectsOf(record) || 'nothing'} (${(100 * changed).toFixed(1)} % changed, ${spikesPerNeuron.toFixed(2)} spikes a neuron, ${ms.toFixed(0)} ms)\n`;
};

/** Writes text where it belongs, waiting while the reader is slow; throws `FILE` if that fails. */
class Lines {
  private readonly stream: NodeJS.WritableStream;
  private readonly path: string | undefined;
  private failure: unknown;

  constructor(path: string | undefined) {
    this.path = path;
    this.stream = path === undefined ? process.stdout : createWriteStream(path);
    if (path !== undefined)
      this.stream.on('error', (error) => {
        this.failure = error;
      });
  }

  async write(text: string): Promise<void> {
    await new Promise<void>((resolve) => this.stream.write(text, () => resolve()));
    this.check();
  }

  async end(): Promise<void> {
    if (this.path !== undefined) await new Promise<void>((resolve) => this.stream.end(() => resolve()));
    this.check();
  }

  private check(): void {
    if (this.failure !== undefined)
      throw fileError(`${this.path}: cannot write it: ${reasonOf(this.failure)}`);
  }
}

/** `detect --video`: the frames of a video, one after another, a line each. */
export async function detectVideo(
  source: string,
  inputs: readonly string[],
  { onlyChanges, deadZone, ...frames }: VideoOptions,
  given: DetectOptions,
): Promise<number> {
  const { format: asked, out, resume, shard, watch, draw, ...rest } = given;
  if (inputs.length > 0) throw usageError('--video looks at one video; leave photos out');
  const refused = { resume, shard, watch, workers: rest.workers };
  const odd = Object.entries(refused).find(([, value]) => value !== undefined);
  if (odd)
    throw usageError(
      `--${odd[0]} is of photos: the frames of a video are looked at one after another, from --start on`,
    );
  const format = asked ?? (out?.toLowerCase().endsWith('.ndjson') ? 'ndjson' : 'text');
  if (format !== 'text' && format !== 'ndjson')
    throw usageError(`frames are written as text or ndjson, not ${format}`);
  if (out !== undefined && existsSync(out))
    throw usageError(`${out} is there already; name another file or delete it`);
  if (draw !== undefined && existsSync(draw) && !(await isFolder(draw)))
    throw usageError('--draw takes a folder for the frames of a video');
  await refuseOverwriting({ out }, [source, rest.model]);
  const detector = await Detector.load(detectorOptions(rest));
  const controller = new AbortController();
  const release = stopOnSignals(controller);
  const lines = new Lines(out);
  try {
    const stream = detector.stream({ deadZone });
    let before: string | undefined;
    for await (const { frame, time, photo } of readFrames(source, { ...frames, signal: controller.signal })) {
      const { width, height, rgb: data } = photo;
      const result = await stream.next({ data, width, height, channels: 3 });
      const record: FrameRecord = { path: source, ...result, frame, time };
      const objects = objectsOf(record);
      if (!onlyChanges || objects !== before)
        await lines.write(format === 'ndjson' ? `${JSON.stringify(record)}\n` : lineOf(record));
      before = objects;
      if (draw !== undefined)
        await drawFrame(join(draw, `${String(frame).padStart(6, '0')}.jpg`), photo, result);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof SpikingYoloError)) throw error;
    if (error.code === 'ABORTED') return 130;
    if (error.code === 'USAGE') throw error;
    // what was found before stays
    printError(reasonOf(withPath(source, error)));
    return 1;
  } finally {
    release();
    await lines.end();
    await detector.close();
  }
}

async function drawFrame(path: string, photo: Photo, { detections }: FrameResult): Promise<void> {
  await writeWhole(path, await drawDetections(photo, detections, 'jpeg'));
}
