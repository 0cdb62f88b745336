/**
 * What went wrong, for programs: `error.code` is stable, `error.message` is for people.
 *
 * - `USAGE`: an option or argument is wrong (exit code 2)
 * - `CFG`, `WEIGHTS`, `NAMES`: a darknet file cannot be imported
 * - `ONNX`: an ONNX file cannot be imported
 * - `CONVERSION`: a network cannot be turned into spiking neurons
 * - `MODEL`: a `.safetensors` model file is damaged or of another format
 * - `IMAGE`: a picture cannot be read
 * - `BACKEND`: a forced back-end or instruction set is not there
 * - `FILE`: a file cannot be opened, read or written
 * - `QUEUE`: a fleet's queue cannot be reached, or is another program's or version's
 * - `ABORTED`: the caller cancelled the work
 */
export type ErrorCode =
  | 'USAGE'
  | 'CFG'
  | 'WEIGHTS'
  | 'NAMES'
  | 'ONNX'
  | 'CONVERSION'
  | 'MODEL'
  | 'IMAGE'
  | 'BACKEND'
  | 'FILE'
  | 'QUEUE'
  | 'ABORTED';

/**
 * The one error class of this package: a code for programs, a message for people.
 *
 * @example
 * ```ts
 * import { Detector, SpikingYoloError } from 'spiking-yolo';
 *
 * try {
 *   await Detector.load({ model: 'nowhere.safetensors' });
 * } catch (error) {
 *   if (error instanceof SpikingYoloError) console.log(error.code); // USAGE
 * }
 * ```
 */
export class SpikingYoloError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SpikingYoloError';
    this.code = code;
  }
}

const factory = (code: ErrorCode) => (message: string, cause?: unknown) =>
  new SpikingYoloError(code, message, cause === undefined ? undefined : { cause });

export const usageError = factory('USAGE');
export const cfgError = factory('CFG');
export const weightsError = factory('WEIGHTS');
export const namesError = factory('NAMES');
export const onnxError = factory('ONNX');
export const conversionError = factory('CONVERSION');
export const modelError = factory('MODEL');
export const imageError = factory('IMAGE');
export const backendError = factory('BACKEND');
export const fileError = factory('FILE');
export const queueError = factory('QUEUE');
export const abortedError = factory('ABORTED');

/** An error of this package with a path before its message, once; any other as it is. */
export const withPath = (path: string, thrown: unknown): unknown =>
  thrown instanceof SpikingYoloError
    ? new SpikingYoloError(thrown.code, `${path}: ${withoutPath(path, thrown.message)}`, { cause: thrown })
    : thrown;

/** A text without the names and passwords that addresses in it hold. */
export const withoutSecrets = (text: string): string =>
  text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s]*@/gi, '$1***@');

/** A message without the path that it may begin with. */
export const withoutPath = (path: string, message: string): string =>
  message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;

/** Why something failed, as plain data that goes between threads. `INTERNAL` is a defect of this package, or a thread that ended. */
export interface Failure {
  error: { code: ErrorCode | 'INTERNAL'; message: string };
}

/** An error as plain data. */
export const describeError = (error: unknown): Failure => ({
  error: {
    code: error instanceof SpikingYoloError ? error.code : 'INTERNAL',
    message: reasonOf(error),
  },
});

/** A failure that travelled between threads as an error again. */
export const errorOf = ({ error: { code, message } }: Failure): SpikingYoloError | Error =>
  code === 'INTERNAL' ? new Error(message) : new SpikingYoloError(code, message);

/** Throws `USAGE` for what is given as a signal and is none. */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw usageError('signal must be an AbortSignal');
}

/** A thrown value as text, whatever it is. */
export const reasonOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
