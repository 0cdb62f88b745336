import { existsSync, fstatSync } from 'node:fs';
import { basename, extname, isAbsolute, join, resolve } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { fileError, usageError } from '../errors.js';
import { explainFileError, isFolder, isPicture, listPhotos } from '../files.js';
import type { PhotoTask } from '../workers/process-photo.js';

/** A photo of the command line. */
export interface ListedPhoto extends PhotoTask {
  source: string;
}

/** One machine's part of a list: every `of`-th photo from the `number`-th (from 1). */
export interface Shard {
  number: number;
  of: number;
}

/** Parses `i/n`; throws `USAGE`. */
export function parseShard(text: string): Shard {
  const [, number, of] = (/^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? []).map(Number);
  if (!number || !of || number > of)
    throw usageError(`--shard is "${text}"; expected i/n with 1 ≤ i ≤ n, as in 2/4`);
  return { number, of };
}

/** True if the list comes in while it is worked on, so that its length is not known. */
export const isStreamed = (inputs: readonly string[]) => inputs.includes('-');

/** Longest path that is taken from a list, in bytes. */
const LONGEST_LINE = 65_536;

/** Paths on stdin, one a line; throws `FILE`. */
async function* stdinLines(): AsyncGenerator<string> {
  // Node takes a folder for an empty stream
  if (fstatSync(0).isDirectory()) throw fileError('the list on stdin: cannot read it: it is a folder');
  let rest = Buffer.alloc(0);
  const lineOf = (bytes: Buffer) => bytes.toString().replace(/\r$/, '');
  try {
    for await (const chunk of process.stdin) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
        const line = lineOf(rest.subarray(0, end));
        rest = rest.subarray(end + 1);
        if (line.trim() !== '') yield line;
      }
      if (rest.length > LONGEST_LINE)
        throw fileError(
          `the list on stdin has a line of more than ${LONGEST_LINE} bytes; expected a path a line`,
        );
    }
  } catch (error) {
    throw explainFileError('read it', 'the list on stdin', error);
  }
  const line = lineOf(rest);
  if (line.trim() !== '') yield line;
}

/** Paths of one argument: a file, a folder, a glob or stdin; throws `USAGE` if a folder or glob holds no photo. */
async function* expand(input: string): AsyncGenerator<string> {
  if (input === '-') {
    yield* stdinLines();
  } else if (await isFolder(input)) {
    const found = await listPhotos(input);
    if (found.length === 0) throw usageError(`folder ${input} holds no JPEG, PNG or BMP file`);
    yield* found;
  } else if (!existsSync(input) && isDynamicPattern(input)) {
    const found = await glob(input, { expandDirectories: false, absolute: isAbsolute(input) });
    const photos = found.filter(isPicture).sort((a, b) => (a < b ? -1 : 1));
    if (photos.length === 0)
      throw usageError(
        found.length === 0
          ? `no file matches ${input}`
          : `of the ${found.length} files that match ${input} none is a JPEG, PNG or BMP file`,
      );
    yield* photos;
  } else {
    yield input;
  }
}

/** The paths of all arguments in their order, each once; of those the shard's. */
export async function* listPaths(
  inputs: readonly string[],
  shard: Shard | undefined,
): AsyncGenerator<string> {
  const seen = new Set<string>();
  for (const input of new Set(inputs)) {
    for await (const path of expand(input)) {
      const before = seen.size;
      if (seen.add(resolve(path)).size === before) continue;
      if (!shard || before % shard.of === shard.number - 1) yield path;
    }
  }
}

/** Where the boxes of photos are drawn: `--draw` names a folder, or a file if there is one photo. */
export class DrawTargets {
  private readonly draw: string;
  private readonly intoFile: boolean;
  private readonly targets = new Map<string, string>();

  private constructor(draw: string, intoFile: boolean) {
    this.draw = draw;
    this.intoFile = intoFile;
  }

  /** Throws `USAGE` for a file that boxes cannot be drawn into, or one file for several photos. */
  static async from(draw: string | undefined, photos: number): Promise<DrawTargets | undefined> {
    if (draw === undefined) return undefined;
    const namesFile = extname(draw) !== '' && !/[\\/]$/.test(draw) && !(await isFolder(draw));
    const intoFile = namesFile && /\.(jpe?g|png)$/i.test(draw);
    if (namesFile && !intoFile)
      throw usageError(`--draw ${draw}: boxes are drawn as .jpg or .png, or into a folder`);
    if (intoFile && photos > 1)
      throw usageError(
        `--draw ${draw} names one file for ${Number.isFinite(photos) ? photos : 'many'} photos; name a folder`,
      );
    return new DrawTargets(draw, intoFile);
  }

  /** Throws `USAGE` if the target is the photo itself or another photo's target. */
  of(path: string): string {
    // JPEG stays JPEG; everything else is drawn as PNG
    const name = /\.jpe?g$/i.test(path) ? basename(path) : `${basename(path, extname(path))}.png`;
    const target = this.intoFile ? this.draw : join(this.draw, name);
    const absolute = resolve(target);
    if (absolute === resolve(path))
      throw usageError(`--draw would overwrite the photo ${target}; name another place`);
    const other = this.targets.get(absolute);
    if (other !== undefined && other !== path)
      throw usageError(`--draw would write ${target} twice, the second time for ${path}`);
    this.targets.set(absolute, path);
    return target;
  }
}
