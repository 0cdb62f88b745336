import type { Command } from 'commander';
import { Detector, type DetectorOptions, workersFor } from '../detector.js';
import { usageError } from '../errors.js';
import { DEFAULT_MODEL } from '../model/registry.js';
import { LOWEST_CONFIDENCE, serverOptions } from '../server/options.js';
import { createServer, type NamedDetector } from '../server/server.js';
import { addBackendOptions, choice, countArgument, numberArgument, threadsOption } from './options.js';

interface ServeOptions {
  host: string;
  port: number;
  model?: string[];
  preset?: 'fast' | 'frugal';
  workers?: number;
  threads?: number;
  apiKey?: string;
  insecure?: boolean;
  conf?: number;
  maxQueue?: number;
  maxBytes?: number;
  maxPixels?: number;
  cors?: string;
  grace?: number;
  maxStreams?: number;
  streamIdle?: number;
  hold?: number;
  deadZone?: number;
  backend?: DetectorOptions['backend'];
  isa?: string;
}

/** The variable that a key may be given in, so that it stands in no list of processes. */
const KEY_VARIABLE = 'SPIKING_YOLO_API_KEY';

const collect = (value: string, before: string[] = []) => [...before, value];

function portArgument(text: string): number {
  const port = numberArgument(text);
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw usageError(`--port is ${text}; expected 0 to 65535`);
  return port;
}

/** Adds `spiking-yolo serve`. */
export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .description('answer cameras’ software over HTTP, as DeepStack and CodeProject.AI do (docs/server.md)')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on', portArgument, 5000)
    .option(
      '--model <[name=]name|file>',
      'a model by name or its file, several times for several; the first answers by default',
      collect,
    )
    .addOption(choice('--preset <name>', 'fast (the default) or frugal', ['fast', 'frugal']))
    .option('--workers <n>', 'threads of each model (default: as many as cores)', numberArgument)
    .addOption(threadsOption())
    .option(
      '--api-key <key>',
      `ask every client for this key, 8 characters or more (or in the variable ${KEY_VARIABLE})`,
    )
    .option('--insecure', 'listen on an address other than loopback without a key')
    .option('--conf <x>', 'lowest confidence where a request names none (default 0.25)', numberArgument)
    .option('--max-queue <n>', 'pictures that wait for a worker, then 503 (default 16)', numberArgument)
    .option('--max-bytes <n>', 'largest body in bytes (default 20000000)', numberArgument)
    .option('--max-pixels <n>', 'largest picture in pixels (default 100000000)', countArgument)
    .option(
      '--max-streams <n>',
      'cameras whose stream is kept, each in a thread of its own (default 4)',
      numberArgument,
    )
    .option(
      '--stream-idle <s>',
      'seconds without a picture after which a stream ends (default 60)',
      numberArgument,
    )
    .option('--hold <x>', 'of streams, as in detect --video (default 1)', numberArgument)
    .option('--dead-zone <n>', 'of streams, as in detect --video (default 0)', numberArgument)
    .option('--cors <origin>', 'let pages of this origin call the server')
    .option(
      '--grace <ms>',
      'time that pictures under way have to end at SIGTERM (default 10000)',
      numberArgument,
    );
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Examples:
  spiking-yolo serve
  curl -F image=@samples/cat.jpg http://127.0.0.1:5000/v1/vision/detection
  ${KEY_VARIABLE}=… spiking-yolo serve --host 0.0.0.0 --model tiny-yolo-lite-voc --model garden=best.safetensors`,
  );
  command.action(serve);
}

/** Addresses that only this machine reaches. */
const isLoopback = (host: string) =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

/** `NAME=FILE`, or a model's name or file, whose name is then the last part of its path. */
function namesOf(model: string): { name: string; model: string } {
  const [, name, file] = /^([\w.-]+)=(.+)$/.exec(model) ?? [];
  if (name !== undefined && file !== undefined) return { name, model: file };
  return { name: model.replace(/^.*[/\\]/, '').replace(/\.safetensors$/, ''), model };
}

async function serve(given: ServeOptions): Promise<void> {
  const apiKey = given.apiKey ?? process.env[KEY_VARIABLE];
  const { host, port, conf, maxQueue, maxBytes, maxPixels, cors, grace: graceMs, preset, workers } = given;
  const { maxStreams, streamIdle, hold, deadZone } = given;
  const streamIdleMs = streamIdle === undefined ? undefined : Math.round(1000 * streamIdle);
  const options = {
    apiKey,
    conf,
    maxQueue,
    maxBytes,
    cors,
    graceMs,
    maxStreams,
    streamIdleMs,
    hold,
    deadZone,
  };
  serverOptions(options);
  if (!isLoopback(host) && apiKey === undefined && !given.insecure)
    throw usageError(
      `${host} can be reached from elsewhere: give --api-key (or ${KEY_VARIABLE}), or say that anyone may ask with --insecure`,
    );
  const { backend, isa, threads } = given;
  const detectors: NamedDetector[] = [];
  try {
    for (const { name, model } of (given.model ?? [DEFAULT_MODEL]).map(namesOf)) {
      const chosen: DetectorOptions = {
        model,
        conf: LOWEST_CONFIDENCE,
        ...(preset && { preset }),
        ...(backend && { backend }),
        ...(isa !== undefined && { isa }),
        ...(workers !== undefined && { workers }),
        ...(threads !== undefined && { threads }),
        ...(maxPixels !== undefined && { maxPixels }),
      };
      const detector = await Detector.load(chosen);
      detectors.push({ name, detector, workers: workersFor(chosen) });
    }
    const server = await createServer(detectors, options);
    await warmUp(detectors);
    const address = await server.listen({ host, port });
    if (!isLoopback(host) && apiKey === undefined)
      process.stderr.write('no key is asked for: anyone who reaches this address may ask\n');
    process.stdout.write(`listening on ${address}: ${detectors.map(({ name }) => name).join(', ')}\n`);
    process.exitCode = (await firstSignal()) === 'SIGINT' ? 130 : 0;
    await server.close();
  } finally {
    await Promise.all(detectors.map(({ detector }) => detector.close()));
  }
}

/** Waits for SIGTERM or SIGINT; a second one of either ends the process at once. */
const firstSignal = () =>
  new Promise<NodeJS.Signals>((resolve) => {
    let told = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (told) process.exit(130);
      told = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  });

/** Lets every worker load its network before the first client asks. */
async function warmUp(detectors: readonly NamedDetector[]): Promise<void> {
  const grey = { data: new Uint8Array(32 * 32 * 3).fill(128), width: 32, height: 32, channels: 3 as const };
  for (const { detector, workers } of detectors)
    for await (const { error } of detector.detectAll(new Array(2 * workers).fill(grey)))
      if (error) throw error;
}
