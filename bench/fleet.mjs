/**
 * What a queue costs beside `detect` alone, on one machine (docs/fleet.md). Needs redis-server. Usage:
 * node bench/fleet.mjs [--photos 2000] [--pairs 3] [--workers 2] [--model tiny-yolo-lite-voc] [--list 1000000]
 *
 * --photos copies of samples/cat.jpg: `detect` and `enqueue` + `work` + `collect` in turn, which must find the same; then a list of --list
 * paths is enqueued, and as many results collected, for the memory that this takes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { idOf } from '../dist/fleet/chunk.js';
import { FleetQueue } from '../dist/fleet/queue.js';

const { values } = parseArgs({
  options: {
    photos: { type: 'string', default: '2000' },
    pairs: { type: 'string', default: '3' },
    workers: { type: 'string', default: '2' },
    model: { type: 'string', default: 'tiny-yolo-lite-voc' },
    list: { type: 'string', default: '1000000' },
    port: { type: 'string', default: '7391' },
  },
});
const [photos, pairs, listed] = [values.photos, values.pairs, values.list].map(Number);
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'fleet-bench-'));
const url = `redis://127.0.0.1:${values.port}`;
const redis = spawn(
  'redis-server',
  ['--port', values.port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'],
  { stdio: 'ignore' },
);
process.on('exit', () => {
  redis.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
for (let open = false; !open; await wait(50)) {
  const socket = connect(Number(values.port), '127.0.0.1');
  open = await new Promise((resolve) =>
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false)),
  );
  socket.destroy();
}

const hook = join(folder, 'peak.mjs');
writeFileSync(hook, "process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS));");

/** Seconds that a command takes, and the most memory that it has at once, in MB. */
function time(...args) {
  const start = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', hook, `${root}dist/cli/main.js`, ...args],
    {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  );
  if (status !== 0) throw new Error(`${args[0]}: ${stderr}`);
  return { seconds: (performance.now() - start) / 1000, peak: Number(/peak (\d+)/.exec(stderr)[1]) / 1024 };
}

/** What Redis has when it has nothing. */
let empty = 0;

/** Redis's memory, in MB. */
const redisMemory = () =>
  Number(
    /used_memory:(\d+)/.exec(
      spawnSync('redis-cli', ['-p', values.port, 'info', 'memory'], { encoding: 'utf8' }).stdout,
    )[1],
  ) / 1e6;

/** Of a file of results what does not depend on the clock, sorted by path. */
const digestOf = (file) =>
  createHash('sha256')
    .update(
      readFileSync(file, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => {
          const { elapsedMs: _, ...rest } = JSON.parse(line);
          return JSON.stringify(rest);
        })
        .sort()
        .join('\n'),
    )
    .digest('hex');

/** Takes all chunks of the list as a worker does, but looks at no photo; gives what Redis has then, in MB. */
async function completeAll() {
  const queue = await FleetQueue.open({ url, name: 'list' }, { patient: true });
  const worker = new queue.bullmq.Worker(
    'list',
    ({ id, data }) =>
      queue.finish(
        id,
        'bench:1',
        data,
        data.photos.map(() => undefined),
      ),
    { connection: queue.redis, concurrency: 20 },
  );
  while (!(await queue.isIdle())) await wait(200);
  await worker.close();
  const { remaining } = await queue.status();
  if (remaining !== 0) throw new Error(`${remaining} photos are left`);
  await queue.close();
  return redisMemory() - empty;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const source = join(folder, 'photos');
mkdirSync(source);
for (let i = 0; i < photos; i++) copyFileSync(`${root}samples/cat.jpg`, join(source, `${i}.jpg`));
const model = ['--model', values.model];
const rounds = [];
const before = redisMemory();
for (let pair = 0; pair < pairs; pair++) {
  const queue = ['--queue', url, '--name', `pair-${pair}`];
  const results = join(folder, `results-${pair}`);
  const [alone, collected] = [join(folder, 'detect.ndjson'), join(folder, `collected.ndjson`)];
  rmSync(alone, { force: true });
  const detect = time('detect', source, ...model, '--workers', values.workers, '--out', alone);
  const enqueue = time('enqueue', source, ...queue, ...model);
  const work = time('work', ...queue, '--out', results, '--workers', values.workers, '--until-done');
  const collect = time('collect', results, ...queue, '--out', collected);
  if (digestOf(alone) !== digestOf(collected)) throw new Error('collect has other results than detect');
  rounds.push({ detect, enqueue, work, collect });
  const ratio = work.seconds / detect.seconds;
  process.stdout.write(
    `pair ${pair + 1}: detect ${detect.seconds.toFixed(1)} s, enqueue ${enqueue.seconds.toFixed(1)} s, work ${work.seconds.toFixed(1)} s (${ratio.toFixed(3)} of detect), collect ${collect.seconds.toFixed(1)} s\n`,
  );
}
const of = (name, field) => median(rounds.map((round) => round[name][field]));
const overhead = median(rounds.map(({ detect, work }) => work.seconds - detect.seconds));
process.stdout.write(
  [
    `${photos} photos, ${values.model}, ${values.workers} workers, medians of ${pairs}:`,
    `  detect ${((1000 * of('detect', 'seconds')) / photos).toFixed(2)} ms a photo, peak ${of('detect', 'peak').toFixed(0)} MB`,
    `  work ${((1000 * of('work', 'seconds')) / photos).toFixed(2)} ms a photo, peak ${of('work', 'peak').toFixed(0)} MB: ${median(rounds.map(({ detect, work }) => work.seconds / detect.seconds)).toFixed(3)} of detect, ${((1000 * overhead) / photos).toFixed(2)} ms a photo more`,
    `  enqueue ${((1000 * of('enqueue', 'seconds')) / photos).toFixed(2)} ms a photo, collect ${((1000 * of('collect', 'seconds')) / photos).toFixed(2)} ms a photo`,
    `  Redis ${(((redisMemory() - before) / pairs / photos) * 1e6).toFixed(0)} MB a million photos when all is done`,
    '',
  ].join('\n'),
);

if (listed > 0) {
  spawnSync('redis-cli', ['-p', values.port, 'flushall']);
  empty = redisMemory();
  const queue = ['--queue', url, '--name', 'list'];
  const template = JSON.parse(readFileSync(join(folder, 'collected.ndjson'), 'utf8').split('\n')[0]);
  for (const count of [listed / 10, listed]) {
    spawnSync('redis-cli', ['-p', values.port, 'flushall']);
    const list = join(folder, 'list.ndjson');
    const pathOf = (i) => `/srv/photos/${String(i % 1000).padStart(3, '0')}/IMG_${i}.jpg`;
    writeFileSync(list, Array.from({ length: count }, (_, i) => `${JSON.stringify(pathOf(i))}\n`).join(''));
    const enqueue = time('enqueue', list, ...queue, ...model);
    const memory = redisMemory() - empty;
    const opened = await FleetQueue.open({ url, name: 'list' });
    const plan = await opened.plan();
    await opened.close();
    const done = await completeAll();
    const results = join(folder, `results-${count}`);
    mkdirSync(results);
    for (let at = 0; at < count; at += 32) {
      const some = Array.from({ length: Math.min(32, count - at) }, (_, i) => pathOf(at + i));
      const lines = some.map((path) => `${JSON.stringify({ ...template, path, absolutePath: path })}\n`);
      writeFileSync(join(results, `${idOf({ plan, folder: root, photos: some })}.ndjson`), lines.join(''));
    }
    const out = join(folder, 'list-collected.ndjson');
    const collect = time('collect', results, ...queue, '--out', out);
    process.stdout.write(
      `a list of ${count}: enqueue ${enqueue.seconds.toFixed(1)} s, peak ${enqueue.peak.toFixed(0)} MB; Redis ${memory.toFixed(0)} MB, ${done.toFixed(0)} MB when all is done; collect ${collect.seconds.toFixed(1)} s, peak ${collect.peak.toFixed(0)} MB, ${(statSync(out).size / 1e6).toFixed(0)} MB written\n`,
    );
    rmSync(results, { recursive: true });
  }
}
process.exit();
