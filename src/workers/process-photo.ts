import type { Detector, DetectorResult } from '../detector.js';
import { readPhoto } from '../detector.js';
import { type ErrorCode, reasonOf, SpikingYoloError } from '../errors.js';
import { writeWhole } from '../files.js';

/** One photo of a batch; `draw` is where its boxes are drawn, if anywhere. */
export interface PhotoTask {
  path: string;
  draw?: string | undefined;
}

/** What became of a photo: plain data, so that it can travel between threads. */
export type PhotoOutcome =
  | ({ path: string } & DetectorResult)
  | { path: string; error: { code: ErrorCode | 'INTERNAL'; message: string } };

/** An error as plain data. */
export const describeError = (error: unknown) => ({
  code: error instanceof SpikingYoloError ? error.code : ('INTERNAL' as const),
  message: reasonOf(error),
});

/** Reads, detects and draws one photo. Never throws: what goes wrong is the outcome. */
export async function processPhoto(
  detector: Detector,
  { path, draw }: PhotoTask,
  onBlock?: (step: number) => void,
): Promise<PhotoOutcome> {
  try {
    const start = performance.now();
    const photo = await readPhoto(path);
    const decode = performance.now() - start;
    const { width, height, rgb: data } = photo;
    const result = await detector.detect({ width, height, data, channels: 3 }, onBlock);
    result.elapsedMs.decode = decode;
    if (draw !== undefined) {
      const { drawDetections } = await import('../image/draw.js');
      await writeWhole(
        draw,
        await drawDetections(photo, result.detections, /\.png$/i.test(draw) ? 'png' : 'jpeg'),
      );
    }
    return { path, ...result };
  } catch (error) {
    return { path, error: describeError(error) };
  }
}
