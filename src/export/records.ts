import { fileError } from '../errors.js';
import type { Detection } from '../heads/nms.js';
import { readJsonLines } from '../lines.js';
import type { PhotoOutcome } from '../workers/process-photo.js';

/** One line of `detect --format ndjson`: a photo and what became of it. */
export type PhotoRecord = {
  /** As it was given, from the folder that the command ran in. */
  path: string;
  /** The same from the root: which photo it is, wherever the command runs. */
  absolutePath?: string | undefined;
  settings?: Record<string, unknown> | undefined;
} & PhotoOutcome;

/**
 * What an outcome is recorded as.
 *
 * @param path as it was given
 * @param absolutePath what it leads to
 * @param settings recorded where something was found
 */
export const recordOf = (
  path: string,
  absolutePath: string,
  outcome: PhotoOutcome,
  settings: Record<string, unknown>,
): PhotoRecord => ({ path, absolutePath, ...outcome, ...(outcome.error ? {} : { settings }) });

const MAX_EXTENT = 1e6;
const MAX_CLASS = 65_535;

const within = (value: unknown, least: number, most: number) =>
  typeof value === 'number' && value >= least && value <= most;

function isDetection(value: unknown): value is Detection {
  const { class: name, classId, score, box } = (value ?? {}) as Partial<Detection>;
  return (
    typeof name === 'string' &&
    !/\p{Cc}/u.test(name) &&
    Number.isInteger(classId) &&
    within(classId, 0, MAX_CLASS) &&
    within(score, 0, 1) &&
    [box?.x1, box?.y1, box?.x2, box?.y2].every((value) => within(value, 0, MAX_EXTENT)) &&
    box!.x1 <= box!.x2 &&
    box!.y1 <= box!.y2
  );
}

/** True for a line that tells of a failure. */
export const isFailure = (record: PhotoRecord) => record.error !== undefined;

/** Checks that a value is a line of `detect --format ndjson`; throws `FILE` naming the file. */
export function checkRecord(value: unknown, file: string): PhotoRecord {
  const record = (value ?? {}) as PhotoRecord;
  const good =
    typeof record.path === 'string' &&
    ['undefined', 'string'].includes(typeof record.absolutePath) &&
    (record.error !== undefined
      ? typeof record.error?.code === 'string' && typeof record.error.message === 'string'
      : within(record.width, 1, MAX_EXTENT) &&
        within(record.height, 1, MAX_EXTENT) &&
        Array.isArray(record.detections) &&
        record.detections.every(isDetection));
  if (good && 'frame' in record)
    throw fileError(
      `${file}: holds the frames of a video, which are no photos that could be joined or exported`,
    );
  if (good) return record;
  throw fileError(
    `${file}: ${JSON.stringify(value).slice(0, 80)} is not a line of detect --format ndjson (a photo's path with its detections or error)`,
  );
}

/** Lines of a file written by `detect --format ndjson`; throws `FILE`. */
export async function* readRecords(file: string): AsyncGenerator<PhotoRecord> {
  for await (const value of readJsonLines(file)) yield checkRecord(value, file);
}
