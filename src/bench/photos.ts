import { fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawDetections } from '../image/draw.js';
import { readPhotoFile } from '../image/read-resized.js';
import { resizePhoto } from '../image/resize.js';
import { ask } from './ask.js';
import { median } from './median.js';
import type { FromPhoto, PhotoTimes, ToPhoto } from './row.js';

/** Decoding and resizing of a JPEG; times are medians in milliseconds. */
export interface PhotoRow {
  width: number;
  height: number;
  /** The first photo of a process, what it loads included. */
  cold: PhotoTimes;
  warm: PhotoTimes;
  /** Peak memory less that after the imports. */
  addedRssBytes: number;
}

/** Sizes beside the photo's own: 2 and 12 megapixels. */
const ENLARGED = [
  [1632, 1224],
  [4000, 3000],
] as const;

/** Measures the photo as it is and enlarged, each run in a process of its own. */
export async function measurePhotos(path: string, runs: number): Promise<PhotoRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'spiking-yolo-bench-'));
  try {
    const photo = await readPhotoFile(path);
    const files = [{ path, width: photo.width, height: photo.height }];
    for (const [width, height] of ENLARGED) {
      const enlarged = { width, height, rgb: resizePhoto('stretch', photo, width, height) };
      const file = join(folder, `${width}.jpg`);
      await writeFile(file, await drawDetections(enlarged, [], 'jpeg'));
      files.push({ path: file, width, height });
    }
    const rows: PhotoRow[] = [];
    for (const { path: file, width, height } of files) {
      const answers: FromPhoto[] = [];
      for (let run = 0; run < runs; run++) {
        const child = fork(fileURLToPath(new URL('./photo-process.js', import.meta.url)));
        const message: ToPhoto = { photo: file, runs };
        answers.push(await ask<FromPhoto>(child, message));
        child.disconnect();
      }
      const times = (pick: (answer: FromPhoto) => PhotoTimes): PhotoTimes => ({
        decodeMs: median(answers.map((answer) => pick(answer).decodeMs)),
        resizeMs: median(answers.map((answer) => pick(answer).resizeMs)),
      });
      rows.push({
        width,
        height,
        cold: times(({ cold }) => cold),
        warm: times(({ warm }) => warm),
        addedRssBytes: median(answers.map(({ addedRssBytes }) => addedRssBytes)),
      });
    }
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
