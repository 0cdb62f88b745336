import type { Detector, DetectorResult, PhotoSource } from '../detector.js';
import { readPhoto } from '../detector.js';
import { describeError, type Failure, SpikingYoloError } from '../errors.js';
import { writeWhole } from '../files.js';

/** One photo of a batch; `draw` is where its boxes are drawn, if anywhere. */
export interface PhotoTask {
  source: PhotoSource;
  draw?: string | undefined;
  /** Set if it is known already that the photo cannot be done: its outcome. */
  failure?: Failure | undefined;
}

/** What became of a photo: plain data, so that it can travel between threads. */
export type PhotoOutcome = (DetectorResult & { error?: undefined }) | Failure;

/**
 * Reads, detects and draws one photo. What is wrong with the photo or its files is the outcome; anything else is thrown.
 */
export async function processPhoto(
  detector: Detector,
  { source, draw, failure }: PhotoTask,
  onBlock?: (step: number) => void,
): Promise<PhotoOutcome> {
  if (failure) return failure;
  try {
    const start = performance.now();
    const photo = await readPhoto(source, detector.maxPixels);
    const decode = performance.now() - start;
    const result = detector.detectPhoto(photo, decode, onBlock);
    if (draw !== undefined) {
      const { drawDetections } = await import('../image/draw.js');
      await writeWhole(
        draw,
        await drawDetections(photo, result.detections, /\.png$/i.test(draw) ? 'png' : 'jpeg'),
      );
    }
    return result;
  } catch (error) {
    if (!(error instanceof SpikingYoloError)) throw error;
    return describeError(error);
  }
}
