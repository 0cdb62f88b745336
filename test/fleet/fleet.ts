/** A Redis of the tests' own, workers as processes, and photos and a network that are quickly done. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { run } from '../support/command.js';
import { randomNumbers } from '../support/plans.js';
import { root } from '../support/shared.js';

const main = `${root}dist/cli/main.js`;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** Debian's redis-server on loopback, every command on disk before it is answered. */
export class RedisServer {
  readonly port: number;
  private readonly args: string[];
  private process: ChildProcess | undefined;

  constructor(port: number, folder: string, ...more: string[]) {
    this.port = port;
    mkdirSync(folder, { recursive: true });
    this.args = [
      ...['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''],
      ...['--appendonly', 'yes', '--appendfsync', 'always', '--loglevel', 'warning', ...more],
    ];
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.process = spawn('redis-server', this.args, { stdio: 'ignore' });
    for (let tries = 0; tries < 200; tries++) {
      const socket = connect(this.port, '127.0.0.1');
      const open = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false);
      socket.destroy();
      if (open) return;
      await wait(50);
    }
    throw new Error('redis-server did not start');
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.process || this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
  }

  /** Takes its time from the process, as a network that stalls does. */
  pause(milliseconds: number): Promise<void> {
    this.process!.kill('SIGSTOP');
    return wait(milliseconds).then(() => void this.process!.kill('SIGCONT'));
  }
}

/** A command that runs on its own. */
export class Running {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, preload?: string) {
    const node = preload ? ['--import', preload] : [];
    this.process = spawn(process.execPath, [...node, main, ...args], { env: { ...process.env, ...env } });
    this.process.stdout!.on('data', (text) => {
      this.stdout += text;
    });
    this.process.stderr!.on('data', (text) => {
      this.stderr += text;
    });
  }

  /** Its exit code, or the signal that ended it. */
  async end(): Promise<number | NodeJS.Signals> {
    const { exitCode, signalCode } = this.process;
    if (exitCode === null && signalCode === null) await once(this.process, 'close');
    return this.process.exitCode ?? this.process.signalCode!;
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.process.kill(signal);
    return this.end();
  }
}

/** Waits until something holds. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  seconds = 60,
): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; await wait(50))
    if (await holds()) return;
  throw new Error(`${what}: not within ${seconds} s`);
}

/** Writes small photos: two rectangles of two colours each. */
export function writePhotos(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  const random = randomNumbers(7);
  const [width, height] = [32, 24];
  for (let n = 0; n < count; n++) {
    const bytes = Buffer.alloc(54 + width * height * 3);
    bytes.write('BM');
    bytes.writeUInt32LE(bytes.length, 2);
    bytes.writeUInt32LE(54, 10);
    bytes.writeUInt32LE(40, 14);
    bytes.writeInt32LE(width, 18);
    bytes.writeInt32LE(height, 22);
    bytes.writeUInt16LE(1, 26);
    bytes.writeUInt16LE(24, 28);
    const colours = Array.from({ length: 6 }, () => Math.floor(256 * random()));
    const [left, top] = [Math.floor(width * random()), Math.floor(height * random())];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let k = 0; k < 3; k++)
          bytes[54 + (y * width + x) * 3 + k] = colours[k + (x > left && y > top ? 3 : 0)]!;
    writeFileSync(join(folder, `${String(n).padStart(4, '0')}.bmp`), bytes);
  }
}

const CFG = `[net]
width=96
height=96
channels=3

[convolutional]
filters=16
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=24
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[region]
anchors=1,1,3,3,6,5
classes=2
num=3
softmax=1
`;

/** Converts a small network of random weights; gives the model's path. */
export function makeModel(folder: string, seed = 1): string {
  const random = randomNumbers(seed);
  const layers = [
    { filters: 16, inputs: 27, gain: 0.5 },
    { filters: 24, inputs: 144, gain: 0.25 },
    { filters: 21, inputs: 24, gain: 1.5 },
  ];
  const floats = layers.flatMap(({ filters, inputs, gain }) => [
    ...Array.from({ length: filters }, () => (random() - 0.5) * 0.2),
    ...Array.from({ length: filters * inputs }, () => (random() - 0.5) * gain),
  ]);
  const weights = Buffer.alloc(16 + 4 * floats.length);
  new Float32Array(weights.buffer, weights.byteOffset + 16, floats.length).set(floats);
  const files = {
    cfg: join(folder, 'net.cfg'),
    weights: join(folder, 'net.weights'),
    names: join(folder, 'net.names'),
  };
  writeFileSync(files.cfg, CFG);
  writeFileSync(files.weights, weights);
  writeFileSync(files.names, 'left\nright\n');
  writePhotos(join(folder, 'calibration'), 9);
  const out = join(folder, `net-${seed}.safetensors`);
  const { status, stderr } = run([
    ...['convert', '--cfg', files.cfg, '--weights', files.weights, '--names', files.names],
    ...['--calibration', join(folder, 'calibration'), '--tune', 'none', '--out', out],
  ]);
  if (status !== 0) throw new Error(stderr);
  return out;
}

/** What a record says, apart from how long it took, by its path. */
export function foundIn(file: string): Map<string, unknown> {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const records = lines.map((line) => JSON.parse(line));
  return new Map(records.map(({ path, elapsedMs: _, backend: __, ...rest }) => [path, rest]));
}

/** A redis-cli command. */
export const redisCli = (port: number, ...args: string[]) =>
  spawnSync('redis-cli', ['-p', `${port}`, ...args], { encoding: 'utf8' }).stdout.trim();
