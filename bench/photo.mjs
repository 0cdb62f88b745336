/**
 * A whole photo from file to boxes at the default settings, process start excluded: node bench/photo.mjs [PHOTO] [--threads n].
 * Prints the median of 15 in milliseconds.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../dist/bench/median.js';
import { Detector } from '../dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: 'string', default: '1' } },
});
const [photo = fileURLToPath(new URL('../samples/cat.jpg', import.meta.url))] = positionals;
const detector = await Detector.load({ threads: Number(values.threads) });
for (let run = 0; run < 3; run++) await detector.detect(photo);
const times = [];
for (let run = 0; run < 15; run++) {
  const start = performance.now();
  await detector.detect(photo);
  times.push(performance.now() - start);
}
await detector.close();
console.log(`${median(times).toFixed(1)} ms`);
