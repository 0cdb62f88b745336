import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { DetectedPhoto } from '../../src/export/detected-photo.js';
import { classNames, toCoco, toVoc, toYolo } from '../../src/export/formats.js';
import { checkRecord } from '../../src/export/records.js';
import { root } from '../support/shared.js';

const detection = (classId: number, name: string, score: number, box: [number, number, number, number]) => ({
  class: name,
  classId,
  score,
  box: { x1: box[0], y1: box[1], x2: box[2], y2: box[3] },
});
const photos: DetectedPhoto[] = [
  {
    path: 'in/000000000139.jpg',
    width: 200,
    height: 100,
    detections: [detection(7, 'cat', 0.9, [10, 20, 60, 80]), detection(14, 'person', 0.25, [0, 0, 200, 100])],
  },
  { path: 'in/000000000285.jpg', width: 50, height: 50, detections: [] },
];
const names = classNames(photos, undefined);

describe('COCO', () => {
  const files = toCoco(photos, names);
  const results = JSON.parse(files.get('results.json')!);
  const annotations = JSON.parse(files.get('annotations.json')!);

  it('results: image_id, category_id, bbox as [left, top, width, height], score', () => {
    expect(results).toEqual([
      { image_id: 139, category_id: 8, bbox: [10, 20, 50, 60], score: 0.9 },
      { image_id: 139, category_id: 15, bbox: [0, 0, 200, 100], score: 0.25 },
    ]);
  });

  it('annotations: every id is resolvable, areas and ids are right', () => {
    const images = new Map(annotations.images.map((image: { id: number }) => [image.id, image]));
    const categories = new Map(
      annotations.categories.map((category: { id: number }) => [category.id, category]),
    );
    expect(images.get(139)).toMatchObject({ file_name: '000000000139.jpg', width: 200, height: 100 });
    expect(images.get(285)).toMatchObject({ file_name: '000000000285.jpg' });
    expect(categories.get(8)).toMatchObject({ name: 'cat' });
    const ids = annotations.annotations.map(({ id }: { id: number }) => id);
    expect(new Set(ids).size).toBe(2);
    for (const { image_id, category_id, bbox, area, iscrowd } of annotations.annotations) {
      expect(images.has(image_id) && categories.has(category_id)).toBe(true);
      expect(area).toBe(bbox[2] * bbox[3]);
      expect(iscrowd).toBe(0);
    }
  });

  it('scores as pycocotools would: matched by image and category at the IoU of [x, y, w, h]', () => {
    // the object is worked out by hand: intersection 50·50, union 50·60 + 50·50 − 2500
    const iou = ([ax, ay, aw, ah]: number[], [bx, by, bw, bh]: number[]) => {
      const width = Math.min(ax! + aw!, bx! + bw!) - Math.max(ax!, bx!);
      const height = Math.min(ay! + ah!, by! + bh!) - Math.max(ay!, by!);
      const both = Math.max(0, width) * Math.max(0, height);
      return both / (aw! * ah! + bw! * bh! - both);
    };
    expect(iou(results[0].bbox, [10, 30, 50, 50])).toBeCloseTo(2500 / 3000, 12);
  });

  const cocoOf = (records: DetectedPhoto[], given?: string[]) => {
    const exported = toCoco(records, classNames(records, given));
    return [...exported.values()].map((text) => JSON.parse(text));
  };
  const caseLines = (name: string): DetectedPhoto[] =>
    readFileSync(`${root}test/cases/export-coco/${name}`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('names photos below their common folder, so that two of one name differ', () => {
    const [, { images }] = cocoOf(caseLines('same-name.ndjson'));
    expect(images.map(({ file_name }: { file_name: string }) => file_name)).toEqual([
      'a/0000.jpg',
      'b/0000.jpg',
    ]);
    const [, single] = cocoOf([{ ...photos[0]!, path: 'in/a\\b.jpg' }]);
    expect(single.images[0].file_name).toBe('a\\b.jpg');
  });

  it('counts COCO’s 80 classes as COCO does, others from 1', () => {
    const given = readFileSync(`${root}test/cases/export-coco/coco.names`, 'utf8').trim().split('\n');
    for (const all of [given, undefined]) {
      const [found, { categories }] = cocoOf(caseLines('coco80.ndjson'), all);
      expect(found.map(({ category_id }: { category_id: number }) => category_id)).toEqual([90, 13]);
      expect(categories.at(-1)).toMatchObject({ id: 90, name: 'toothbrush' });
    }
    const motorcycle = [{ ...photos[0]!, detections: [detection(3, 'motorcycle', 0.5, [0, 0, 1, 1])] }];
    expect(cocoOf(motorcycle)[0][0].category_id).toBe(4);
    const tram = [{ ...photos[0]!, detections: [detection(79, 'tram', 0.5, [0, 0, 1, 1])] }];
    expect(cocoOf(tram)[0][0].category_id).toBe(80);
  });

  it('numbers photos from 1 where their names are no numbers, or not distinct ones', () => {
    const named = photos.map((photo, i) => ({ ...photo, path: `x${i}.jpg` }));
    expect(
      JSON.parse(toCoco(named, names).get('annotations.json')!).images.map(({ id }: { id: number }) => id),
    ).toEqual([1, 2]);
    const same = photos.map((photo, i) => ({ ...photo, path: `${i}/7.jpg` }));
    expect(
      JSON.parse(toCoco(same, names).get('annotations.json')!).images.map(({ id }: { id: number }) => id),
    ).toEqual([1, 2]);
  });
});

describe('PASCAL VOC', () => {
  it('a file a class: name, score, and pixels that count from 1', () => {
    const files = toVoc(photos, classNames(photos, undefined));
    expect([...files.keys()]).toEqual(['comp4_det_test_cat.txt', 'comp4_det_test_person.txt']);
    // the kit reads '%s %f %f %f %f %f'; a box over the whole photo is 1 1 width height
    expect(files.get('comp4_det_test_person.txt')).toBe(
      '000000000139 0.250000 1.000 1.000 200.000 100.000\n',
    );
    const [id, score, ...corners] = files.get('comp4_det_test_cat.txt')!.trim().split(' ');
    expect([id, Number(score), ...corners.map(Number)]).toEqual(['000000000139', 0.9, 11, 21, 60, 80]);
  });

  it('has a file for every class that is named, and refuses two photos of one name', () => {
    const all = classNames(photos, [
      ...Array(7)
        .fill('')
        .map((_, i) => `c${i}`),
      'cat',
      ...Array(6)
        .fill('')
        .map((_, i) => `d${i}`),
      'person',
    ]);
    expect(toVoc(photos, all).get('comp4_det_test_c3.txt')).toBe('');
    const twice = [photos[0]!, { ...photos[1]!, path: 'elsewhere/000000000139.png' }];
    expect(() => toVoc(twice, names)).toThrow(/would both be/);
    expect(() => toVoc([{ ...photos[1]!, path: 'a b.jpg' }], names)).toThrow(/has a space/);
    const slashed = new Map([
      [0, 'a b'],
      [1, 'a/b'],
    ]);
    expect(() => toVoc([photos[1]!], slashed)).toThrow(/one file/);
  });
});

describe('YOLO', () => {
  it('a file a photo: class, centre and extent as parts of the photo', () => {
    const files = toYolo(photos, names, false);
    const rows = files
      .get('000000000139.txt')!
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    expect(rows).toEqual([
      [7, 0.175, 0.5, 0.25, 0.6],
      [14, 0.5, 0.5, 1, 1],
    ]);
    expect(files.get('000000000285.txt')).toBe('');
    expect(toYolo(photos, names, true).get('000000000139.txt')!.split('\n')[0]).toMatch(/ 0\.900000$/);
  });

  it('classes.txt names each class in the line of its number', () => {
    const classes = toYolo(photos, names, false).get('classes.txt')!.split('\n');
    expect([classes[7], classes[14], classes[15]]).toEqual(['cat', 'person', '']);
  });
});

describe('classNames', () => {
  it('refuses names that disagree', () => {
    expect(() => classNames(photos, ['dog'])).toThrow(expect.objectContaining({ code: 'FILE' }));
    const other = { ...photos[0]!, detections: [detection(7, 'dog', 1, [0, 0, 1, 1])] };
    expect(() => classNames([...photos, other], undefined)).toThrow(/"dog" there, and "cat" elsewhere/);
  });
});

describe('checkRecord', () => {
  const record = (fields: object) => ({
    path: 'a',
    width: 9,
    height: 9,
    detections: [{ ...detection(1, 'cat', 0.5, [0, 0, 1, 1]), ...fields }],
  });

  it.each([
    record({ classId: 4e8 }),
    record({ classId: -1 }),
    record({ score: 1e300 }),
    record({ class: 'a\nb' }),
    record({ box: { x1: 5, y1: 0, x2: 1, y2: 1 } }),
    { ...record({}), width: 0 },
    null,
    1,
    {},
    { path: 1 },
    { path: 'a', error: {} },
    { path: 'a', width: 1, height: 1, detections: [{}] },
  ])('refuses %j', (value) => {
    expect(() => checkRecord(value, 'f')).toThrow(/f: .* is not a line of detect/);
  });
});
