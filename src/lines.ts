/** Files of JSON lines that grow one whole line at a time and outlive a killed writer. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError, reasonOf } from './errors.js';
import { explainFileError, makeFolder, writeWhole } from './files.js';

const NEW_LINE = 0x0a;

/** Length of a file up to its last line end, in bytes: what follows was torn off in the middle of a write. */
async function wholeLength(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const chunk = new Uint8Array(65536);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunk.length);
    const { bytesRead } = await file.read(chunk, 0, end - start, start);
    const at = chunk.subarray(0, bytesRead).lastIndexOf(NEW_LINE);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}

/** Longest line that is read, in bytes: far above any photo's. */
const LONGEST_LINE = 2 ** 26;

/**
 * Values of the whole lines of a file of JSON lines, up to byte `end`; throws `FILE` naming a line that is not JSON.
 */
async function* readValues(path: string, end: number, endless = false): AsyncGenerator<unknown> {
  if (end === 0) return;
  const decoder = new TextDecoder();
  let line = 0;
  let pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of createReadStream(path, { end: end - 1 })) {
      let rest = chunk as Uint8Array;
      for (let at = rest.indexOf(NEW_LINE); at >= 0; at = rest.indexOf(NEW_LINE)) {
        line++;
        const text = decoder.decode(Buffer.concat([...pieces, rest.subarray(0, at)]));
        pieces = [];
        length = 0;
        rest = rest.subarray(at + 1);
        if (text.trim() !== '') yield parseLine(path, line, text);
      }
      length += rest.length;
      if (length > LONGEST_LINE)
        throw fileError(
          `${path}: line ${line + 1} is longer than ${LONGEST_LINE} bytes; is it a file of JSON lines?`,
        );
      if (rest.length > 0) pieces.push(rest);
    }
    const last = endless ? decoder.decode(Buffer.concat(pieces)) : '';
    if (last.trim() !== '') yield parseLine(path, line + 1, last);
  } catch (error) {
    throw explainFileError('read it', path, error);
  }
}

/** Bytes of a file, and of those its whole lines; throws `FILE`. */
async function measure(path: string): Promise<{ size: number; whole: number }> {
  try {
    const file = await open(path);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw new Error('it is not a regular file');
      return { size: found.size, whole: await wholeLength(file) };
    } finally {
      await file.close();
    }
  } catch (error) {
    throw explainFileError('read it', path, error);
  }
}

/** Values of the whole lines of a file of JSON lines, whatever follows the last; throws `FILE`. */
export async function* readWholeLines(path: string): AsyncGenerator<unknown> {
  yield* readValues(path, (await measure(path)).whole);
}

/** Values of a file of JSON lines that someone else wrote: the last line need not end. Throws `FILE`. */
export async function* readForeignLines(path: string): AsyncGenerator<unknown> {
  yield* readValues(path, (await measure(path)).size, true);
}

/** Values of a finished file of JSON lines; throws `FILE`, also if its last line is torn. */
export async function* readJsonLines(path: string): AsyncGenerator<unknown> {
  const { size, whole } = await measure(path);
  yield* readValues(path, whole);
  if (whole < size)
    throw fileError(`${path}: its last line is torn off; finish it first (spiking-yolo detect --resume)`);
}

/**
 * Drops a torn last line and the lines that are not to be kept, whole or not at all, once `keep` has seen every line
 * (it may throw, and is asked again for those that stay). Throws `FILE`.
 */
export async function keepLines(path: string, keep: (value: unknown) => boolean): Promise<void> {
  const { size, whole } = await measure(path);
  let changes = whole < size;
  for await (const value of readValues(path, whole)) changes = !keep(value) || changes;
  if (!changes) return;
  async function* kept() {
    for await (const value of readValues(path, whole)) if (keep(value)) yield `${JSON.stringify(value)}\n`;
  }
  await writeWhole(path, kept());
}

/** A file of JSON lines that may grow, each line written whole or not at all. */
export class JsonLinesFile {
  readonly path: string;
  private readonly file: FileHandle;
  /** Bytes up to the end of the last whole line. */
  private length: number;
  private torn: boolean;

  private constructor(path: string, file: FileHandle, length: number, torn: boolean) {
    this.path = path;
    this.file = file;
    this.length = length;
    this.torn = torn;
  }

  /** Opens a file, made if absent; nothing that is there is changed before the first `append`. Throws `FILE`. */
  static async open(path: string): Promise<JsonLinesFile> {
    let file: FileHandle | undefined;
    try {
      await makeFolder(dirname(path));
      file = await open(path, 'a+');
      const found = await file.stat();
      if (!found.isFile()) throw new Error('it is not a regular file');
      const length = await wholeLength(file);
      return new JsonLinesFile(path, file, length, length < found.size);
    } catch (error) {
      await file?.close();
      throw explainFileError('write it', path, error);
    }
  }

  /** True if the file holds nothing, not even a torn line. */
  get empty(): boolean {
    return this.length === 0 && !this.torn;
  }

  /** Values of the whole lines; throws `FILE` naming a line that is not JSON. */
  values(): AsyncGenerator<unknown> {
    return readValues(this.path, this.length);
  }

  /** Appends one line, a torn last one cut off before; after an error the file ends with the line before. Throws `FILE`. */
  async append(value: unknown): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    try {
      if (this.torn) await this.file.truncate(this.length);
      this.torn = true;
      await this.file.appendFile(bytes);
      this.torn = false;
      this.length += bytes.length;
    } catch (error) {
      await this.file.truncate(this.length).catch(() => {});
      throw explainFileError('write it', this.path, error);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

function parseLine(path: string, line: number, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (line === 1 && text.startsWith('['))
      throw fileError(`${path}: is a JSON array, not JSON lines; write it with --format ndjson`, error);
    throw fileError(`${path}: line ${line} is not JSON: ${reasonOf(error)}`, error);
  }
}
