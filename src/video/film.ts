import { rmSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { fileError, reasonOf } from '../errors.js';
import { start } from './ffmpeg.js';

/** True of names that a film can be written to. */
export const isFilm = (path: string): boolean => /\.(mp4|mkv|mov|webm|avi)$/i.test(path);

/** A film that is written picture by picture, through ffmpeg; it has its name once it is whole. */
export class Film {
  private readonly path: string;
  private readonly part: string;
  private readonly running: ReturnType<typeof start>;
  private failed = false;
  private ended: Promise<void> | undefined;
  /** A process that ends at once leaves no part of a film behind. */
  private readonly drop = () => {
    this.running.child.kill('SIGKILL');
    rmSync(this.part, { force: true });
  };

  /** @param fps frames a second */
  constructor(path: string, fps: number) {
    this.path = path;
    const [ending] = /\.[^.]+$/.exec(path)!;
    this.part = `${path.slice(0, -ending.length)}.part${ending}`;
    const input = ['-f', 'image2pipe', '-c:v', 'mjpeg', '-framerate', String(fps), '-i', 'pipe:0'];
    // sides that are even, which most encoders ask for
    const output = ['-vf', 'scale=trunc(iw/2)*2:trunc(ih/2)*2', '-pix_fmt', 'yuv420p', this.part];
    const args = ['-hide_banner', '-loglevel', 'error', '-y', ...input, ...output];
    // Ctrl-C is not for it: it ends when the last picture has come
    this.running = start(path, 'ffmpeg', args, { detached: true });
    process.on('exit', this.drop);
    // the exit code tells why nobody reads
    this.running.child.stdin!.on('error', () => {
      this.failed = true;
    });
  }

  /** Adds a picture, the bytes of a JPEG, and waits while ffmpeg is slow. Throws `FILE` if that has ended. */
  async write(jpeg: Uint8Array): Promise<void> {
    const { stdin } = this.running.child;
    await new Promise<void>((resolve) => stdin!.write(jpeg, () => resolve()));
    if (this.failed) await this.end();
  }

  /** Ends the film. Throws `FILE` if it could not be written; nothing half-written stays. */
  end(): Promise<void> {
    this.ended ??= this.finish();
    return this.ended;
  }

  private async finish(): Promise<void> {
    this.running.child.stdin!.end();
    try {
      const code = await this.running.ended();
      if (code !== 0) throw fileError(`${this.path}: ${this.running.lastWords() || 'ffmpeg failed'}`);
      await rename(this.part, this.path);
    } catch (error) {
      await rm(this.part, { force: true });
      throw error instanceof Error && 'code' in error && error.code === 'FILE'
        ? error
        : fileError(`${this.path}: cannot write it: ${reasonOf(error)}`, error);
    } finally {
      process.off('exit', this.drop);
    }
  }
}
