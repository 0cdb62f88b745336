import type { Decoder } from '../decoding/readout.js';
import { fileError } from '../errors.js';
import { JsonLinesFile } from '../lines.js';
import { lockFile } from '../lock.js';
import type { PhotoMeasurement } from './evaluate.js';

const FORMAT = 'spiking-yolo evaluation, 2';

/** Everything that a measurement depends on, by name. */
export type EvaluationKey = Record<string, unknown>;

interface Header {
  format: string;
  key: EvaluationKey;
}

interface Entry {
  photo: string;
  measurement: PhotoMeasurement;
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** True for a measurement of every step and decoder that the key names. */
function isMeasurement(
  value: PhotoMeasurement | undefined,
  { settings }: EvaluationKey,
): value is PhotoMeasurement {
  const { steps, decode } = settings as { steps: number[]; decode: Decoder[] };
  const isObject = (of: unknown) => typeof of === 'object' && of !== null;
  return (
    isObject(value?.ann) &&
    typeof value?.squaredNorm === 'number' &&
    Array.isArray(value.snn) &&
    value.snn.length === steps.length &&
    value.snn.every(
      (step, i) =>
        step?.steps === steps[i] &&
        decode.every(
          (name) => isObject(step.matches?.[name]) && typeof step.squaredError?.[name] === 'number',
        ) &&
        isObject(step.firingRates),
    )
  );
}

/** Measurements of an evaluation, kept in a file photo by photo, so that an interrupted one goes on where it was. */
export class EvaluationState {
  /** Measurements so far, by photo. */
  readonly measurements = new Map<string, PhotoMeasurement>();
  private readonly file: JsonLinesFile | undefined;
  private readonly unlock: () => void;

  private constructor(file: JsonLinesFile | undefined, unlock: () => void) {
    this.file = file;
    this.unlock = unlock;
  }

  /** Opens a state file (or none, to keep measurements in memory alone); throws `FILE` if it belongs to another key. */
  static async open(path: string | undefined, keyOf: () => EvaluationKey): Promise<EvaluationState> {
    if (path === undefined) return new EvaluationState(undefined, () => {});
    const key = keyOf();
    const unlock = await lockFile(path);
    let file: JsonLinesFile | undefined;
    try {
      file = await JsonLinesFile.open(path);
      const state = new EvaluationState(file, unlock);
      if (file.empty) await file.append({ format: FORMAT, key } satisfies Header);
      else await state.read(file, key);
      return state;
    } catch (error) {
      await file?.close();
      unlock();
      throw error;
    }
  }

  private async read(file: JsonLinesFile, key: EvaluationKey): Promise<void> {
    const notOurs = `${file.path}: not a state file of this version's eval; name another file`;
    let header: Header | undefined;
    for await (const value of file.values()) {
      if (header) {
        const { photo, measurement } = (value ?? {}) as Partial<Entry>;
        if (typeof photo !== 'string' || !isMeasurement(measurement, key))
          throw fileError(
            `${file.path}: ${JSON.stringify(value).slice(0, 60)} is no measurement; delete that line`,
          );
        this.measurements.set(photo, measurement);
        continue;
      }
      header = value as Header;
      if (header?.format !== FORMAT || typeof header.key !== 'object' || header.key === null)
        throw fileError(notOurs);
      const differing = [...new Set([...Object.keys(key), ...Object.keys(header.key)])].filter(
        (name) => !same(key[name], header!.key[name]),
      );
      if (differing.length > 0) {
        throw fileError(
          `${file.path}: belongs to another evaluation (${differing.join(', ')} differ); name another file or delete it`,
        );
      }
    }
    if (!header) throw fileError(notOurs);
  }

  async add(photo: string, measurement: PhotoMeasurement): Promise<void> {
    await this.file?.append({ photo, measurement } satisfies Entry);
    this.measurements.set(photo, measurement);
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.unlock();
  }
}
