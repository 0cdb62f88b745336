import { type ChildProcess, spawn } from 'node:child_process';
import { abortedError, fileError, withoutSecrets } from '../errors.js';
import type { Photo } from '../image/resize.js';
import { PpmReader } from './ppm.js';

/** Milliseconds without a frame after which a source is given up. */
const STALLED_MS = 30_000;

/** True of what ffmpeg reads from the network. */
export const isUrl = (source: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(source);

/** How ffmpeg is told of a file whose name might look like an address. */
const addressOf = (source: string) => (isUrl(source) ? source : `file:${source}`);

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
  const shown = withoutSecrets(source);
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
    lastWords: () => withoutSecrets(lastLine(stderr)),
    async ended() {
      const { code, error } = await end;
      if (error?.code === 'ENOENT')
        throw fileError(
          `${shown}: a video takes ${program}, which is not on PATH (Debian: apt-get install ffmpeg); a folder of numbered pictures needs none`,
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

/** Ends a program when a signal aborts, or when nothing has come of it for a while; `came` says that something has. */
function watch({ child }: Running, signal: AbortSignal | undefined) {
  let [stalled, waiting] = [false, true];
  const stop = () => child.kill('SIGKILL');
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  const timer = setTimeout(() => {
    // the reader may take its time
    if (!waiting) {
      timer.refresh();
      return;
    }
    stalled = true;
    stop();
  }, STALLED_MS);
  return {
    /** The reader is busy with what came, or waits again. */
    busy(isBusy: boolean) {
      waiting = !isBusy;
      timer.refresh();
    },
    /** Throws why the program was ended, if it was. */
    check(source: string) {
      if (signal?.aborted) throw abortedError('cancelled', signal.reason);
      if (stalled) throw fileError(`${withoutSecrets(source)}: nothing came for ${STALLED_MS / 1000} s`);
    },
    end() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      stop();
    },
  };
}

/** Frames a second of a video, as its file says. Throws `FILE`, and `ABORTED` when the signal aborts. */
export async function frameRateOf(source: string, signal: AbortSignal | undefined): Promise<number> {
  const entries = ['-select_streams', 'v:0', '-show_entries', 'stream=avg_frame_rate', '-of', 'csv=p=0'];
  const running = start(source, 'ffprobe', ['-v', 'error', ...entries, '--', addressOf(source)]);
  const watched = watch(running, signal);
  const shown = withoutSecrets(source);
  try {
    let text = '';
    running.child.stdout!.on('data', (data) => {
      text += data;
    });
    const code = await running.ended();
    watched.check(source);
    if (code !== 0) throw fileError(`${shown}: ${running.lastWords() || 'ffprobe failed'}`);
    const [numerator, denominator = 1] = text.trim().split('/').map(Number);
    const rate = numerator! / denominator;
    if (!(rate > 0 && rate <= 1000))
      throw fileError(`${shown}: it has no video, or does not say how many frames a second`);
    return rate;
  } finally {
    watched.end();
  }
}

/**
 * Pictures that ffmpeg reads from an input (its arguments up to the filter, by the address of the source), one after another, as fast as they are taken. Throws
 * `FILE` if the source ends in the middle, cannot be read, or brings nothing for a while; `ABORTED` when the signal aborts.
 */
export async function* picturesOf(
  source: string,
  input: (address: string) => readonly string[],
  filter: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Photo> {
  const running = start(source, 'ffmpeg', [
    ...['-hide_banner', '-nostdin', '-loglevel', 'error'],
    ...input(addressOf(source)),
    ...(filter === undefined ? [] : ['-vf', filter]),
    ...['-an', '-f', 'image2pipe', '-c:v', 'ppm', 'pipe:1'],
  ]);
  const watched = watch(running, signal);
  const shown = withoutSecrets(source);
  const reader = new PpmReader();
  let pictures = 0;
  try {
    for await (const bytes of running.child.stdout!) {
      for (const photo of reader.push(bytes as Uint8Array)) {
        watched.busy(true);
        pictures++;
        yield photo;
        watched.busy(false);
      }
    }
    const code = await running.ended();
    watched.check(source);
    const words = running.lastWords();
    // of a file that was cut ffmpeg says so, and ends as if nothing were wrong
    if (code !== 0 || reader.torn || /premature|truncat/i.test(words))
      throw fileError(`${shown}: ${words || 'ffmpeg ended in the middle'} (after ${pictures} frames)`);
    if (pictures === 0) throw fileError(`${shown}: ${words || 'there is no frame in it'}`);
  } finally {
    watched.end();
  }
}
