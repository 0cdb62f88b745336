import { type ChildProcess, spawn } from 'node:child_process';
import { abortedError, fileError } from '../errors.js';
import type { Photo } from '../image/resize.js';
import { PpmReader } from './ppm.js';

/** Milliseconds without a frame after which a source is given up. */
const STALLED_MS = 30_000;

/** True of what ffmpeg reads from the network. */
export const isUrl = (source: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(source);

/** A program that is running: its exit code once it has ended, and the last of what it said. */
export interface Running {
  child: ChildProcess;
  /** Throws `FILE` with what to do if the program is not there. */
  ended: () => Promise<number | null>;
  lastWords: () => string;
}

/** Starts a program that reads or writes `source`; its standard input is a pipe. */
export function start(
  source: string,
  program: string,
  args: readonly string[],
  options: { detached?: boolean } = {},
): Running {
  const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr!.on('data', (data) => {
    stderr = `${stderr}${data}`.slice(-2000);
  });
  const end = new Promise<{ code: number | null; error?: NodeJS.ErrnoException }>((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }));
    child.on('close', (code) => resolve({ code }));
  });
  return {
    child,
    lastWords: () => lastLine(stderr),
    async ended() {
      const { code, error } = await end;
      if (error?.code === 'ENOENT')
        throw fileError(
          `${source}: a video takes ${program}, which is not on PATH (Debian: apt-get install ffmpeg); a folder of numbered pictures needs none`,
        );
      if (error) throw error;
      return code;
    },
  };
}

/** The last line of what ffmpeg says, without the source before it. */
const lastLine = (text: string) =>
  text
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^.*: (?=[A-Z])/, '') ?? '';

/** Frames a second of a video, as its file says. Throws `FILE`. */
export async function frameRateOf(source: string): Promise<number> {
  const entries = ['-select_streams', 'v:0', '-show_entries', 'stream=avg_frame_rate', '-of', 'csv=p=0'];
  const { child, ended, lastWords } = start(source, 'ffprobe', ['-v', 'error', ...entries, '--', source]);
  let text = '';
  child.stdout!.on('data', (data) => {
    text += data;
  });
  if ((await ended()) !== 0) throw fileError(`${source}: ${lastWords() || 'ffprobe failed'}`);
  const [numerator, denominator = 1] = text.trim().split('/').map(Number);
  const rate = numerator! / denominator;
  if (!(rate > 0 && rate <= 1000))
    throw fileError(`${source}: it has no video, or does not say how many frames a second`);
  return rate;
}

/**
 * Pictures that ffmpeg reads from an input (its arguments up to the filter), one after another, as fast as they are taken. Throws
 * `FILE` if the source ends in the middle, cannot be read, or brings nothing for a while; `ABORTED` when the signal aborts.
 */
export async function* picturesOf(
  source: string,
  input: readonly string[],
  filter: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Photo> {
  const { child, ended, lastWords } = start(source, 'ffmpeg', [
    ...['-hide_banner', '-nostdin', '-loglevel', 'error'],
    ...input,
    ...(filter === undefined ? [] : ['-vf', filter]),
    ...['-an', '-f', 'image2pipe', '-c:v', 'ppm', 'pipe:1'],
  ]);
  const stop = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', stop);
  let [stalled, waiting] = [false, true];
  const watch = setTimeout(() => {
    // the reader may take its time
    if (!waiting) {
      watch.refresh();
      return;
    }
    stalled = true;
    stop();
  }, STALLED_MS);
  const reader = new PpmReader();
  let pictures = 0;
  try {
    for await (const bytes of child.stdout!) {
      for (const photo of reader.push(bytes as Uint8Array)) {
        waiting = false;
        pictures++;
        yield photo;
        waiting = true;
        watch.refresh();
      }
    }
    const code = await ended();
    if (signal?.aborted) throw abortedError('cancelled', signal.reason);
    if (stalled) throw fileError(`${source}: no frame came for ${STALLED_MS / 1000} s`);
    if (code !== 0 || reader.torn)
      throw fileError(`${source}: ${lastWords() || 'ffmpeg ended in the middle'} (after ${pictures} frames)`);
    if (pictures === 0) throw fileError(`${source}: ${lastWords() || 'there is no frame in it'}`);
  } finally {
    clearTimeout(watch);
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
