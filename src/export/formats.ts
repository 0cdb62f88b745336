import { fileError } from '../errors.js';
import { areCocos, cocoCategoryId } from './coco-categories.js';
import { type DetectedPhoto, photoOf } from './detected-photo.js';

/** Files to write: text by name. */
export type ExportedFiles = Map<string, string>;

const baseName = (path: string) => path.slice(path.lastIndexOf('/') + 1);

/** Name without folder and extension: how the formats call a photo. */
const photoId = (path: string) => baseName(path).replace(/(?<=.)\.[^.]*$/, '');

/** Throws `FILE` if two photos would have the same name in the export. */
function checkIds(photos: readonly DetectedPhoto[]): void {
  const seen = new Map<string, string>();
  for (const { path } of photos) {
    const id = photoId(path);
    const other = seen.get(id);
    if (other !== undefined)
      throw fileError(`${path} and ${other} would both be "${id}" in the export; export their folders apart`);
    seen.set(id, path);
  }
}

/**
 * Class names by id: those given, else those that occur; throws `FILE` if they disagree.
 *
 * @example
 * ```ts
 * import { classNames } from 'spiking-yolo';
 *
 * const photos = [
 *   {
 *     path: 'cat.jpg',
 *     width: 100,
 *     height: 50,
 *     detections: [{ class: 'cat', classId: 0, score: 0.5, box: { x1: 10, y1: 10, x2: 30, y2: 20 } }],
 *   },
 * ];
 * console.log(classNames(photos)); // Map(1) { 0 => 'cat' }
 * ```
 */
export function classNames(photos: readonly DetectedPhoto[], given?: readonly string[]): Map<number, string> {
  const names = new Map<number, string>(given?.entries() ?? []);
  for (const { path, detections } of photos) {
    for (const { class: name, classId } of detections) {
      const known = names.get(classId);
      if (known !== undefined ? known !== name : given !== undefined)
        throw fileError(
          `${path}: class ${classId} is "${name}" there, and "${known ?? 'unknown'}" elsewhere`,
        );
      names.set(classId, name);
    }
  }
  return new Map([...names].sort(([a], [b]) => a - b));
}

/** Names of photos below the folder that all of them have in common. */
function namesBelowCommonFolder(photos: readonly DetectedPhoto[]): string[] {
  const paths = photos.map((photo) => photoOf(photo).split('/'));
  const [first = []] = paths;
  let common = 0;
  while (
    paths.every((parts) => common < parts.length - 1 && parts[common] === first[common]) &&
    paths.length > 0
  )
    common++;
  return paths.map((parts) => parts.slice(common).join('/'));
}

/** COCO numbers photos: by their name if all are numbers (as COCO's own are), else in their order from 1. */
function imageIds(photos: readonly DetectedPhoto[]): number[] {
  const numbers = photos.map(({ path }) =>
    /^\d{1,15}$/.test(photoId(path)) ? Number(photoId(path)) : Number.NaN,
  );
  const distinct = new Set(numbers);
  return !distinct.has(Number.NaN) && distinct.size === photos.length ? numbers : photos.map((_, i) => i + 1);
}

/**
 * COCO: `results.json`, what the evaluation server takes (image_id, category_id, bbox [x, y, width, height], score),
 * and `annotations.json`, the same as a data set with its images and categories. Category ids are class ids from 1, or
 * COCO's own (1 to 90) where the classes are its 80; file names are below the photos' common folder.
 * https://cocodataset.org/#format-results
 *
 * @example
 * ```ts
 * import { classNames, toCoco } from 'spiking-yolo';
 *
 * const photos = [
 *   {
 *     path: 'cat.jpg',
 *     width: 100,
 *     height: 50,
 *     detections: [{ class: 'cat', classId: 0, score: 0.5, box: { x1: 10, y1: 10, x2: 30, y2: 20 } }],
 *   },
 * ];
 * const [result] = JSON.parse(toCoco(photos, classNames(photos)).get('results.json'));
 * console.log(result.bbox); // [ 10, 10, 20, 10 ]
 * ```
 */
export function toCoco(photos: readonly DetectedPhoto[], names: ReadonlyMap<number, string>): ExportedFiles {
  const ids = imageIds(photos);
  const fileNames = namesBelowCommonFolder(photos);
  const categoryId = areCocos(names) ? cocoCategoryId : (classId: number) => classId + 1;
  const results = photos.flatMap(({ detections }, i) =>
    detections.map(({ classId, score, box: { x1, y1, x2, y2 } }) => ({
      image_id: ids[i]!,
      category_id: categoryId(classId),
      bbox: [x1, y1, x2 - x1, y2 - y1],
      score,
    })),
  );
  const annotations = {
    images: photos.map(({ width, height }, i) => ({
      id: ids[i]!,
      file_name: fileNames[i]!,
      width,
      height,
    })),
    categories: [...names].map(([classId, name]) => ({
      id: categoryId(classId),
      name,
      supercategory: '',
    })),
    annotations: results.map((result, i) => ({
      id: i + 1,
      ...result,
      area: result.bbox[2]! * result.bbox[3]!,
      iscrowd: 0,
      segmentation: [],
    })),
  };
  return new Map([
    ['results.json', `${JSON.stringify(results)}\n`],
    ['annotations.json', `${JSON.stringify(annotations)}\n`],
  ]);
}

/**
 * PASCAL VOC result files, one a class: `comp4_det_test_<class>.txt`, each line `<photo> <score> <xmin> <ymin> <xmax>
 * <ymax>`. Pixels count from 1 there: the box from x1 to x2 covers the pixels x1 + 1 to x2.
 * VOC2012 development kit, section 8.2.2 (detection results).
 *
 * @example
 * ```ts
 * import { classNames, toVoc } from 'spiking-yolo';
 *
 * const photos = [
 *   {
 *     path: 'cat.jpg',
 *     width: 100,
 *     height: 50,
 *     detections: [{ class: 'cat', classId: 0, score: 0.5, box: { x1: 10, y1: 10, x2: 30, y2: 20 } }],
 *   },
 * ];
 * console.log(toVoc(photos, classNames(photos)).get('comp4_det_test_cat.txt').trim()); // cat 0.500000 11.000 11.000 30.000 20.000
 * ```
 */
export function toVoc(photos: readonly DetectedPhoto[], names: ReadonlyMap<number, string>): ExportedFiles {
  checkIds(photos);
  const spaced = photos.find(({ path }) => /\s/.test(photoId(path)));
  if (spaced)
    throw fileError(
      `${spaced.path}: its name has a space, which ends a photo's name in VOC's files; rename it`,
    );
  const lines = new Map<number, string[]>([...names.keys()].map((classId) => [classId, []]));
  for (const { path, detections } of photos) {
    for (const { classId, score, box } of detections) {
      const corners = [box.x1 + 1, box.y1 + 1, box.x2, box.y2].map((value) => value.toFixed(3));
      lines.get(classId)!.push(`${photoId(path)} ${score.toFixed(6)} ${corners.join(' ')}\n`);
    }
  }
  const files = new Map(
    [...lines].map(([classId, own]) => [`comp4_det_test_${fileName(names.get(classId)!)}.txt`, own.join('')]),
  );
  if (files.size < names.size)
    throw fileError(`two of the classes would have one file: ${[...names.values()].join(', ')}`);
  return files;
}

const fileName = (name: string) => name.replace(/[^\p{L}\p{N}_.-]+/gu, '_');

/**
 * YOLO: `<photo>.txt` with a line an object, `<class> <x> <y> <width> <height>`, centre and extent as parts of the
 * photo's, with `scores` the score after them; and `classes.txt`, a name a line.
 *
 * @example
 * ```ts
 * import { classNames, toYolo } from 'spiking-yolo';
 *
 * const photos = [
 *   {
 *     path: 'cat.jpg',
 *     width: 100,
 *     height: 50,
 *     detections: [{ class: 'cat', classId: 0, score: 0.5, box: { x1: 10, y1: 10, x2: 30, y2: 20 } }],
 *   },
 * ];
 * console.log(toYolo(photos, classNames(photos)).get('cat.txt').trim()); // 0 0.200000 0.300000 0.200000 0.200000
 * ```
 */
export function toYolo(
  photos: readonly DetectedPhoto[],
  names: ReadonlyMap<number, string>,
  scores = false,
): ExportedFiles {
  checkIds(photos);
  const files: ExportedFiles = new Map();
  for (const { path, width, height, detections } of photos) {
    const lines = detections.map(({ classId, score, box: { x1, y1, x2, y2 } }) => {
      const parts = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
      return `${[classId, ...[...parts, ...(scores ? [score] : [])].map((value) => value.toFixed(6))].join(' ')}\n`;
    });
    files.set(`${photoId(path)}.txt`, lines.join(''));
  }
  if (files.has('classes.txt'))
    throw fileError('a photo is called "classes", as is the file of the class names');
  const last = Math.max(-1, ...names.keys());
  const all = Array.from({ length: last + 1 }, (_, classId) => names.get(classId) ?? `class${classId}`);
  return files.set('classes.txt', all.map((name) => `${name}\n`).join(''));
}
