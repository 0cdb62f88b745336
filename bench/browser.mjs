/**
 * What a detector costs in a browser: node bench/browser.mjs [chrome|firefox] [--model FILE] [--rounds 15] [--executable FILE]
 *
 * Serves this checkout on loopback, opens it in a browser without a window, and gives medians in milliseconds, each beside Node's WASM
 * back-end's in the same round: the network alone on samples/cat.jpg, a step of a run step by step (of 16), and a frame
 * of a stream at its default hold in which a small square has moved. Before them: how long a first load took, nothing cached, and the first detection behind it.
 */
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';
import { preview } from 'vite';
import { median } from '../dist/bench/median.js';
import { Detector, readPhoto } from '../dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'models/tiny-yolo-lite-voc.safetensors' },
    rounds: { type: 'string', default: '15' },
    executable: { type: 'string' },
  },
});
const name = positionals[0] ?? 'chrome';
const PROGRAMS = { chrome: '/usr/bin/chromium', firefox: '/usr/bin/firefox-esr' };
const SAMPLE = 'samples/cat.jpg';
const STEPS = 16;
/** A stream's picture: the sample, and on it a square that may move. */
const SIDE = 24;

const server = await preview({
  configFile: false,
  root: new URL('..', import.meta.url).pathname,
  build: { outDir: '.' },
  preview: { host: '127.0.0.1', port: 0 },
  logLevel: 'error',
});
const url = `http://127.0.0.1:${server.httpServer.address().port}/`;
const browser = await puppeteer.launch({
  browser: name,
  executablePath: values.executable ?? PROGRAMS[name],
  args: name === 'chrome' ? ['--no-sandbox'] : [],
});
const page = await browser.newPage();
await page.goto(`${url}samples/README.md`);

/** In the page: loads everything, and leaves behind what measures one thing each. */
const first = await page.evaluate(
  async (entry, model, sample, steps, side) => {
    const start = performance.now();
    const { WebDetector } = await import(entry);
    const detector = await WebDetector.load({ model });
    const loaded = performance.now();
    const photo = await createImageBitmap(await (await fetch(sample)).blob());
    const before = performance.now();
    await detector.detect(photo);
    const done = performance.now();
    const stream = detector.stream();
    const canvas = new OffscreenCanvas(photo.width, photo.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const look = async (left) => {
      context.drawImage(photo, 0, 0);
      context.fillRect(left, 20, side, side);
      return (await stream.next(canvas)).elapsedMs.network;
    };
    Object.assign(globalThis, {
      network: async () => (await detector.detect(photo)).elapsedMs.network,
      step: async () => {
        const from = performance.now();
        for await (const _ of detector.steps(photo, { every: steps, steps }));
        return (performance.now() - from) / steps;
      },
      moving: async (round) => {
        const ms = await look(20 + ((round * 7) % 200));
        // the next still frame follows one like it
        await look(20);
        return ms;
      },
    });
    await look(20);
    return { load: loaded - start, detect: done - before };
  },
  '/dist/web/index.js',
  `/${values.model}`,
  `/${SAMPLE}`,
  STEPS,
  SIDE,
);

const { width, height, rgb } = await readPhoto(SAMPLE);
const options = { model: values.model, backend: 'wasm' };
const detector = await Detector.load(options);
const bySteps = await Detector.load({ ...options, schedule: 'steps', steps: STEPS }).catch(() => undefined);
const stream = detector.stream();
const look = async (left) => {
  const data = rgb.slice();
  for (let y = 20; y < 20 + SIDE; y++) data.fill(0, (y * width + left) * 3, (y * width + left + SIDE) * 3);
  return (await stream.next({ data, width, height, channels: 3 })).elapsedMs.network;
};
await look(20);
const inNode = {
  network: async () => (await detector.detect(SAMPLE)).elapsedMs.network,
  step: async () => {
    const start = performance.now();
    for await (const _ of bySteps.steps(SAMPLE, STEPS));
    return (performance.now() - start) / STEPS;
  },
  moving: async (round) => {
    const ms = await look(20 + ((round * 7) % 200));
    await look(20);
    return ms;
  },
};

const rows = [];
for (const what of ['network', ...(bySteps ? ['step'] : []), 'moving']) {
  const [there, here] = [[], []];
  for (let round = 0; round < Number(values.rounds); round++) {
    there.push(await page.evaluate((what, round) => globalThis[what](round), what, round));
    here.push(await inNode[what](round));
  }
  const [browserMs, nodeMs] = [median(there), median(here)];
  rows.push({ what, browserMs, nodeMs, ratio: browserMs / nodeMs });
}
console.log(`${await browser.version()}, Node ${process.version}: ${values.model}`);
console.log(`load ${first.load.toFixed(0)} ms, first detection ${first.detect.toFixed(0)} ms`);
console.table(
  rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [
        key,
        typeof value === 'number' ? Number(value.toFixed(2)) : value,
      ]),
    ),
  ),
);
await detector.close();
await bySteps?.close();
await browser.close();
await server.close();
