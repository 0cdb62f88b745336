import { readFile } from 'node:fs/promises';
import type { ConversionOptions, ConversionState, TrainedNetwork } from '../conversion/convert.js';
import { fileError } from '../errors.js';
import { sha256, writeWhole } from '../files.js';

const FORMAT = 'spiking-yolo-conversion';
const VERSION = 1;

interface Written {
  format: typeof FORMAT;
  version: number;
  key: string;
  photoCount: number;
  lambdas: Record<string, number[]>;
  tuned: Record<string, { lambda: number[]; correction: number[] }>;
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((number) => typeof number === 'number' && Number.isFinite(number));

const isTuned = (value: unknown): boolean => {
  const { lambda, correction } = (value ?? {}) as Written['tuned'][string];
  return isNumbers(lambda) && isNumbers(correction) && lambda.length === correction.length;
};

const isRecord = (value: unknown, isEach: (each: unknown) => boolean): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every(isEach);

/** The file of `convert --state`: what a conversion has found so far, so that a stopped one can go on. */
export class ConversionStateFile {
  private readonly path: string;
  private readonly key: string;
  private writing: Promise<void> = Promise.resolve();
  private failure: unknown;

  /** The key says what the state belongs to: the network, the photos by name, and the options. */
  constructor(path: string, trained: TrainedNetwork, paths: readonly string[], options: ConversionOptions) {
    this.path = path;
    const { cfgSha256, weightsSha256, network } = trained;
    const { input } = network;
    const what = JSON.stringify([cfgSha256, weightsSha256, input, paths, Object.entries(options).sort()]);
    this.key = sha256(new TextEncoder().encode(what));
  }

  /** What the file holds; undefined if there is none yet. Throws `FILE` for another conversion's, or for anything else. */
  async read(): Promise<ConversionState | undefined> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fileError(`${this.path}: it cannot be read: ${(error as Error).message}`, error);
    }
    let written: Partial<Written>;
    try {
      written = JSON.parse(text) ?? {};
    } catch {
      written = {};
    }
    const { format, version, key, photoCount, lambdas, tuned } = written;
    if (format !== FORMAT || version !== VERSION)
      throw fileError(`${this.path}: it is not the state of a conversion by this program; name another file`);
    if (key !== this.key)
      throw fileError(
        `${this.path}: it is the state of another conversion (network, photos or options differ); name another file or remove it`,
      );
    if (!isRecord(lambdas, isNumbers) || !isRecord(tuned, isTuned) || !Number.isInteger(photoCount))
      throw fileError(`${this.path}: the state is damaged; remove it`);
    return {
      photoCount: photoCount!,
      lambdas: new Map(Object.entries(lambdas!).map(([name, values]) => [name, Float64Array.from(values)])),
      tuned: new Map(
        Object.entries(tuned!).map(([name, { lambda, correction }]) => [
          name,
          { lambda: Float64Array.from(lambda), correction: Float64Array.from(correction) },
        ]),
      ),
    };
  }

  /** Writes a state in place of the one before it, one after the other; throws if one before could not be written. */
  write({ lambdas, tuned, photoCount }: ConversionState): void {
    if (this.failure !== undefined) throw this.failure;
    const written: Written = {
      format: FORMAT,
      version: VERSION,
      key: this.key,
      photoCount,
      lambdas: Object.fromEntries([...lambdas].map(([name, values]) => [name, [...values]])),
      tuned: Object.fromEntries(
        [...tuned].map(([name, { lambda, correction }]) => [
          name,
          { lambda: [...lambda], correction: [...correction] },
        ]),
      ),
    };
    const text = JSON.stringify(written);
    this.writing = this.writing
      .then(() => writeWhole(this.path, text))
      .catch((error) => {
        this.failure ??= error;
      });
  }

  /** Waits until everything is written; throws `FILE` if something could not be. */
  async done(): Promise<void> {
    await this.writing;
    if (this.failure !== undefined) throw this.failure;
  }
}
