/**
 * A server under load: node bench/serve-load.mjs [--requests n] [--connections n] [--workers n] [--model name]
 * [--photo file]. Prints answers by status, requests a second, latencies, and the server's memory, descriptors and threads as
 * requests pass; then detect over as many copies of the photo with as many workers, for comparison.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { Detector } from '../dist/index.js';

const sample = fileURLToPath(new URL('../samples/cat.jpg', import.meta.url));
const { values: given } = parseArgs({
  options: {
    requests: { type: 'string', default: '2000' },
    connections: { type: 'string', default: '4' },
    workers: { type: 'string', default: '2' },
    'max-queue': { type: 'string', default: '16' },
    model: { type: 'string', default: 'tiny-yolo-voc' },
    photo: { type: 'string', default: sample },
  },
});
const [requests, connections, workers] = [given.requests, given.connections, given.workers].map(Number);
const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const server = spawn(
  process.execPath,
  [
    main,
    'serve',
    '--port',
    '0',
    '--model',
    given.model,
    '--workers',
    given.workers,
    '--max-queue',
    given['max-queue'],
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
const [line] = await once(server.stdout, 'data');
const address = /listening on (\S+):/.exec(String(line))[1];

function look() {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const field = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]);
  return `${Math.round(field('VmRSS') / 1000)} MB, ${readdirSync(`/proc/${server.pid}/fd`).length} descriptors, ${field('Threads')} threads`;
}

const body = readFileSync(given.photo);
const statuses = {};
let answered = 0;
console.log(`0 requests: ${look()}`);
const load = autocannon({
  url: `${address}/v1/vision/detection`,
  method: 'POST',
  headers: { 'content-type': 'image/jpeg' },
  body,
  connections,
  amount: requests,
  timeout: 30,
});
load.on('response', (_client, status) => {
  statuses[status] = (statuses[status] ?? 0) + 1;
  answered++;
  if (answered % Math.ceil(requests / 10) === 0) console.log(`${answered} requests: ${look()}`);
});
const start = performance.now();
const { errors, timeouts, latency } = await load;
const seconds = (performance.now() - start) / 1000;
console.log(
  `answers ${JSON.stringify(statuses)}, errors ${errors}, time-outs ${timeouts}; ${(requests / seconds).toFixed(1)} a second; latency ${latency.p50} ms (median), ${latency.p99} ms (99 %)`,
);
server.kill('SIGTERM');
await once(server, 'exit');

const detector = await Detector.load({ model: given.model, workers });
async function* copies(count) {
  for (let i = 0; i < count; i++) yield new Uint8Array(body);
}
for await (const { error } of detector.detectAll(copies(2 * workers))) if (error) throw error;
const photos = Math.min(requests, 500);
const begin = performance.now();
for await (const { error } of detector.detectAll(copies(photos))) if (error) throw error;
console.log(`detectAll: ${((1000 * photos) / (performance.now() - begin)).toFixed(1)} photos a second`);
await detector.close();
