/** Files of JSON lines that grow one whole line at a time and outlive a killed writer. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileError, reasonOf } from './errors.js';
import { explainFileError, makeFolder } from './files.js';

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
  async *values(): AsyncGenerator<unknown> {
    if (this.length === 0) return;
    const input = createReadStream(this.path, { end: this.length - 1 });
    let line = 0;
    try {
      for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
        line++;
        if (text.trim() !== '') yield parseLine(this.path, line, text);
      }
    } catch (error) {
      throw explainFileError('read it', this.path, error);
    }
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
    throw fileError(`${path}: line ${line} is not JSON: ${reasonOf(error)}`, error);
  }
}
