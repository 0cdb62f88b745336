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
import { foldBatchNorm } from '../../../src/conversion/fold.js';
import { FloatDetector } from '../../../src/detection/detector.js';
import { type DarknetNetwork, parseCfg } from '../../../src/formats/darknet/cfg.js';
import { loadDarknet } from '../../../src/formats/darknet/load.js';
import { parseWeights } from '../../../src/formats/darknet/weights.js';
import type { Detection } from '../../../src/heads/nms.js';
import { drawDetections } from '../../../src/image/draw.js';
import { decodePhoto } from '../../../src/image/read-photo.js';
import { type Photo, resizePhoto } from '../../../src/image/resize.js';
import { inferShapes } from '../../../src/network/shapes.js';
import { best } from '../../support/backends.js';
import { randomNumbers } from '../../support/plans.js';
import { describeWithProgram } from '../../support/programs.js';
import { hasShared, shared, tinyYoloVoc, trial3 } from '../../support/shared.js';

/** Debian's darknet is an independent implementation of the whole float side: letterbox, network, region layer, NMS. */
const describeWithDarknet = describeWithProgram('darknet');

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

const writePng = async (path: string, photo: Photo) =>
  writeFileSync(path, await drawDetections(photo, [], 'png'));

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

describeWithDarknet.skipIf(!hasShared)('the float network against Debian’s darknet', () => {
  it.each([
    ['YOLO-LITE trial3', trial3],
    ['YOLO-LITE trial3 without batch-normalisation', noBatch],
    ['tiny-yolo-voc', tinyYoloVoc],
  ])('%s finds the same boxes on the demo photos', async (_, files) => {
    const demo = hasShared ? readdirSync(`${shared}data/photos`) : [];
    const photos: string[] = [];
    for (const name of demo) {
      // PNG, so that the JPEG decoders do not matter
      const path = join(folder, name.replace('.jpg', '.png'));
      if (!existsSync(path))
        await writePng(path, await decodePhoto(readFileSync(`${shared}data/photos/${name}`)));
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

/** A network of one convolution, one pool and a head. */
const smallCfg = ({ pool = 2, classes = 1, region = 'softmax=1\nanchors=2,2' } = {}) =>
  `[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=leaky\n[maxpool]\nsize=${pool}\nstride=2\n[convolutional]\nfilters=${5 + classes}\nsize=1\nactivation=linear\n[region]\nclasses=${classes}\nnum=1\nthresh=.5\n${region}\n`;

/** A body with everything that a graph may have, and two [yolo] heads; darknet of 2018 knows no route groups. */
const GRAPH = `[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
stride=2
activation=leaky
[convolutional]
filters=8
groups=8
size=3
pad=1
activation=relu
[convolutional]
filters=8
groups=2
activation=linear
[shortcut]
from=-3
activation=leaky
[maxpool]
size=5
stride=1
[route]
layers=-1,-2,0
[maxpool]
size=2
stride=2
[convolutional]
filters=7
activation=linear
[yolo]
mask=0
num=2
anchors=6,8, 12,10
classes=2
[route]
layers=-3
[upsample]
stride=2
[convolutional]
filters=14
activation=linear
[yolo]
num=2
anchors=6,8, 12,10
classes=2
`;

const yolov3Tiny = existsSync('/usr/share/darknet/cfg/yolov3-tiny.cfg')
  ? readFileSync('/usr/share/darknet/cfg/yolov3-tiny.cfg', 'utf8')
  : '';

/** A weights file whose values keep activations in bounds. */
function randomWeights({ network, batchNormalized }: DarknetNetwork, random: () => number): Uint8Array {
  const shapes = inferShapes(network);
  const values: number[] = [];
  const put = (count: number, value: () => number) => {
    for (let i = 0; i < count; i++) values.push(value());
  };
  for (const layer of network.layers) {
    if (layer.kind !== 'convolutional') continue;
    const heard = (shapes.get(layer.inputs[0]!)!.channels / layer.groups) * layer.size ** 2;
    put(layer.filters, () => random() - 0.5);
    if (batchNormalized.has(layer.name)) {
      put(layer.filters, () => 0.5 + random());
      put(layer.filters, () => (random() - 0.5) / 4);
      put(layer.filters, () => 0.5 + random());
    }
    put(layer.filters * heard, () => ((random() - 0.5) * 4) / Math.sqrt(heard));
  }
  const bytes = new Uint8Array(20 + 4 * values.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, 2, true);
  for (const [i, value] of values.entries()) view.setFloat32(20 + 4 * i, value, true);
  return bytes;
}

describeWithDarknet('small networks against Debian’s darknet', () => {
  it.each([
    ['a pool of size 1', smallCfg({ pool: 1 }), 1],
    ['a pool of size 2', smallCfg({ pool: 2 }), 1],
    ['a pool of size 3', smallCfg({ pool: 3 }), 1],
    ['a softmax over three classes', smallCfg({ classes: 3 }), 3],
    ['one class without softmax=', smallCfg({ region: 'anchors=2,2' }), 1],
    ['three classes without softmax=', smallCfg({ classes: 3, region: 'anchors=2,2' }), 3],
    ['a region without anchors', smallCfg({ region: 'softmax=1' }), 1],
    ['a graph with two heads', GRAPH, 2],
    ['YOLOv3-tiny itself', yolov3Tiny, 80],
  ])('%s: the same boxes on a random picture', async (_, cfg, classCount) => {
    const random = randomNumbers(3);
    const described = parseCfg(cfg);
    const bytes = randomWeights(described, random);
    const { width, height } = described.network.input;
    const pixels = Uint8Array.from({ length: width * height * 3 }, () => Math.floor(random() * 256));
    const run = mkdtempSync(join(folder, 'small-'));
    const files = { cfg: join(run, 'cfg'), weights: join(run, 'weights'), names: join(run, 'names') };
    const classes = Array.from({ length: classCount }, (_, k) => `class${k}`);
    writeFileSync(files.cfg, cfg);
    writeFileSync(files.weights, bytes);
    writeFileSync(files.names, `${classes.join('\n')}\n`);
    // darknet loads four photos at once and crashes on fewer
    const photos = [0, 1, 2, 3].map((copy) => join(run, `${copy}.png`));
    for (const path of photos) await writePng(path, { width, height, rgb: pixels });
    const rows = darknetValid(files, photos);
    const parameters = foldBatchNorm(parseWeights(described, bytes));
    const detector = new FloatDetector({ network: described.network, parameters, classes }, 'trained', best);
    const { detections } = detector.detect(
      { width, height, rgb: pixels },
      { conf: 0.005, iou: 0.45, maxDet: 100_000, resize: 'letterbox:darknet', allClasses: true },
    );
    let [boxes, different] = [0, 0];
    for (const name of classes) {
      const theirs = rows.get(`${name} 0`) ?? [];
      const ours = detections.filter((detection) => detection.class === name).map(toRow);
      boxes += ours.length + theirs.length;
      different += unmatched(ours, theirs).length + unmatched(theirs, ours).length;
    }
    expect(boxes).toBeGreaterThan(8);
    // of many boxes a few overlap by what NMS draws the line at, to the last bit
    expect(different).toBeLessThanOrEqual(boxes / 200);
  });
});
