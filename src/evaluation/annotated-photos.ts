import { basename, extname, join } from 'node:path';
import { fileError, reasonOf, SpikingYoloError, withoutPath } from '../errors.js';
import { listPhotos, readText, readXml } from '../files.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
import { readPhotoFile } from '../image/read-resized.js';
import { canonicalClassName } from './class-names.js';
import type { Evaluator, PhotoMeasurement } from './evaluate.js';
import type { GroundTruth } from './mean-average-precision.js';
import type { EvaluationState } from './state.js';
import { parseVocAnnotation } from './voc-annotation.js';

/** A photo and its PASCAL VOC annotation. */
export interface AnnotatedPhoto {
  /** Name without folder and extension. */
  id: string;
  path: string;
  annotation: string;
}

/** Where annotated photos are. */
export interface PhotoSet {
  /** Folder of photos. */
  images: string;
  /** Folder of PASCAL VOC annotations, `<id>.xml`. */
  annotations: string;
  /** File that lists the ids to take, one a line (VOC's number behind an id is passed over); default: the whole folder. */
  ids?: string | undefined;
  /** Takes the first so many only. */
  limit?: number | undefined;
}

/**
 * Lists annotated photos; throws `FILE` if there is none or an id occurs twice.
 *
 * @example
 * ```ts
 * import { mkdirSync, copyFileSync, writeFileSync } from 'node:fs';
 * import { listAnnotatedPhotos } from 'spiking-yolo';
 *
 * mkdirSync('annotated');
 * copyFileSync('samples/cat.jpg', 'annotated/cat.jpg');
 * writeFileSync(
 *   'annotated/cat.xml',
 *   '<annotation><object><name>cat</name><bndbox><xmin>48</xmin><ymin>60</ymin><xmax>420</xmax><ymax>299</ymax></bndbox></object></annotation>',
 * );
 * const photos = await listAnnotatedPhotos({ images: 'annotated', annotations: 'annotated' });
 * console.log(photos[0].id); // cat
 * ```
 */
export async function listAnnotatedPhotos({
  images,
  annotations,
  ids,
  limit,
}: PhotoSet): Promise<AnnotatedPhoto[]> {
  const found = new Map<string, string>();
  for (const path of await listPhotos(images)) {
    const id = basename(path, extname(path));
    if (found.has(id)) throw fileError(`${path}: another photo has the same name, ${found.get(id)}`);
    found.set(id, path);
  }
  if (found.size === 0) throw fileError(`${images}: the folder holds no ${PHOTO_FORMATS} file`);
  const wanted = ids === undefined ? [...found.keys()] : await readIds(ids, found);
  return wanted.slice(0, limit).map((id) => ({
    id,
    // reported as missing when its turn comes
    path: found.get(id) ?? join(images, `${id}.jpg`),
    annotation: join(annotations, `${id}.xml`),
  }));
}

/** Ids of a list: a line is a photo's name, which may have spaces, or as in VOC's own lists a name and a number behind it. */
async function readIds(path: string, photos: ReadonlyMap<string, string>): Promise<string[]> {
  const ids = (await readText(path)).split(/\r?\n/).flatMap((text) => {
    const line = text.trim();
    return (photos.has(line) ? line : line.replace(/\s+-?\d+$/, '')) || [];
  });
  if (ids.length === 0) throw fileError(`${path}: the file lists no photo`);
  const seen = new Set<string>();
  const twice = ids.find((id) => seen.size === seen.add(id).size);
  if (twice !== undefined) throw fileError(`${path}: lists ${twice} twice`);
  return ids;
}

/**
 * Objects of a photo of classes that the network has, under its names: spelling of COCO or VOC, case and spaces make no
 * difference. Names of other classes are added to `unknown`, their objects left out. Throws `FILE`.
 */
export async function readGroundTruth(
  path: string,
  classes: readonly string[],
  unknown: Set<string>,
): Promise<GroundTruth[]> {
  const known = new Map(classes.map((name) => [canonicalClassName(name), name]));
  return parseVocAnnotation(await readXml(path)).flatMap((object) => {
    const name = classes.includes(object.class) ? object.class : known.get(canonicalClassName(object.class));
    if (name === undefined) unknown.add(object.class);
    return name === undefined ? [] : [{ ...object, class: name }];
  });
}

/** What is told about an evaluation under way. */
export interface EvaluationListener {
  /** So many photos were measured before. */
  onResume?(photos: number): void;
  onBlock?(step: number): void;
  onPhoto?(): void;
  onFailure?(path: string, message: string): void;
  /** Classes that are annotated and that the network does not have: left out of the mean. */
  onUnknownClasses?(names: readonly string[]): void;
}

/**
 * Measures the photos that the state does not hold yet and returns all that could be measured, in the order of the
 * list. A photo that cannot be read, or whose annotation is missing, is reported and left out.
 */
export async function measurePhotos(
  evaluator: Evaluator,
  photos: readonly AnnotatedPhoto[],
  classes: readonly string[],
  state: EvaluationState,
  listener: EvaluationListener,
): Promise<PhotoMeasurement[]> {
  listener.onResume?.(photos.filter(({ id }) => state.measurements.has(id)).length);
  const unknown = new Set<string>();
  for (const { id, path, annotation } of photos) {
    if (state.measurements.has(id)) continue;
    let file = annotation;
    let measurement: PhotoMeasurement | undefined;
    try {
      const groundTruth = await readGroundTruth(annotation, classes, unknown);
      file = path;
      const photo = await readPhotoFile(path);
      measurement = evaluator.measure(photo, groundTruth, listener.onBlock);
    } catch (error) {
      if (!(error instanceof SpikingYoloError)) throw error;
      listener.onFailure?.(file, withoutPath(file, reasonOf(error)));
    }
    if (measurement) await state.add(id, measurement);
    listener.onPhoto?.();
  }
  if (unknown.size > 0) listener.onUnknownClasses?.([...unknown].sort());
  return photos.flatMap(({ id }) => state.measurements.get(id) ?? []);
}
