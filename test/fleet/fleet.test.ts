import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { FleetQueue } from '../../src/fleet/queue.js';
import { expectError, run } from '../support/command.js';
import { randomNumbers } from '../support/plans.js';
import { describeWithProgram, hasProgram, programsRequired } from '../support/programs.js';
import { root } from '../support/shared.js';
import { foundIn, freePort, makeModel, RedisServer, Running, redisCli, until, writePhotos } from './fleet.js';

const MANY = 2000;
const FEW = 300;
let folder: string;
let photos: string;
let few: string;
let model: string;
let redis: RedisServer;
let expected: Map<string, unknown>;
/** The same of the few. */
let expectedFew: Map<string, unknown>;
/** Everything that a test started; what it left running ends with it. */
const started: Running[] = [];

const killer = `${root}test/support/killing-photo.mjs`;
const unending = `${root}test/support/unending-worker.mjs`;
/** Settings that make the photos take a while: some milliseconds each. */
const SETTINGS = ['--checksum', '--conf', '0.3', '--steps', '16', '--schedule', 'steps'];
const of = (name: string) => ['--queue', redis.url, '--name', name];
const enqueue = (name: string, ...args: string[]) =>
  run(['enqueue', ...args, ...of(name), '--model', model, ...SETTINGS]);
const status = (name: string) => JSON.parse(run(['status', ...of(name), '--format', 'json']).stdout);
/** What is found on copies of photos. */
const foundInCopy = (copy: string, names: readonly string[]) =>
  new Map(
    names.map((name) => {
      const path = join(copy, name);
      return [path, { ...(expected.get(join(photos, name)) as object), absolutePath: path }];
    }),
  );
const resultsOf = (name: string) => join(folder, `results-${name}`);

function start(args: readonly string[], preload?: string): Running {
  const running = new Running(args, {}, preload);
  started.push(running);
  return running;
}

const startWorker = (name: string, args: readonly string[] = [], preload?: string) =>
  start(
    [
      'work',
      ...of(name),
      '--model',
      model,
      '--out',
      resultsOf(name),
      '--workers',
      '1',
      '--threads',
      '1',
      ...args,
    ],
    preload,
  );

function collect(name: string) {
  const out = join(folder, `${name}.ndjson`);
  return { ...run(['collect', resultsOf(name), ...of(name), '--out', out]), out };
}

describeWithProgram('redis-server')('a fleet', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fleet-'));
    photos = join(folder, 'photos');
    writePhotos(photos, MANY);
    model = makeModel(folder);
    redis = new RedisServer(await freePort(), join(folder, 'redis'));
    await redis.start();
    const out = join(folder, 'detect.ndjson');
    expect(run(['detect', photos, '--model', model, ...SETTINGS, '--out', out])).toMatchObject({ status: 0 });
    expected = foundIn(out);
    expect(expected.size).toBe(MANY);
    few = join(folder, 'few');
    mkdirSync(few);
    const names = readdirSync(photos).slice(0, FEW);
    for (const name of names) cpSync(join(photos, name), join(few, name));
    expectedFew = foundInCopy(few, names);
  });
  afterEach(async () => {
    for (const running of started.splice(0)) await running.kill('SIGKILL');
  });
  afterAll(async () => {
    await redis?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it('four workers find on 2,000 photos what one detect finds', async () => {
    expect(enqueue('plain', photos).stdout).toBe('plain: 2000 photos in 63 chunks\n');
    expect(enqueue('plain', photos).stdout).toBe(
      'plain: 2000 photos in 63 chunks, 63 of them there already\n',
    );
    expect(status('plain')).toMatchObject({ total: MANY, done: 0, failed: 0, remaining: MANY, workers: 0 });
    const early = collect('plain-missing');
    expectError(early, 1, /there is no such folder/);
    const workers = [1, 2, 3, 4].map(() => startWorker('plain', ['--until-done']));
    await until(() => status('plain').workers === 4, 'four workers');
    for (const worker of workers) expect(await worker.end()).toBe(0);
    expect(
      workers.map(({ stderr }) => Number(/: (\d+) photos/.exec(stderr)?.[1])).reduce((a, b) => a + b),
    ).toBe(MANY);
    const { photosPerSecond, ...rest } = status('plain');
    expect(rest).toEqual({ total: MANY, done: MANY, failed: 0, remaining: 0, workers: 0 });
    expect(photosPerSecond).toBeGreaterThan(0);
    const { stdout, out, status: code } = collect('plain');
    expect(stdout).toBe(`${out}: 2000 photos\n`);
    expect(code).toBe(0);
    expect(foundIn(out)).toEqual(expected);
    const paths = [...foundIn(out).keys()];
    expect(paths).toEqual([...expected.keys()].sort());
    // something is found, and with neurons
    const records = [...expected.values()] as { detections: unknown[]; spikeChecksum: string }[];
    expect(records.filter(({ detections }) => detections.length > 0).length).toBeGreaterThan(MANY / 10);
    expect(new Set(records.map(({ spikeChecksum }) => spikeChecksum)).size).toBeGreaterThan(MANY / 2);
  });

  it('the same with workers killed at random, one late, one stopped, Redis restarted, the list enqueued twice', async () => {
    const random = randomNumbers(11);
    const args = ['--lock', '1.5', '--grace', '0'];
    const count = (command: string, ...more: string[]) => Number(redisCli(redis.port, command, ...more));
    const isDone = () => count('hget', 'spiking-yolo:rough', 'finished') >= MANY;
    enqueue('rough', photos, '--chunk', '20');
    const workers = [1, 2, 3].map(() => startWorker('rough', args));
    const end = async (signal: NodeJS.Signals) => {
      const victim = Math.floor(workers.length * random());
      const ended = await workers[victim]!.kill(signal);
      // one that has only begun to load hears no signal yet
      expect(signal === 'SIGTERM' ? [0, 'SIGTERM'] : ['SIGKILL']).toContain(ended);
      workers[victim] = startWorker('rough', args);
    };
    const restart = async () => {
      // one that begins while there is no Redis ends, and says so
      const connected = () => isDone() || status('rough').workers === workers.length;
      await until(connected, 'workers that are all connected');
      await redis.stop('SIGKILL');
      await wait(500);
      await redis.start();
    };
    const troubles = [
      () => end('SIGKILL'),
      restart,
      () => end('SIGTERM'),
      async () => void workers.push(startWorker('rough', args)),
      () => end('SIGKILL'),
      async () => void expect(enqueue('rough', photos, '--chunk', '20').status).toBe(0),
      // longer than a lock: its chunks are given to others, and it goes on with them, too
      () => redis.pause(2500),
      () => end('SIGKILL'),
      restart,
      () => end('SIGTERM'),
      () => end('SIGKILL'),
      () => end('SIGKILL'),
    ];
    let troubled = 0;
    for (const trouble of troubles) {
      await until(() => isDone() || count('llen', 'bull:rough:active') > 0, 'photos that are looked at');
      await wait(100 + 400 * random());
      if (isDone()) break;
      await trouble();
      troubled++;
    }
    // a quick machine is done before the last of them
    expect(troubled).toBeGreaterThanOrEqual(5);
    await until(() => status('rough').remaining === 0, 'all photos', 120);
    for (const worker of workers) expect(await worker.kill('SIGTERM')).toBe(0);
    const { out, stdout, status: code } = collect('rough');
    expect(stdout).toBe(`${out}: 2000 photos\n`);
    expect(code).toBe(0);
    expect(foundIn(out)).toEqual(expected);
    expect(status('rough')).toMatchObject({ total: MANY, done: MANY, failed: 0, remaining: 0 });
    // a result for each chunk, once
    expect(
      readdirSync(resultsOf('rough')).filter((name) => /^[0-9a-f]{64}\.ndjson$/.test(name)),
    ).toHaveLength(100);
  });

  it('a worker whose network stalls goes on, and what it lost is done once', async () => {
    enqueue('stall', few, '--chunk', '20');
    const proxy = new StallingProxy(redis.port);
    const port = await proxy.listen();
    const cut = start([
      ...['work', '--queue', `redis://127.0.0.1:${port}`, '--name', 'stall', '--model', model],
      ...['--out', resultsOf('stall'), '--workers', '1', '--threads', '1', '--lock', '1', '--until-done'],
    ]);
    await until(() => status('stall').done > 0, 'first chunk');
    proxy.stall();
    const other = startWorker('stall', ['--lock', '1', '--until-done']);
    await wait(2500);
    proxy.resume();
    expect(await cut.end()).toBe(0);
    expect(await other.end()).toBe(0);
    proxy.close();
    const { out, status: code } = collect('stall');
    expect(code).toBe(0);
    expect(foundIn(out)).toEqual(expectedFew);
    expect(status('stall')).toMatchObject({ done: FEW, remaining: 0 });
  });

  it('a worker whose library does not end ends all the same, and its chunks are another’s', async () => {
    enqueue('unending', few, '--chunk', '150');
    const stuck = startWorker('unending', ['--lock', '1', '--grace', '0'], unending);
    await until(() => Number(redisCli(redis.port, 'llen', 'bull:unending:active')) === 2, 'two chunks');
    expect(await Promise.race([stuck.kill('SIGTERM'), wait(30_000)])).toBe(0);
    expect(stuck.stderr).toMatch(/unending: 0 photos, stopped/);
    expect(await startWorker('unending', ['--lock', '1', '--until-done']).end()).toBe(0);
    expect(status('unending')).toMatchObject({ done: FEW, remaining: 0 });
    expect(foundIn(collect('unending').out)).toEqual(expectedFew);
  });

  it('a photo that ends its process is given up after three tries, its neighbours are done', async () => {
    const some = join(folder, 'killing');
    mkdirSync(some);
    for (let i = 0; i < 40; i++) cpSync(join(photos, `00${10 + i}.bmp`), join(some, `00${10 + i}.bmp`));
    cpSync(join(photos, '0000.bmp'), join(some, '0020-killer.bmp'));
    enqueue('killing', some, '--chunk', '16');
    const ends: (number | string)[] = [];
    for (let starts = 0; starts < 10; starts++) {
      const end = await startWorker('killing', ['--lock', '1', '--until-done'], killer).end();
      ends.push(end);
      if (end === 0) break;
    }
    expect(ends).toEqual(['SIGKILL', 'SIGKILL', 'SIGKILL', 0]);
    const { stderr, stdout, out, status: code } = collect('killing');
    expect(stdout).toBe(`${out}: 41 photos, 1 of them failed\n`);
    expect(stderr).toMatch(/0020-killer\.bmp: given up: a worker's process ended/);
    expect(code).toBe(1);
    const found = foundIn(out) as Map<string, { error?: object; spikeChecksum?: string }>;
    const failed = [...found].filter(([, { error }]) => error).map(([path]) => path);
    expect(failed).toEqual([join(some, '0020-killer.bmp')]);
    for (const [path, { spikeChecksum }] of found)
      if (!failed.includes(path))
        expect(spikeChecksum).toBe(
          (expected.get(path.replace(some, photos)) as { spikeChecksum: string }).spikeChecksum,
        );
    expect(status('killing')).toMatchObject({ total: 41, done: 40, failed: 1, remaining: 0 });
    // a machine that can look at it: once more, that photo alone
    expect(run(['enqueue', '--failed', ...of('killing')]).stdout).toBe(
      'killing: 1 photo that failed, in the queue again\n',
    );
    expect(status('killing')).toMatchObject({ total: 41, done: 40, failed: 0, remaining: 1 });
    expect(await startWorker('killing', ['--until-done']).end()).toBe(0);
    expect(status('killing')).toMatchObject({ total: 41, done: 41, failed: 0, remaining: 0 });
    expect(collect('killing')).toMatchObject({ status: 0, stdout: `${out}: 41 photos\n` });
  });

  it('SIGTERM lets a chunk end within the grace time, and gives it back after', async () => {
    enqueue('term', few, '--chunk', '75');
    const patient = startWorker('term', ['--grace', '60']);
    await until(() => patient.process.exitCode !== null || /^/.test(patient.stderr), 'a start');
    await until(() => Number(redisCli(redis.port, 'llen', 'bull:term:active')) === 2, 'two chunks');
    expect(await patient.kill('SIGTERM')).toBe(0);
    // it had two chunks, and both ended
    expect(status('term')).toMatchObject({ done: 150, remaining: 150 });
    const hasty = startWorker('term', ['--grace', '0']);
    await until(() => Number(redisCli(redis.port, 'llen', 'bull:term:active')) === 2, 'two chunks again');
    expect(await hasty.kill('SIGTERM')).toBe(0);
    expect(Number(redisCli(redis.port, 'llen', 'bull:term:active'))).toBe(0);
    expect(Number(redisCli(redis.port, 'llen', 'bull:term:wait'))).toBe(2);
    expect(status('term')).toMatchObject({ done: 150, remaining: 150 });
    expect(collect('term')).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/150 photos, 150 are not done yet/),
    });
    expect(await startWorker('term', ['--until-done']).end()).toBe(0);
    expect(collect('term').status).toBe(0);
    const interrupted = startWorker('term');
    await until(() => status('term').workers === 1, 'an idle worker');
    expect(await interrupted.kill('SIGINT')).toBe(130);
  });

  it('a worker with another model, or another version, refuses, and the work is still there', async () => {
    enqueue('other', few, '--chunk', '75');
    const wrong = makeModel(folder, 2);
    const work = ['work', ...of('other'), '--out', resultsOf('other')];
    expectError(
      run([...work, '--model', wrong]),
      1,
      /is another one \(SHA-256 [0-9a-f]{12}…\) than the queue's/,
    );
    expectError(run(work), 1, /did not come with this package: give its file with --model/);
    // a worker that waited before there was any work finds out when it comes
    const waiting = start([...['work', ...of('later')], '--out', resultsOf('later'), '--model', wrong]);
    await until(() => waitingWorkers('later') === 1, 'a waiting worker');
    enqueue('later', few, '--chunk', '75');
    expect(await waiting.end()).toBe(1);
    expect(waiting.stderr).toMatch(/^error: the model .* is another one/m);
    expect(status('later')).toMatchObject({ done: 0, remaining: FEW });
    expect(Number(redisCli(redis.port, 'llen', 'bull:later:wait'))).toBe(4);

    expectError(
      run(['enqueue', few, ...of('other'), '--model', model, '--steps', '3']),
      2,
      /holds photos that are looked at differently \(.*steps/,
    );
    const plan = JSON.parse(redisCli(redis.port, 'hget', 'spiking-yolo:other', 'plan'));
    redisCli(redis.port, 'hset', 'spiking-yolo:other', 'plan', JSON.stringify({ ...plan, version: 99 }));
    const version = /made by another version of spiking-yolo \(its form is 99, this one's is 1\)/;
    expectError(run([...work, '--model', model]), 1, version);
    expectError(enqueue('other', few), 1, version);
    expectError(run(['status', ...of('other')]), 1, version);
    expectError(run(['collect', folder, ...of('other'), '--out', join(folder, 'x')]), 1, version);
    const settled = { ...plan, recorded: { ...plan.recorded, steps: 5 } };
    redisCli(redis.port, 'hset', 'spiking-yolo:other', 'plan', JSON.stringify(settled));
    expectError(run([...work, '--model', model]), 1, /with other settings \(steps\)/);
    redisCli(redis.port, 'rpush', 'bull:foreign:wait', '1');
    expectError(enqueue('foreign', photos), 1, /belongs to another program/);
  });

  it('a job of another program among ours fails alone, and names no file', async () => {
    enqueue('mixed', few, '--chunk', '100');
    const { plan } = JSON.parse(
      redisCli(
        redis.port,
        'hget',
        `bull:mixed:${redisCli(redis.port, 'lindex', 'bull:mixed:wait', '0')}`,
        'data',
      ),
    );
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
    const queue = new Queue('mixed', { connection });
    const good = { plan, folder: few, photos: ['0000.bmp'] };
    for (const [id, data] of [
      ['a', {}],
      ['b', 'x'],
      ['c', { plan: null, photos: [] }],
      ['../../escaped', good],
      ['d', good],
    ] as const)
      await queue.add('photos', data, { jobId: id });
    await queue.close();
    connection.disconnect();
    const worker = startWorker('mixed', ['--until-done']);
    expect(await worker.end()).toBe(0);
    expect(worker.stderr.match(/^a chunk failed: the queue holds a job.*not of spiking-yolo/gm)).toHaveLength(
      5,
    );
    expect(foundIn(collect('mixed').out)).toEqual(expectedFew);
    expect(existsSync(join(folder, '..', 'escaped.ndjson'))).toBe(false);
    expect(readdirSync(resultsOf('mixed'))).toHaveLength(3);
  });

  it('collect takes no other file for a chunk’s result, and removes nothing that has come meanwhile', async () => {
    const name = 'changed';
    enqueue(name, few, '--chunk', '100');
    expect(await startWorker(name, ['--until-done']).end()).toBe(0);
    const [first, second] = readdirSync(resultsOf(name)).map((file) => join(resultsOf(name), file));
    expectError(
      run(['collect', resultsOf(name), ...of(name), '--out', first!]),
      2,
      /is the name of a chunk's result/,
    );
    cpSync(first!, second!);
    const swapped = collect(name);
    expect(swapped.stderr).toMatch(/is damaged, or another chunk's result; do it again with --redo/);
    expect(swapped).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/: 200 photos, results of 100 are not in/),
    });
    expect(run(['collect', resultsOf(name), ...of(name), '--out', swapped.out, '--redo']).status).toBe(1);
    expect(await startWorker(name, ['--until-done']).end()).toBe(0);
    expect(foundIn(collect(name).out)).toEqual(expectedFew);
    // another folder is not taken for lost results
    mkdirSync(join(folder, 'empty'));
    expectError(
      run(['collect', join(folder, 'empty'), ...of(name), '--out', swapped.out, '--redo']),
      2,
      /has no result of the queue/,
    );
    const queue = await FleetQueue.open({ url: redis.url, name });
    expect(await queue.remove(FEW - 1)).toBe(false);
    expect((await queue.status()).total).toBe(FEW);
    await queue.close();
    expect(run(['enqueue', '--drop', ...of(name)]).stdout).toBe(`${name}: removed, 0 photos not done\n`);
    expectError(
      run(['work', ...of(name), '--out', resultsOf(name), '--until-done']),
      2,
      /there is no queue changed/,
    );
    expectError(run(['enqueue', '--failed', ...of(name)]), 2, /there is no queue changed/);
    expectError(run(['enqueue', '--drop', photos, ...of(name)]), 2, /--drop takes a queue as it is/);
  });

  it('a Redis without memory ends a worker with one error', async () => {
    const small = new RedisServer(await freePort(), join(folder, 'small'));
    await small.start();
    try {
      const where = ['--queue', small.url, '--name', 'small'];
      run(['enqueue', few, ...where, '--model', model]);
      redisCli(small.port, 'config', 'set', 'maxmemory', '1');
      const work = ['work', ...where, '--model', model, '--out', resultsOf('small'), '--until-done'];
      expectError(run(work), 1, /its memory is full \(maxmemory\)/);
      expectError(
        run(['enqueue', photos, ...where, '--model', model]),
        1,
        /its memory is full \(maxmemory\)/,
      );
      redisCli(small.port, 'config', 'set', 'maxmemory', '0');
      expect(run(work).status).toBe(0);
    } finally {
      await small.stop();
    }
  });

  it('chunks that failed are left, said, and tried again when the list is enqueued again', async () => {
    enqueue('failing', few, '--chunk', '150');
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
    const failing = new Worker('failing', () => Promise.reject(new Error('a defect')), { connection });
    failing.on('error', () => {});
    await until(
      () => Number(redisCli(redis.port, 'zcard', 'bull:failing:failed')) === 2,
      'two failed chunks',
    );
    await failing.close();
    connection.disconnect();
    const work = ['work', ...of('failing'), '--model', model, '--out', resultsOf('failing'), '--until-done'];
    expectError(
      run(work),
      1,
      /300 photos left, whose chunks failed; try them again with: spiking-yolo enqueue/,
    );
    expect(enqueue('failing', few, '--chunk', '150').stdout).toMatch(/2 of them there already/);
    expect(run(work).status).toBe(0);
    expect(foundIn(collect('failing').out)).toEqual(expectedFew);
  });

  it('a full disk ends the worker, and the chunk is another’s', async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]).status === 0;
    if (!mounted) return;
    try {
      enqueue('disk', few, '--chunk', '30');
      const full = ['work', ...of('disk'), '--model', model, '--out', disk, '--workers', '1'];
      expectError(run(full), 1, /the disk is full/);
      expect(readdirSync(disk)).toEqual([]);
      expect(status('disk')).toMatchObject({ done: 0, remaining: FEW });
      expect(Number(redisCli(redis.port, 'llen', 'bull:disk:wait'))).toBe(10);
    } finally {
      execFileSync('umount', [disk]);
    }
    expect(await startWorker('disk', ['--until-done']).end()).toBe(0);
    expect(foundIn(collect('disk').out)).toEqual(expectedFew);
  });

  it('a machine without the photos’ folder makes no failures of them', async () => {
    const share = join(folder, 'share');
    cpSync(few, share, { recursive: true });
    enqueue('share', share, '--chunk', '100');
    rmSync(share, { recursive: true });
    const work = ['work', ...of('share'), '--model', model, '--out', resultsOf('share'), '--workers', '1'];
    expectError(
      run([...work, '--until-done']),
      1,
      /share: there is no such folder here, or it is empty.*mounted/s,
    );
    expect(status('share')).toMatchObject({ done: 0, failed: 0, remaining: FEW });
    cpSync(few, share, { recursive: true });
    rmSync(join(share, '0007.bmp'));
    expect(await startWorker('share', ['--until-done']).end()).toBe(0);
    expect(status('share')).toMatchObject({ done: FEW - 1, failed: 1, remaining: 0 });
    const { stderr, status: code } = collect('share');
    expect(stderr).toBe(
      `error: ${join(share, '0007.bmp')}: cannot read it: there is no such file or folder\n`,
    );
    expect(code).toBe(1);
  });

  it('results that are there count when Redis has lost everything', async () => {
    const lost = new RedisServer(await freePort(), join(folder, 'lost'));
    await lost.start();
    const some = ['--queue', lost.url, '--name', 'lost'];
    const list = ['enqueue', few, ...some, '--model', model, ...SETTINGS];
    const work = [
      'work',
      ...some,
      '--model',
      model,
      '--out',
      resultsOf('lost'),
      '--until-done',
      '--workers',
      '1',
    ];
    try {
      run(list);
      expect(run(work).stderr).toMatch(/lost: 300 photos/);
      execFileSync('redis-cli', ['-p', `${lost.port}`, 'flushall']);
      expectError(run(['status', ...some]), 2, /there is no queue lost; fill it with: spiking-yolo enqueue/);
      run(list);
      // one that was torn is done again
      const [torn] = readdirSync(resultsOf('lost'));
      const path = join(resultsOf('lost'), torn!);
      writeFileSync(path, readFileSync(path).subarray(0, 5000));
      expect(run(work).stderr).toMatch(/^lost: (32|12) photos$/m);
      // one that is lost when its chunk is known to be done
      const out = join(folder, 'lost.ndjson');
      const collecting = ['collect', resultsOf('lost'), ...some, '--out', out];
      const [gone] = readdirSync(resultsOf('lost'));
      rmSync(join(resultsOf('lost'), gone!));
      const { stdout, status: code } = run([...collecting, '--remove']);
      expect(stdout).toMatch(
        /results of (32|12) are not in .* \(made by [^ ]+:\d+; if they are lost: --redo\)$/m,
      );
      expect(code).toBe(1);
      expect(run(work).stderr).toMatch(/^lost: 0 photos$/m);
      for (let time = 0; time < 2; time++)
        expect(run([...collecting, '--redo'])).toMatchObject({
          status: 1,
          stdout: expect.stringMatching(
            time === 0 ? /, (32|12) are to be done again$/m : / are not done yet$/m,
          ),
        });
      const left = JSON.parse(run(['status', ...some, '--format', 'json']).stdout);
      expect(left.done + left.remaining).toBe(FEW);
      expect([32, 12]).toContain(left.remaining);
      expect(run(work).stderr).toMatch(/^lost: (32|12) photos$/m);
      expect(run([...collecting, '--remove']).status).toBe(0);
      expect(foundIn(out)).toEqual(expectedFew);
      expect(
        execFileSync('redis-cli', ['-p', `${lost.port}`, 'keys', '*'], { encoding: 'utf8' }),
      ).not.toMatch(/plan|done|chunks|bull/);
    } finally {
      await lost.stop();
    }
  });

  it('says what is wrong with an address, a Redis or a list, once, and no password', async () => {
    const locked = new RedisServer(await freePort(), join(folder, 'locked'), '--requirepass', 'geheim/1');
    await locked.start();
    try {
      const port = locked.port;
      const commands: string[][] = [
        ['enqueue', photos, '--model', model],
        ['work', '--out', join(folder, 'never'), '--model', model],
        ['status'],
        ['collect', folder, '--out', join(folder, 'never.ndjson')],
      ];
      const nobody = await freePort();
      for (const command of commands) {
        const ask = (url: string, name = 'x') => run([...command, '--queue', url, '--name', name]);
        expectError(ask('queue.local'), 2, /--queue is no address; expected redis:/);
        expectError(ask(`redis://127.0.0.1:${nobody}`), 1, /nothing answers there; is Redis running\?/);
        const wrong = ask(`redis://:wr0ng@127.0.0.1:${port}`);
        expectError(wrong, 1, /refuses the name or password \(WRONGPASS/);
        expect(wrong.stderr + wrong.stdout).not.toContain('wr0ng');
        if (command[0] !== 'status') continue;
        for (const url of [
          'http://127.0.0.1',
          `redis://user:1/geheim@127.0.0.1:${port}`,
          'redis:geheim@x',
          'redis://:100%geheim@x',
        ]) {
          const refused = ask(url);
          expectError(refused, 2, /--queue is no address/);
          expect(refused.stderr).not.toMatch(/geheim/);
        }
        expectError(ask('redis://nowhere.invalid'), 1, /there is no machine of that name/);
        expectError(ask(locked.url), 1, /it wants a password, redis:.*\(NOAUTH/);
        expectError(ask(`${redis.url}/99`), 1, /it has no database of that number/);
        expectError(ask(redis.url, 'a:b'), 2, /--name is "a:b"; expected letters/);
        expectError(run(command, { env: { SPIKING_YOLO_QUEUE: undefined } }), 2, /name a Redis: --queue/);
      }
      expect(existsSync(join(folder, 'never.ndjson'))).toBe(false);

      // the right one, and it is in nothing that is written
      const url = `redis://:geheim%2F1@127.0.0.1:${port}`;
      const env = { SPIKING_YOLO_QUEUE: url };
      const out = join(folder, 'secret');
      const texts = [
        run(['enqueue', join(few, '000?.bmp'), '--model', model, '--name', 'secret'], { env }),
        run(['work', '--out', out, '--model', model, '--name', 'secret', '--until-done'], { env }),
        run(['status', '--name', 'secret'], { env }),
        run(['collect', out, '--name', 'secret', '--out', join(folder, 'secret.ndjson')], { env }),
      ];
      expect(texts.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
      const all = texts.map(({ stdout, stderr }) => stdout + stderr).join('');
      expect(all + readFileSync(join(folder, 'secret.ndjson'), 'utf8')).not.toMatch(/geheim/);
    } finally {
      await locked.stop();
    }
    for (const args of [
      ['--chunk', '0'],
      ['--chunk', '1001'],
      ['--steps', 'x'],
      ['--conf', '2'],
      ['--threads', '2'],
    ])
      expect(run(['enqueue', photos, ...of('x'), '--model', model, ...args]).status).toBe(2);
    expectError(run(['enqueue', ...of('x')]), 2, /name photos, or - for a list on stdin/);
    expectError(
      run(['enqueue', '--failed', photos, ...of('x')]),
      2,
      /--failed takes a queue as it is; leave .* out/,
    );
    for (const args of [
      ['--lock', '0'],
      ['--grace', '-1'],
      ['--timeout', '0'],
      ['--workers', '0'],
      ['--isa', 'mmx'],
    ])
      expect(
        run(['work', ...of('plain'), '--out', join(folder, 'no'), '--model', model, ...args]).status,
      ).not.toBe(0);
    const list = join(folder, 'list.ndjson');
    expectError(
      run(['enqueue', 'ftp://me:geheim@x/a.jpg', ...of('x'), '--model', model]),
      2,
      /ftp:\/\/\*\*\*@x.*is no address of a photo/,
    );
    writeFileSync(join(folder, 'list.txt'), 'a.jpg');
    expectError(
      run(['enqueue', join(folder, 'list.txt'), ...of('x'), '--model', model]),
      2,
      /for a list: spiking-yolo enqueue - < LIST/,
    );
    writeFileSync(list, '{"link":"https://me:geheim@x/a.jpg"}');
    const secret = run(['enqueue', list, ...of('x'), '--model', model]);
    expectError(secret, 1, /names no photo/);
    expect(secret.stderr).not.toMatch(/geheim/);
    writeFileSync(list, '{"url":"ftp://x/a.jpg"}\n');
    expectError(run(['enqueue', list, ...of('x'), '--model', model]), 1, /names no photo; expected \{"url"/);
  });

  it.skipIf(!hasProgram('openssl') && !programsRequired)('over TLS', async () => {
    const key = join(folder, 'tls.key');
    const certificate = join(folder, 'tls.crt');
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        key,
        '-out',
        certificate,
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
      ],
      { stdio: 'ignore' },
    );
    const tlsPort = await freePort();
    const server = new RedisServer(
      await freePort(),
      join(folder, 'tls'),
      ...['--tls-port', `${tlsPort}`, '--tls-cert-file', certificate, '--tls-key-file', key],
      ...['--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no'],
    );
    await server.start();
    try {
      const where = ['--queue', `rediss://localhost:${tlsPort}`, '--name', 'tls'];
      const env = { NODE_EXTRA_CA_CERTS: certificate };
      const some = join(photos, '000?.bmp');
      expect(run(['enqueue', some, ...where, '--model', model], { env }).stdout).toBe(
        'tls: 10 photos in 1 chunk\n',
      );
      const work = ['work', ...where, '--model', model, '--out', resultsOf('tls'), '--until-done'];
      expect(run(work, { env }).stderr).toMatch(/tls: 10 photos/);
      // one whose certificate is not known is not trusted
      expectError(run(['status', ...where]), 1, /self-signed certificate/);
    } finally {
      await server.stop();
    }
  });

  it('photos of a server, of lists of every kind', async () => {
    const asked: string[] = [];
    const server = createHttpServer((request, response) => {
      asked.push(request.url!);
      const name = /(\d{4}\.bmp)/.exec(request.url!)?.[1];
      if (!name) response.writeHead(404).end();
      else response.end(readFileSync(join(photos, name)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as { port: number };
      const base = `http://127.0.0.1:${port}/`;
      const list = join(folder, 'urls.ndjson');
      writeFileSync(
        list,
        `{"url":"${base}0001.bmp"}\n"${base}0002.bmp"\n{"path":"${join(photos, '0003.bmp')}"}\n`,
      );
      const given = [
        'enqueue',
        '-',
        list,
        `http:///me:sehr geheim@127.0.0.1:${port}/0004.bmp`,
        join(photos, '0005.bmp'),
      ];
      const input = `${join(photos, '0006.bmp')}\n\n{"url":"${base}0007.bmp"}\n${base}none.bmp\n`;
      const { stdout } = spawnSync(
        process.execPath,
        [`${root}dist/cli/main.js`, ...given, ...of('web'), '--model', model, ...SETTINGS, '--chunk', '4'],
        { input, encoding: 'utf8' },
      );
      expect(stdout).toBe('web: 8 photos in 2 chunks\n');
      const hidden = startWorker('web', ['--until-done']);
      expect(await hidden.end()).toBe(0);
      expect(hidden.stderr).toMatch(/127\.0\.0\.1 is an address of a local network/);
      expect(asked).toEqual([]);
      expect(status('web')).toMatchObject({ total: 8, done: 3, failed: 5 });
      run(['enqueue', '--failed', ...of('web')]);
      const open = startWorker('web', ['--until-done', '--allow-private']);
      expect(await open.end()).toBe(0);
      const { out, stderr, stdout: said, status: code } = collect('web');
      expect(said).toBe(`${out}: 8 photos, 1 of them failed\n`);
      expect(stderr).toBe(`error: ${base}none.bmp: the server answers 404\n`);
      expect(code).toBe(1);
      const found = foundIn(out) as Map<string, { spikeChecksum?: string; absolutePath: string }>;
      const digits = (path: string) => /(\d{4})\.bmp/.exec(path)?.[1];
      expect([...found.keys()].map(digits).filter(Boolean).sort()).toEqual([
        '0001',
        '0002',
        '0003',
        '0004',
        '0005',
        '0006',
        '0007',
      ]);
      for (const [path, { spikeChecksum, absolutePath }] of found) {
        const same = expected.get(join(photos, `${digits(path)}.bmp`)) as
          | { spikeChecksum: string }
          | undefined;
        expect(spikeChecksum).toBe(same?.spikeChecksum);
        expect(absolutePath).toBe(path);
      }
      expect(readFileSync(out, 'utf8') + open.stderr + stderr).not.toMatch(/geheim/);
      expect(run(['status', ...of('web')]).stdout).not.toMatch(/geheim/);
    } finally {
      server.close();
    }
  });

  it('a photo that is listed twice is collected once; --watch ends when all is done', async () => {
    const input = `${join(photos, '0001.bmp')}\n${join(photos, '0002.bmp')}\n${join(photos, '0001.bmp')}\n`;
    spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'enqueue', '-', ...of('twice'), '--model', model, '--chunk', '2'],
      { input },
    );
    const watching = start(['status', ...of('twice'), '--watch']);
    expect(await startWorker('twice', ['--until-done']).end()).toBe(0);
    expect(await watching.end()).toBe(0);
    expect(watching.stdout).toMatch(/twice: 3 of 3 photos \(100 %\)/);
    expect(collect('twice').stdout).toMatch(/: 2 photos\n$/);
  });

  it('enqueue takes no more memory for more photos', () => {
    // 24 MB are enough for a list of ten; the paths of this one alone would be as much again
    const heap = ['--max-old-space-size=36', '--max-semi-space-size=1'];
    const input = Array.from({ length: 400_000 }, (_, i) => `/srv/photos/of/the/archive/${i}.jpg`).join('\n');
    const args = ['enqueue', '-', ...of('long'), '--model', model];
    const { stdout } = spawnSync(process.execPath, [...heap, `${root}dist/cli/main.js`, ...args], {
      input,
      encoding: 'utf8',
    });
    expect(stdout).toBe('long: 400000 photos in 12500 chunks\n');
  });
});

/** Passes bytes on between a client and Redis, or holds them back. */
class StallingProxy {
  private readonly port: number;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private stalled = false;

  constructor(port: number) {
    this.port = port;
    this.server = createServer((client) => {
      const upstream = connect(this.port, '127.0.0.1');
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.sockets.add(from);
        from.on('data', (bytes) => to.write(bytes));
        from.on('error', () => {});
        from.on('close', () => {
          this.sockets.delete(from);
          to.destroy();
        });
        if (this.stalled) from.pause();
      }
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return (this.server.address() as { port: number }).port;
  }

  stall(): void {
    this.stalled = true;
    for (const socket of this.sockets) socket.pause();
  }

  resume(): void {
    this.stalled = false;
    for (const socket of this.sockets) socket.resume();
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** Workers that wait at a queue which is not there yet. */
const waitingWorkers = (name: string) => {
  const encoded = Buffer.from(name).toString('base64');
  return redisCli(redis.port, 'client', 'list')
    .split('\n')
    .filter((line) => line.includes(`name=bull:${encoded}:w:`)).length;
};
