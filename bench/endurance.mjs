/**
 * Ten thousand photos in one run of `detect`, or with --clip frames of a clip that ffmpeg loops: memory, descriptors and threads must not grow,
 * and the last thousand take as long as the first. node bench/endurance.mjs [--clip FILE] [--photos n] [--folder dir]; exits with 1 if
 * something grew. A folder keeps the generated photos for the next run.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
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
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawDetections, readPhoto, resizePhoto } from '../dist/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    photos: { type: 'string', default: '10000' },
    folder: { type: 'string' },
    clip: { type: 'string' },
  },
});
const total = Number(values.photos);
const [WIDTH, HEIGHT] = [500, 375];
/** Photos that may be open when the descriptors are counted. */
const ALLOWED_DESCRIPTORS = 4;

/** Distinct photos: a sample, its brightness and a square in it moved with the number. */
async function generate(folder) {
  const samples = await Promise.all(
    ['cat', 'astronaut'].map((name) => readPhoto(`${root}samples/${name}.jpg`)),
  );
  const pixels = samples.map((sample) => resizePhoto('stretch', sample, WIDTH, HEIGHT));
  const rgb = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let i = 0; i < total; i++) {
    const sample = pixels[i % 2];
    for (let at = 0; at < rgb.length; at++) rgb[at] = Math.min(255, sample[at] + (i % 16));
    const [left, top] = [(i * 7) % (WIDTH - 20), Math.floor((i * 7) / (WIDTH - 20)) % (HEIGHT - 20)];
    for (let y = top; y < top + 20; y++)
      rgb.fill((i * 37) % 256, 3 * (y * WIDTH + left), 3 * (y * WIDTH + left + 20));
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `${String(i).padStart(6, '0')}.jpg`),
      await drawDetections({ width: WIDTH, height: HEIGHT, rgb }, [], 'jpeg'),
    );
  }
}

/** What a process holds: resident megabytes, descriptors, threads. */
function holdings(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]);
  return {
    rss: number('VmRSS') / 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: number('Threads'),
  };
}

const work = mkdtempSync(join(tmpdir(), 'endurance-'));
try {
  const folder = values.folder ?? join(work, 'photos');
  const looped = join(work, 'looped.mp4');
  if (values.clip) {
    const loop = ['-v', 'error', '-stream_loop', '-1', '-i', values.clip, '-frames:v', values.photos];
    const { status } = spawnSync('ffmpeg', [...loop, '-an', '-c', 'copy', looped], { stdio: 'inherit' });
    if (status !== 0) throw new Error('ffmpeg does not loop the clip');
  } else if (!(existsSync(folder) && readdirSync(folder).length === total)) await generate(folder);
  const child = spawn(process.execPath, [
    `${root}dist/cli/main.js`,
    ...['detect', ...(values.clip ? ['--video', looped] : [folder, '--steps', '4'])],
    ...['--model', 'tiny-yolo-lite-voc', '--format', 'ndjson'],
  ]);
  child.stderr.pipe(process.stderr);
  const start = performance.now();
  const samples = [];
  let done = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const { path, error } = JSON.parse(line);
    if (error) throw new Error(`${path}: ${error.message}`);
    done++;
    if (done === 100 || done % (total / 10) === 0)
      samples.push({ done, seconds: (performance.now() - start) / 1000, ...holdings(child.pid) });
  }
  console.log(
    '| photos | seconds | photos/s | RSS, MB | descriptors | threads |\n| --- | --- | --- | --- | --- | --- |',
  );
  let before = { done: 0, seconds: 0 };
  for (const sample of samples) {
    const rate = (sample.done - before.done) / (sample.seconds - before.seconds);
    console.log(
      `| ${sample.done} | ${sample.seconds.toFixed(1)} | ${rate.toFixed(1)} | ${sample.rss.toFixed(0)} | ${sample.descriptors} | ${sample.threads} |`,
    );
    before = sample;
  }
  // one process reaches its size later than a pool of them
  const first = samples.find(({ done: count }) => count >= (values.clip ? total / 10 : 100)) ?? samples[0];
  const largest = Math.max(...samples.map(({ rss }) => rss));
  const grew =
    done !== total ||
    largest > 1.1 * first.rss ||
    samples.some(
      ({ descriptors, threads }) =>
        descriptors > first.descriptors + ALLOWED_DESCRIPTORS || threads > first.threads,
    );
  console.log(grew ? 'something grew' : 'nothing grew');
  process.exitCode = grew ? 1 : 0;
} finally {
  rmSync(work, { recursive: true, force: true });
}
