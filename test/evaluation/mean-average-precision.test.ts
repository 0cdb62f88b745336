import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/evaluation/bootstrap.js';
import {
  type GroundTruth,
  matchPhoto,
  meanAveragePrecision,
  RankedClass,
} from '../../src/evaluation/mean-average-precision.js';
import { parseVocAnnotation } from '../../src/evaluation/voc-annotation.js';
import { root } from '../support/shared.js';

const box = (x: number) => ({ x1: x, y1: 0, x2: x + 9, y2: 9 });
const truth = (x: number, difficult = false) => ({ class: 'a', box: box(x), difficult });
const found = (x: number, score: number) => ({ class: 'a', box: box(x), score });

interface EvaluatedPhoto {
  detections: ReturnType<typeof found>[];
  groundTruth: GroundTruth[];
}
const matched = (photos: EvaluatedPhoto[]) =>
  photos.map(({ detections, groundTruth }) => matchPhoto(detections, groundTruth));
const score = (classes: string[], photos: EvaluatedPhoto[]) => meanAveragePrecision(classes, matched(photos));

/** The definition, written as slowly as it reads: every threshold is tried, every point of the curve looked at. */
function bySlowDefinition(photos: EvaluatedPhoto[]) {
  const claims = photos
    .flatMap((photo, p) => photo.detections.map((d, i) => ({ ...d, p, i })))
    .sort((a, b) => b.score - a.score);
  const positives = photos.flatMap((photo) => photo.groundTruth).filter((t) => !t.difficult).length;
  const iou = (a: { x1: number; x2: number }, b: { x1: number; x2: number }) => {
    const overlap = Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1) + 1);
    return overlap / (a.x2 - a.x1 + 1 + (b.x2 - b.x1 + 1) - overlap);
  };
  const points = claims.map((_, last) => {
    const taken = new Set<unknown>();
    let right = 0;
    let wrong = 0;
    for (const claim of claims.slice(0, last + 1)) {
      const truths = photos[claim.p]!.groundTruth;
      const best = truths.reduce<(typeof truths)[0] | undefined>(
        (b, t) => (!b || iou(claim.box, t.box) > iou(claim.box, b.box) ? t : b),
        undefined,
      );
      const hit = best && iou(claim.box, best.box) >= 0.5;
      if (hit && best.difficult) continue;
      if (hit && !taken.has(best)) {
        taken.add(best);
        right++;
      } else wrong++;
    }
    return { precision: right + wrong === 0 ? 0 : right / (right + wrong), recall: right / positives };
  });
  const best = (atLeast: number) =>
    Math.max(0, ...points.filter((p) => p.recall >= atLeast).map((p) => p.precision));
  const recalls = [...new Set(points.map((p) => p.recall))].sort((a, b) => a - b);
  let area = 0;
  let previous = 0;
  for (const recall of recalls) {
    area += (recall - previous) * best(recall);
    previous = recall;
  }
  const eleven = Array.from({ length: 11 }, (_, i) => best(i / 10)).reduce((sum, p) => sum + p, 0) / 11;
  return { eleven, area };
}

const randomPhoto = fc
  .record({
    // of boxes on one photo with one score, either may come first
    detections: fc.uniqueArray(
      fc.record({ x: fc.integer({ min: 0, max: 60 }), score: fc.double({ min: 0, max: 1, noNaN: true }) }),
      { maxLength: 8, selector: ({ score }) => score + 0 },
    ),
    truths: fc.array(fc.record({ x: fc.integer({ min: 0, max: 60 }), difficult: fc.boolean() }), {
      maxLength: 5,
    }),
  })
  .map(({ detections, truths }) => ({
    detections: detections.map(({ x, score }) => found(x, score)),
    groundTruth: truths.map(({ x, difficult }) => truth(x, difficult)),
  }));

describe('meanAveragePrecision', () => {
  it('is worked out by hand: one found, one missed, one wrong', () => {
    const photos = [{ detections: [found(0, 0.9), found(100, 0.8)], groundTruth: [truth(0), truth(50)] }];
    const { map11, mapAll } = score(['a', 'b'], photos);
    // recall ½ at precision 1, for the recalls 0, .1, … .5
    expect(map11).toBeCloseTo(6 / 11, 12);
    expect(mapAll).toBeCloseTo(0.5, 12);
  });

  it('ignores difficult objects and counts a second box on an object as wrong', () => {
    const photos = [
      {
        detections: [found(50, 0.95), found(0, 0.9), found(1, 0.8)],
        groundTruth: [truth(0), truth(50, true)],
      },
    ];
    expect(score(['a'], photos).mapAll).toBe(1);
    const twice = [{ detections: [found(1, 0.95), found(0, 0.9)], groundTruth: [truth(0), truth(30)] }];
    expect(score(['a'], twice).mapAll).toBeCloseTo(0.5, 12);
  });

  it('leaves out classes without an object', () => {
    expect(score(['a', 'z'], [{ detections: [found(0, 0.9)], groundTruth: [truth(0)] }]).mapAll).toBe(1);
  });

  it('equals the definition on random cases', () => {
    fc.assert(
      fc.property(fc.array(randomPhoto, { minLength: 1, maxLength: 4 }), (photos) => {
        fc.pre(photos.some(({ groundTruth }) => groundTruth.some((t) => !t.difficult)));
        const { eleven, area } = bySlowDefinition(photos);
        const { map11, mapAll } = score(['a'], photos);
        expect(map11).toBeCloseTo(eleven, 9);
        expect(mapAll).toBeCloseTo(area, 9);
      }),
      { numRuns: 300 },
    );
  });
});

describe('resampling', () => {
  it('a photo that occurs k times counts as k photos', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(randomPhoto, fc.integer({ min: 0, max: 3 })), { minLength: 1, maxLength: 4 }),
        (sample) => {
          const ranked = new RankedClass('a', matched(sample.map(([photo]) => photo)));
          const written = sample.flatMap(([photo, copies]) => Array(copies).fill(photo));
          expect(ranked.averagePrecision(Int32Array.from(sample, ([, copies]) => copies))).toEqual(
            score(['a'], written).perClass.a,
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('draws as many photos as there are, the same ones each time, and spreads around the mean', () => {
    const good = { detections: [found(0, 0.9)], groundTruth: [truth(0)] };
    const bad = { detections: [], groundTruth: [truth(0)] };
    const photos = matched([good, good, good, bad]);
    const maps = () => new Bootstrap(['a'], 4, 2000).maps(photos).map(({ mapAll }) => mapAll);
    const first = maps();
    expect(maps()).toEqual(first);
    // recall of a sample is a quarter, two quarters …: binomial with mean 3/4
    expect([...new Set(first)].sort()).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(first.reduce((sum, value) => sum + value, 0) / first.length).toBeCloseTo(0.75, 1);
  });
});

describe('class names', () => {
  it('may be any text: members of Object, numbers, entities', () => {
    const names = ['constructor', '__proto__', '0', 'true', 'R&D box', 'toString'];
    const box = { x1: 0, y1: 0, x2: 9, y2: 9 };
    const matches = matchPhoto(
      names.map((name) => ({ class: name, score: 0.5, box })),
      names.map((name) => ({ class: name, box, difficult: false })),
    );
    // as a state file keeps them
    const kept = JSON.parse(JSON.stringify(matches));
    for (const photo of [matches, kept]) {
      const { map11, perClass } = meanAveragePrecision([...names, 'valueOf'], [photo]);
      expect(map11).toBe(1);
      expect(Object.keys(perClass).sort()).toEqual([...names, 'valueOf'].sort());
    }
  });

  it.each([
    ['0.xml', '0'],
    ['007.xml', '007'],
    ['true.xml', 'true'],
    ['constructor.xml', 'constructor'],
    ['RampDbox.xml', 'R&D box'],
  ])('are text as written: %s', (file, name) => {
    const xml = readFileSync(`${root}test/cases/voc-names/${file}`, 'utf8');
    expect(parseVocAnnotation(xml).map((object) => object.class)).toEqual([name]);
  });

  it('may hold numbered entities, and difficult may be a word', () => {
    const xml =
      '<annotation><object><name>&lt;B&#228;r&gt;</name><difficult>True</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>';
    expect(parseVocAnnotation(xml)).toMatchObject([{ class: '<Bär>', difficult: true }]);
  });
});

describe('parseVocAnnotation', () => {
  const object =
    '<object><name>dog</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>';

  it('reads one or several objects', () => {
    const one = { class: 'dog', difficult: true, box: { x1: 1, y1: 2, x2: 30, y2: 40 } };
    expect(parseVocAnnotation(`<annotation>${object}</annotation>`)).toEqual([one]);
    expect(parseVocAnnotation(`<annotation>${object}${object}</annotation>`)).toEqual([one, one]);
    expect(parseVocAnnotation('<annotation><folder>x</folder></annotation>')).toEqual([]);
    expect(parseVocAnnotation('<annotation/>')).toEqual([]);
  });

  it.each([
    '<annotation><object>',
    '<other/>',
    'text',
    `<annotation>${object.replace('<name>dog</name>', '')}</annotation>`,
    `<annotation>${object.replace('30', 'wide')}</annotation>`,
    `<annotation>${object.replace('30', ' ')}</annotation>`,
    `<annotation>${object.replace('30', '0')}</annotation>`,
  ])('refuses %s', (xml) => {
    expect(() => parseVocAnnotation(xml)).toThrow(expect.objectContaining({ code: 'FILE' }));
  });
});
