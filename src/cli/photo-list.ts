import { existsSync, fstatSync, realpathSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { fileError, usageError } from '../errors.js';
import { explainFileError, isFolder, isJpegName, isPicture, listPhotos } from '../files.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
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
export async function* stdinLines(): AsyncGenerator<string> {
  // Node takes a folder for an empty stream
  if (fstatSync(0).isDirectory()) throw fileError('the list on stdin: cannot read it: it is a folder');
  let rest = Buffer.alloc(0);
  let first = true;
  const lineOf = (bytes: Buffer) => {
    // a byte-order mark belongs to no path
    const text = bytes.toString().replace(first ? /^\ufeff/ : '', '');
    first = false;
    return text.replace(/\r$/, '');
  };
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
  const pattern = existsSync(input) ? undefined : globOf(input);
  if (input === '-') {
    yield* stdinLines();
  } else if (await isFolder(input)) {
    const found = await listPhotos(input);
    if (found.length === 0) throw usageError(`folder ${input} holds no ${PHOTO_FORMATS} file`);
    yield* found;
  } else if (pattern && isDynamicPattern(pattern.below)) {
    const found = await globbed(pattern);
    const photos = found.filter(isPicture).sort((a, b) => (a < b ? -1 : 1));
    if (photos.length === 0)
      throw usageError(
        found.length === 0
          ? `no file matches ${input}`
          : `of the ${found.length} files that match ${input} none is a ${PHOTO_FORMATS} file`,
      );
    yield* photos;
  } else {
    yield input;
  }
}

/** A glob: files below a folder that exists, `/` included if it is not the present one. */
interface Glob {
  folder: string;
  below: string;
}

/**
 * An argument as a glob, as a shell would have it: folders that exist by that very name, whatever characters are in it, are
 * taken by name; ( ) are special behind one of ?*+@! only, { } with a comma or .. between them.
 */
function globOf(input: string): Glob {
  let slash = input.lastIndexOf('/');
  while (slash >= 0 && !existsSync(input.slice(0, slash + 1))) slash = input.lastIndexOf('/', slash - 1);
  return { folder: input.slice(0, slash + 1), below: withLiteralBrackets(input.slice(slash + 1)) };
}

async function globbed({ folder, below }: Glob): Promise<string[]> {
  if (resolve(folder).includes('\\'))
    throw usageError(
      `globs below a folder with a backslash in its name are not supported: ${resolve(folder)}`,
    );
  const found = await glob(below, { expandDirectories: false, cwd: folder === '' ? '.' : folder });
  return found.map((path) => folder + path);
}

/** A pattern with those brackets escaped that stand for themselves. */
function withLiteralBrackets(pattern: string): string {
  const open: { at: number; special: boolean }[] = [];
  const escaped = new Set<number>();
  const chars = pattern.split('');
  for (const [at, char] of chars.entries()) {
    if (char === '(') open.push({ at, special: /[?*+@!]/.test(chars[at - 1] ?? '') });
    if (char === '{') open.push({ at, special: false });
    if (char !== ')' && char !== '}') continue;
    const start = open.pop();
    const special = start && (char === ')' ? start.special : /,|\.\./.test(pattern.slice(start.at + 1, at)));
    if (special) continue;
    if (start) escaped.add(start.at);
    escaped.add(at);
  }
  for (const { at } of open) escaped.add(at);
  return chars.map((char, at) => (escaped.has(at) ? `\\${char}` : char)).join('');
}

/** The paths of all arguments in their order, each file once, also where links lead to it; of those the shard's. */
export async function* listPaths(
  inputs: readonly string[],
  shard: Shard | undefined,
): AsyncGenerator<string> {
  const seen = new Set<string>();
  for (const input of new Set(inputs)) {
    for await (const path of expand(input)) {
      const before = seen.size;
      if (seen.add(identityOf(path)).size === before) continue;
      if (!shard || before % shard.of === shard.number - 1) yield path;
    }
  }
}

/** Where a path leads by links, also if there is no such file yet. */
function identityOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    const absolute = resolve(path);
    const above = dirname(absolute);
    return above === absolute ? absolute : join(identityOf(above), basename(absolute));
  }
}

/** Where the boxes of photos are drawn: `--draw` names a folder, or a file if there is one photo. */
export class DrawTargets {
  private readonly draw: string;
  private readonly intoFile: boolean;
  private readonly targets = new Map<string, string>();
  /** Where the photos that are known lead; none of them is drawn over. */
  private readonly photos: ReadonlySet<string>;

  private constructor(draw: string, intoFile: boolean, photos: readonly string[]) {
    this.draw = draw;
    this.intoFile = intoFile;
    this.photos = new Set(photos.map(identityOf));
  }

  /**
   * Throws `USAGE` for a file that boxes cannot be drawn into, or one file for several photos.
   *
   * @param photos undefined if they stream in
   */
  static async from(
    draw: string | undefined,
    photos: readonly string[] | undefined,
  ): Promise<DrawTargets | undefined> {
    if (draw === undefined) return undefined;
    const namesFile = extname(draw) !== '' && !/[\\/]$/.test(draw) && !(await isFolder(draw));
    const intoFile = namesFile && (isJpegName(draw) || /\.png$/i.test(draw));
    if (namesFile && !intoFile)
      throw usageError(`--draw ${draw}: boxes are drawn as .jpg or .png, or into a folder`);
    if (intoFile && photos?.length !== 1)
      throw usageError(`--draw ${draw} names one file for ${photos?.length ?? 'many'} photos; name a folder`);
    return new DrawTargets(draw, intoFile, photos ?? []);
  }

  /** Throws `USAGE` if the target is the photo itself or another photo's target. */
  of(path: string): string {
    // JPEG stays JPEG; everything else is drawn as PNG
    const name = isJpegName(path) ? basename(path) : `${basename(path, extname(path))}.png`;
    const target = this.intoFile ? this.draw : join(this.draw, name);
    const absolute = identityOf(target);
    if (absolute === identityOf(path) || this.photos.has(absolute))
      throw usageError(`--draw would overwrite the photo ${target}; name another place`);
    const other = this.targets.get(absolute);
    if (other !== undefined && other !== path)
      throw usageError(`--draw would write ${target} twice, the second time for ${path}`);
    this.targets.set(absolute, path);
    return target;
  }
}
