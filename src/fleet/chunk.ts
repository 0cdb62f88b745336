/** What a job of the queue says: some photos, and what they are looked at with. */
import { resolve } from 'node:path';
import { RUN_OPTION_NAMES } from '../detection/settings.js';
import type { DetectorOptions, ModelSource } from '../detector.js';
import { queueError, SpikingYoloError, withoutSecrets } from '../errors.js';
import { sha256 } from '../files.js';

/** Of what jobs, keys and result files look like; another one's are refused. */
export const QUEUE_VERSION = 1;

/** Most photos of a chunk. */
export const LARGEST_CHUNK = 1000;

/** Options that travel with the work; those of the machine (threads, back-end, ...) do not. */
const TRAVELLING = [
  ...RUN_OPTION_NAMES,
  ...(['preset', 'conf', 'iou', 'maxDet', 'classes', 'resize', 'checksum', 'ann'] as const),
] as const;

/** What all photos of a queue are looked at with. */
export interface WorkPlan {
  version: number;
  model: { name: string; sha256: string };
  /** As they were given; what was not is settled by the model. */
  options: DetectorOptions;
  /** As they were settled, which is what results are recorded with. */
  recorded: Record<string, unknown>;
}

/** The data of a job. */
export interface Chunk {
  plan: WorkPlan;
  /** That paths count from. */
  folder: string;
  /** Paths and `http(s)` addresses. */
  photos: string[];
}

/** Of options those that travel. */
export function travelling(options: DetectorOptions): DetectorOptions {
  return Object.fromEntries(
    TRAVELLING.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  );
}

/** The plan of some options. */
export const planOf = (
  { name, bytes }: ModelSource,
  options: DetectorOptions,
  recorded: Record<string, unknown>,
): WorkPlan => ({
  version: QUEUE_VERSION,
  model: { name, sha256: sha256(bytes) },
  options: travelling(options),
  recorded,
});

/** True for a photo that is fetched. */
export const isAddress = (photo: string) => /^https?:\/\//i.test(photo);

/** A photo as results name it: an address without the name and password that it may hold. */
export function nameOf(photo: string): string {
  if (!isAddress(photo)) return photo;
  try {
    const url = new URL(photo);
    url.username = '';
    url.password = '';
    return url.href;
  } catch {
    return withoutSecrets(photo);
  }
}

/** Where a photo of a chunk is, on any machine. */
export const placeOf = (photo: string, folder: string) => (isAddress(photo) ? photo : resolve(folder, photo));

/** Where a chunk's photos are, as results name them. */
export const placesOf = ({ folder, photos }: Pick<Chunk, 'folder' | 'photos'>): string[] =>
  photos.map((photo) => nameOf(placeOf(photo, folder)));

/**
 * The id of a chunk's job: the same photos in the same order under the same plan are one job, whatever the photos' bytes and
 * from wherever they are named.
 */
export const idOf = (chunk: Chunk): string => idOfPlaces(chunk.plan, placesOf(chunk));

const idOfPlaces = (plan: WorkPlan, places: readonly string[]) => sha256(JSON.stringify([plan, places]));

/** True for the id of a job of such photos, by their places as results name them, or of another try of them. */
export const isIdOf = (id: string, plan: WorkPlan, places: readonly string[]): boolean =>
  isId(id) && id.slice(0, 64) === idOfPlaces(plan, places);

/** True for what may be an id, and so a file's name. */
export const isId = (text: string) => /^[0-9a-f]{64}(-[0-9a-f]{8})?$/.test(text);

/** A job of another program: it fails alone. */
export class ForeignJobError extends SpikingYoloError {
  constructor(what: string) {
    super('QUEUE', `the queue holds ${what}, which is not of spiking-yolo; use another --name`);
  }
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Checks a plan that came from a queue; throws `QUEUE`, also for one of another version. */
export function checkPlan(value: unknown): WorkPlan {
  const { version, model, options, recorded } = isRecord(value) ? value : {};
  if (typeof version === 'number' && version !== QUEUE_VERSION)
    throw queueError(
      `the queue was made by another version of spiking-yolo (its form is ${version}, this one's is ${QUEUE_VERSION}); use that one, or another --name`,
    );
  if (
    version === undefined ||
    !(
      isRecord(model) &&
      isText(model.name) &&
      isText(model.sha256) &&
      isRecord(options) &&
      isRecord(recorded)
    )
  )
    throw new ForeignJobError('a job');
  return {
    version: QUEUE_VERSION,
    model: { name: model.name, sha256: model.sha256 },
    options: travelling(options),
    recorded,
  };
}

/** Checks the data of a job; throws `QUEUE`. */
export function checkChunk(value: unknown): Chunk {
  const { plan, folder, photos } = isRecord(value) ? value : {};
  const checked = checkPlan(plan);
  if (
    !(isText(folder) && Array.isArray(photos) && photos.length > 0 && photos.length <= LARGEST_CHUNK) ||
    !photos.every(isText)
  )
    throw new ForeignJobError('a job without photos');
  return { plan: checked, folder, photos };
}

/** Checks that a job's id, which names a file, is its chunk's (or another try's of the same photos); throws `QUEUE`. */
export function checkId(id: string | undefined, chunk: Chunk): void {
  if (!isIdOf(id ?? '', chunk.plan, placesOf(chunk)))
    throw new ForeignJobError('a job whose id is not its photos’');
}
