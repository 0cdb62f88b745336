// A process that decodes and resizes one photo of the benchmark: cold once, then warm.
import { readPhotoBytes } from '../files.js';
import { decodePhoto } from '../image/read-photo.js';
import { resizePhoto } from '../image/resize.js';
import { median } from './median.js';
import type { FromPhoto, PhotoTimes, ToPhoto } from './row.js';

/** Input of the network that the photo is brought to, in pixels. */
const SIZE = 288;

const importedRss = process.memoryUsage().rss;

async function once(bytes: Uint8Array): Promise<PhotoTimes> {
  const start = performance.now();
  const photo = await decodePhoto(bytes);
  const decoded = performance.now();
  resizePhoto('stretch', photo, SIZE, SIZE);
  return { decodeMs: decoded - start, resizeMs: performance.now() - decoded };
}

process.on('message', async ({ photo, runs }: ToPhoto) => {
  const bytes = await readPhotoBytes(photo);
  const cold = await once(bytes);
  const warm: PhotoTimes[] = [];
  for (let run = 0; run < runs; run++) warm.push(await once(bytes));
  const answer: FromPhoto = {
    cold,
    warm: {
      decodeMs: median(warm.map(({ decodeMs }) => decodeMs)),
      resizeMs: median(warm.map(({ resizeMs }) => resizeMs)),
    },
    addedRssBytes: process.resourceUsage().maxRSS * 1024 - importedRss,
  };
  process.send!(answer);
});
process.on('disconnect', () => process.exit(0));
