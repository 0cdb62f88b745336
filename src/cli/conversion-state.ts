import { readFile, stat } from 'node:fs/promises';
import type { ConversionOptions, ConversionState, TrainedNetwork } from '../conversion/convert.js';
import { fileError } from '../errors.js';
import { sha256, writeWhole } from '../files.js';
import { neuronLayers } from '../model/bounds.js';

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

/** The file of `convert --state`: what a conversion has found so far, so that a stopped one can go on. */
export class ConversionStateFile {
  private readonly path: string;
  private readonly key: string;
  private writing: Promise<void> = Promise.resolve();
  private failure: unknown;

  private readonly photoCount: number;
  /** Channels of each layer of neurons. */
  private readonly channels: ReadonlyMap<string, number>;

  private constructor(path: string, key: string, photoCount: number, { network }: TrainedNetwork) {
    this.path = path;
    this.key = key;
    this.photoCount = photoCount;
    this.channels = new Map(
      neuronLayers(network).map(({ layer, synapses }) => [layer.name, synapses.filters]),
    );
  }

  /** The key says what a state belongs to: the network, the photos by name, size and time, and the options. */
  static async of(
    path: string,
    trained: TrainedNetwork,
    paths: readonly string[],
    options: ConversionOptions,
  ): Promise<ConversionStateFile> {
    const { cfgSha256, weightsSha256, network } = trained;
    const photos = await Promise.all(
      paths.map(async (photo) => {
        const { size, mtimeMs } = await stat(photo);
        return [photo, size, mtimeMs];
      }),
    );
    const what = [VERSION, cfgSha256, weightsSha256, network.input, photos, Object.entries(options).sort()];
    const key = sha256(new TextEncoder().encode(JSON.stringify(what)));
    return new ConversionStateFile(path, key, paths.length, trained);
  }

  /** True if λ and corrections are of the network's layers, and numbers that they can be. */
  private fits({ lambdas, tuned, photoCount }: Partial<Written>): boolean {
    const isOf = (name: string, values: unknown, isValid: (value: number) => boolean) =>
      isNumbers(values) && values.length === this.channels.get(name) && values.every(isValid);
    const isLambda = (value: number) => value > 1e-30 && value < 1e30;
    return (
      photoCount === this.photoCount &&
      typeof lambdas === 'object' &&
      lambdas !== null &&
      [...this.channels.keys()].every((name) => Object.hasOwn(lambdas, name)) &&
      Object.entries(lambdas).every(([name, values]) => isOf(name, values, isLambda)) &&
      typeof tuned === 'object' &&
      tuned !== null &&
      Object.entries(tuned).every(
        ([name, layer]) =>
          isOf(name, layer?.lambda, isLambda) &&
          isOf(name, layer?.correction, (value) => Math.abs(value) < 1e30),
      )
    );
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
    if (!this.fits(written)) throw fileError(`${this.path}: the state is damaged; remove it`);
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
