/**
 * Fuzzes the package's inputs (see targets.mjs): node test/fuzz/fuzz.mjs [target…] [--seconds n] [--lanes n] [--keep]
 * Inputs come from the corpus, the seeds and their mutations; one that leads to an outcome not seen before joins them
 * (and with --keep the corpus folder). A crash, a hang of 20 s or an unexpected error ends with 1, its input kept in
 * `findings/`. SPIKING_YOLO_FUZZ_ADDON names another build of the addon, as one with sanitizers.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { generator, mutate } from './mutate.mjs';
import { targets } from './targets.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const HANG_SECONDS = 20;
/** Of the inputs that led to something new: the largest that is kept, how many are kept, and how many are mutated. */
const LARGEST_KEPT = 4096;
const MOST_KEPT = 40;
const MOST_MUTATED = 2000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
    lanes: { type: 'string', default: '2' },
    child: { type: 'string' },
  },
});

const hashOf = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** An outcome without what it quotes from the input: words of the program alone. */
const shapeOf = (message) =>
  message
    .replace(/".*"|'.*'|\[.*?\]|\{.*\}/gs, ' ')
    .replace(/[^a-zA-Z ]+/g, ' ')
    .replace(/ +/g, ' ')
    .slice(0, 100);

/** Runs one target in this process; the input at hand lies in the file `current`. */
async function fuzz(name, current) {
  const { seeds, run } = targets[name];
  const folder = join(here, 'corpus', name);
  const kept = existsSync(folder) ? readdirSync(folder).map((file) => readFileSync(join(folder, file))) : [];
  const corpus = [...(await seeds()), ...kept];
  const initial = corpus.length;
  let saved = kept.length;
  const random = generator(Number(values.seed));
  const outcomes = new Set();
  const end = Date.now() + 1000 * Number(values.seconds);
  const file = openSync(current, 'w+');
  let told = 0;
  let runs = 0;
  for (; Date.now() < end || runs < initial; runs++) {
    const input = runs < initial ? corpus[runs] : mutate(random, random.pick(corpus), corpus);
    ftruncateSync(file, 0);
    writeSync(file, input, 0, input.length, 0);
    if (Date.now() - told > 500) {
      process.send(runs);
      told = Date.now();
    }
    let outcome;
    try {
      outcome = await run(input);
    } catch (error) {
      if (error?.name !== 'SpikingYoloError') throw error;
      outcome = `${error.code} ${error.message}`;
    }
    const shape = shapeOf(String(outcome));
    if (outcomes.has(shape)) continue;
    outcomes.add(shape);
    if (corpus.length < MOST_MUTATED) corpus.push(input);
    else corpus[random.below(MOST_MUTATED)] = input;
    if (values.keep && runs >= initial && input.length <= LARGEST_KEPT && saved < MOST_KEPT) {
      saved++;
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, hashOf(input)), input);
    }
  }
  process.disconnect();
  console.log(`${name}: ${runs} inputs, ${outcomes.size} kinds of outcome, nothing found`);
}

/** Runs one target in a process of its own; true if nothing was found. */
async function watch(name, work) {
  const current = join(work, name);
  const child = spawn(
    process.execPath,
    [
      fileURLToPath(import.meta.url),
      '--child',
      name,
      '--seconds',
      values.seconds,
      '--seed',
      values.seed,
      ...(values.keep ? ['--keep'] : []),
    ],
    {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, SPIKING_YOLO_FUZZ_WORK: work },
    },
  );
  let since = Date.now();
  child.on('message', () => {
    since = Date.now();
  });
  const timer = setInterval(() => {
    if (Date.now() - since < 1000 * HANG_SECONDS) return;
    console.error(`${name}: hangs`);
    child.kill('SIGKILL');
  }, 1000);
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
  clearInterval(timer);
  if (code === 0) return true;
  mkdirSync(join(here, 'findings'), { recursive: true });
  const input = existsSync(current) ? readFileSync(current) : Buffer.alloc(0);
  const finding = join(here, 'findings', `${name}-${hashOf(input)}`);
  writeFileSync(finding, input);
  console.error(`${name}: ended with ${code ?? signal}; its input is ${finding}`);
  return false;
}

if (values.child) {
  await fuzz(values.child, join(process.env.SPIKING_YOLO_FUZZ_WORK, values.child));
  // a target may have started what would go on
  process.exit(0);
} else {
  const unknown = positionals.find((name) => !(name in targets));
  if (unknown) throw new Error(`there is no target ${unknown}; there are ${Object.keys(targets).join(', ')}`);
  const work = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const names = positionals.length > 0 ? positionals : Object.keys(targets);
  const waiting = [...names];
  let good = true;
  const lane = async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) good = (await watch(name, work)) && good;
  };
  await Promise.all(Array.from({ length: Number(values.lanes) }, lane));
  rmSync(work, { recursive: true, force: true });
  process.exitCode = good ? 0 : 1;
}
