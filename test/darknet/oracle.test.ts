import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { foldBatchNorm } from '../../src/conversion/fold.js';
import { parseCfg } from '../../src/darknet/cfg.js';
import { loadDarknet } from '../../src/darknet/load.js';
import { parseWeights } from '../../src/darknet/weights.js';
import type { Detection } from '../../src/decoding/nms.js';
import { FloatDetector } from '../../src/detection/detector.js';
import { decodePhoto, Jimp } from '../../src/image/read-photo.js';
import { type Photo, resizePhoto } from '../../src/image/resize.js';
import { createFloatNetwork } from '../../src/network/float-network.js';
import { best } from '../support/backends.js';
import { randomNumbers } from '../support/plans.js';
import { describeWithShared, hasShared, shared, tinyYoloVoc, trial3 } from '../support/shared.js';

/**
 * Debian's darknet is an independent implementation of the whole float side: letterbox, network, region layer, NMS.
 * `.ci/run` installs it; a machine without it fails here rather than passing quietly.
 */
const noBatch = {
  ...trial3,
  cfg: trial3.cfg.replace('.cfg', '-noBatch.cfg'),
  weights: trial3.weights.replace('.weights', '-noBatch.weights'),
};

interface Row {
  score: number;
  box: [number, number, number, number];
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'darknet-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `darknet detector valid` on photos: per class and photo the boxes it reports, which count pixels from 1. */
function darknetValid(files: typeof trial3, photos: string[]): Map<string, Row[]> {
  const run = mkdtempSync(join(folder, 'run-'));
  mkdirSync(join(run, 'results'));
  writeFileSync(join(run, 'photos.txt'), `${photos.join('\n')}\n`);
  const classes = readFileSync(files.names, 'utf8').trim().split('\n');
  copyFileSync(files.names, join(run, 'names'));
  writeFileSync(
    join(run, 'voc.data'),
    `classes=${classes.length}\nvalid=photos.txt\nnames=names\nresults=results\n`,
  );
  execFileSync('darknet', ['detector', 'valid', 'voc.data', files.cfg, files.weights, '-out', 'out_'], {
    cwd: run,
    stdio: 'pipe',
  });
  const rows = new Map<string, Row[]>();
  for (const name of classes) {
    for (const line of readFileSync(join(run, 'results', `out_${name}.txt`), 'utf8').split('\n')) {
      if (line === '') continue;
      const [id, score, x1, y1, x2, y2] = line.split(' ') as [string, ...string[]];
      const key = `${name} ${id}`;
      const row: Row = {
        score: Number(score),
        box: [x1, y1, x2, y2].map((value) => Number(value) - 1) as Row['box'],
      };
      rows.set(key, [...(rows.get(key) ?? []), row]);
    }
  }
  return rows;
}

const LOWEST = 0.05;

/** darknet's letterbox in floats, written from its definition: grey 0.5, corner-aligned bilinear, no rounding. */
function floatLetterbox({ width, height, rgb }: Photo, size: number): Float64Array {
  const scaledWidth = size * height < size * width ? size : Math.floor((width * size) / height);
  const scaledHeight = size * height < size * width ? Math.floor((height * size) / width) : size;
  const left = Math.floor((size - scaledWidth) / 2);
  const top = Math.floor((size - scaledHeight) / 2);
  const result = new Float64Array(size * size * 3).fill(127.5);
  for (let i = 0; i < scaledWidth * scaledHeight * 3; i++) {
    const [x, y, c] = [Math.floor(i / 3) % scaledWidth, Math.floor(i / 3 / scaledWidth), i % 3];
    const sx = (x * (width - 1)) / (scaledWidth - 1);
    const sy = (y * (height - 1)) / (scaledHeight - 1);
    const at = (column: number, row: number) =>
      rgb[(Math.min(row, height - 1) * width + Math.min(column, width - 1)) * 3 + c]!;
    const [column, row] = [Math.floor(sx), Math.floor(sy)];
    const between = (r: number) => at(column, r) * (1 - sx + column) + at(column + 1, r) * (sx - column);
    result[((top + y) * size + left + x) * 3 + c] =
      between(row) * (1 - sy + row) + between(row + 1) * (sy - row);
  }
  return result;
}

/** True if every row with a score of at least LOWEST has a partner within 1 px and .01 among the others. */
function unmatched(rows: Row[], others: Row[]): Row[] {
  return rows.filter(
    ({ score, box }) =>
      score >= LOWEST &&
      !others.some(
        (other) =>
          Math.abs(other.score - score) <= 0.01 &&
          other.box.every((value, i) => Math.abs(value - box[i]!) <= 1),
      ),
  );
}

const toRow = ({ score, box }: Detection): Row => ({ score, box: [box.x1, box.y1, box.x2, box.y2] });

describeWithShared('the float network against Debian’s darknet', () => {
  it.each([
    ['YOLO-LITE trial3', trial3],
    ['YOLO-LITE trial3 without batch-normalisation', noBatch],
    ['tiny-yolo-voc', tinyYoloVoc],
  ])('%s finds the same boxes on the demo photos', async (_, files) => {
    const demo = hasShared ? readdirSync(`${shared}data/photos`) : [];
    const photos: string[] = [];
    for (const name of demo) {
      // PNG, so that the JPEG decoders do not matter
      const image = await Jimp.read(`${shared}data/photos/${name}`);
      const path = join(folder, name.replace('.jpg', '.png'));
      if (!existsSync(path)) writeFileSync(path, await image.getBuffer('image/png'));
      photos.push(path);
    }
    expect(photos).toHaveLength(6);
    const theirs = darknetValid(files, photos);
    const detector = new FloatDetector(await loadDarknet(files, 'darknet-cpu'), 'trained', best);
    const classes = readFileSync(files.names, 'utf8').trim().split('\n');
    const options = { conf: 0.005, iou: 0.45, maxDet: 100_000, resize: 'letterbox:darknet' as const };
    const size = detector.floatNetwork.network.input.width;
    let compared = 0;
    let ownPixels = 0;
    for (const path of photos) {
      const photo = await decodePhoto(new Uint8Array(readFileSync(path)));
      const exact = floatLetterbox(photo, size);
      const bytes = resizePhoto('letterbox:darknet', photo, size, size);
      // our letterbox is darknet's, rounded to bytes
      expect(bytes.every((byte, i) => Math.abs(byte - exact[i]!) <= 0.500001)).toBe(true);
      const onExact = detector.detections(detector.floatNetwork.forward(exact), photo, options);
      const onBytes = detector.detect(photo, options).detections;
      for (const name of classes) {
        const ours = onExact.filter((detection) => detection.class === name).map(toRow);
        const darknets = theirs.get(`${name} ${path.split('/').at(-1)!.replace('.png', '')}`) ?? [];
        expect(unmatched(ours, darknets), `ours, not darknet's: ${name} on ${path}`).toEqual([]);
        expect(unmatched(darknets, ours), `darknet's, not ours: ${name} on ${path}`).toEqual([]);
        compared += ours.filter(({ score }) => score >= LOWEST).length;
        const rounded = onBytes.filter((detection) => detection.class === name).map(toRow);
        ownPixels += unmatched(rounded, darknets).length + unmatched(darknets, rounded).length;
      }
    }
    expect(compared).toBeGreaterThan(10);
    // rounding the pixels moves a score by a little over .01 here and there; it may not do more
    expect(ownPixels / compared).toBeLessThan(0.05);
  });
});

it.each([1, 2, 3])('pools of size %i are placed as darknet places them', async (size) => {
  // a network of one convolution, one pool and a head, its boxes compared with darknet's on a random picture
  const cfg = `[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=leaky\n[maxpool]\nsize=${size}\nstride=2\n[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[region]\nanchors=2,2\nclasses=1\nnum=1\nsoftmax=1\nthresh=.5\n`;
  const random = randomNumbers(size);
  const described = parseCfg(cfg);
  const count = 6 + 6 * 27 + 6 + 36;
  const bytes = new Uint8Array(20 + 4 * count);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, 2, true);
  for (let i = 0; i < count; i++) view.setFloat32(20 + 4 * i, (random() - 0.5) * 3, true);
  const network = createFloatNetwork(described.network, foldBatchNorm(parseWeights(described, bytes)), best);
  const pixels = Uint8Array.from({ length: 32 * 32 * 3 }, () => Math.floor(random() * 256));
  const picture = new Jimp({ width: 32, height: 32, color: 0xff });
  for (let i = 0; i < 32 * 32; i++) picture.bitmap.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
  const path = join(folder, `pool${size}.png`);
  writeFileSync(path, await picture.getBuffer('image/png'));
  const files = {
    cfg: join(folder, `pool${size}.cfg`),
    weights: join(folder, `pool${size}.weights`),
    names: join(folder, 'one'),
  };
  writeFileSync(files.cfg, cfg);
  writeFileSync(files.weights, bytes);
  writeFileSync(files.names, 'thing\n');
  // darknet loads four photos at once and crashes on fewer
  const photos = [path, ...[1, 2, 3].map((copy) => path.replace('.png', `-${copy}.png`))];
  for (const copy of photos.slice(1)) copyFileSync(path, copy);
  const theirs = darknetValid(files, photos).get(`thing pool${size}`) ?? [];
  const detector = new FloatDetector(
    {
      network: described.network,
      parameters: foldBatchNorm(parseWeights(described, bytes)),
      classes: ['thing'],
    },
    'trained',
    best,
  );
  const photo = { width: 32, height: 32, rgb: pixels };
  const ours = detector
    .detect(photo, { conf: 0.005, iou: 0.45, maxDet: 1000, resize: 'letterbox:darknet' })
    .detections.map(toRow);
  expect(network.forward(pixels).length).toBeGreaterThan(0);
  expect(ours.length).toBeGreaterThan(3);
  expect(unmatched(ours, theirs)).toEqual([]);
  expect(unmatched(theirs, ours)).toEqual([]);
});
