/**
 * Whether a server answers as Frigate's detector `deepstack` needs it: node bench/serve-frigate.mjs [--model name] [--workers n]
 * [--requests 100] [--timeout .1]
 *
 * Python's requests posts a JPEG of 320 × 320 pixels as files={"image": bytes}, one after another, and gives up after the timeout.
 * Exit code 1 if fewer than 99 % are answered in time. Needs python3-requests, and a machine that does nothing else.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createJimp } from '@jimp/core';
import jpeg from '@jimp/js-jpeg';
import { readPhoto, resizePhoto } from '../dist/index.js';

const { values: given } = parseArgs({
  options: {
    model: { type: 'string', default: 'tiny-yolo-voc' },
    workers: { type: 'string', default: '1' },
    requests: { type: 'string', default: '100' },
    timeout: { type: 'string', default: '0.1' },
  },
});
const SIDE = 320;
const CLIENT = `
import sys, time, requests
url, path, count, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
image = open(path, "rb").read()
requests.post(url, files={"image": image}, timeout=10)
took = []
late = 0
for _ in range(count):
    start = time.monotonic()
    try:
        assert requests.post(url, files={"image": image}, timeout=timeout).json()["success"]
        took.append(1000 * (time.monotonic() - start))
    except requests.exceptions.Timeout:
        late += 1
took.sort()
print(count - late, "%.1f" % took[len(took) // 2], "%.1f" % took[-1])
`;

const folder = mkdtempSync(join(tmpdir(), 'frigate-'));
const photo = await readPhoto(fileURLToPath(new URL('../samples/cat.jpg', import.meta.url)));
const rgb = resizePhoto('stretch', photo, SIDE, SIDE);
const data = Buffer.alloc(SIDE * SIDE * 4, 255);
for (let i = 0; i < SIDE * SIDE; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
const picture = join(folder, 'frame.jpg');
const Picture = createJimp({ formats: [jpeg] });
writeFileSync(picture, await Picture.fromBitmap({ data, width: SIDE, height: SIDE }).getBuffer('image/jpeg'));

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const { model, workers, requests, timeout } = given;
const server = spawn(
  process.execPath,
  [main, 'serve', '--port', '0', '--model', model, '--workers', workers],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
try {
  const [line] = await once(server.stdout, 'data');
  const url = `${/listening on (\S+):/.exec(String(line))[1]}/v1/vision/detection`;
  const client = spawnSync('python3', ['-c', CLIENT, url, picture, requests, timeout], { encoding: 'utf8' });
  if (client.status !== 0) throw new Error(client.stderr);
  const [inTime, middle, longest] = client.stdout.trim().split(' ');
  console.log(
    `${model}, ${workers} worker(s): ${inTime} of ${requests} answered within ${timeout} s; of those the median took ${middle} ms, the longest ${longest} ms`,
  );
  if (Number(inTime) < 0.99 * Number(requests)) process.exitCode = 1;
} finally {
  server.kill('SIGTERM');
  rmSync(folder, { recursive: true });
}
