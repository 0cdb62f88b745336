import { DEFAULT_SETTINGS } from '../detection/settings.js';
import { checkStream } from '../detection/stream.js';
import { usageError } from '../errors.js';

/** How a detection server is run. Every field may be left out. */
export interface ServerOptions {
  /** Asked for by everything that looks at pictures or tells of them; clients give it as field, query or header (`X-API-Key`, `Authorization: Bearer`). */
  apiKey?: string | undefined;
  /** Requests that wait for a worker, above which the answer is 503 (default 16). */
  maxQueue?: number | undefined;
  /** Largest body in bytes (default 20,000,000). */
  maxBytes?: number | undefined;
  /** Lowest confidence where a request names none (default .25). */
  conf?: number | undefined;
  /** An origin whose pages may call the server; none by default. */
  cors?: string | undefined;
  /** Streams of cameras at once, each with a network in a thread of its own (default 4; 0 for none). */
  maxStreams?: number | undefined;
  /** Milliseconds without a picture after which a camera's stream ends (default 60,000). */
  streamIdleMs?: number | undefined;
  /** How cameras' pictures are looked at, as in `Detector.stream`. */
  hold?: number | undefined;
  deadZone?: number | undefined;
  /** Milliseconds that requests under way have to end when the server is closed (default 10,000). */
  graceMs?: number | undefined;
}

export const DEFAULT_SERVER = {
  maxQueue: 16,
  maxBytes: 20_000_000,
  conf: 0.25,
  graceMs: 10_000,
  maxStreams: 4,
  streamIdleMs: 60_000,
} as const;

/** Lowest confidence that a request can ask for: detectors look for boxes down to it. */
export const LOWEST_CONFIDENCE = 0.05;

/** Fills in what is not given; throws `USAGE`. */
export function serverOptions(given: ServerOptions) {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = { ...DEFAULT_SERVER, ...set } as ServerOptions &
    Record<keyof typeof DEFAULT_SERVER, number>;
  const { maxQueue, maxBytes, conf, graceMs, apiKey, cors, maxStreams, streamIdleMs } = options;
  const whole = {
    maxQueue: [maxQueue, 0],
    maxBytes: [maxBytes, 1],
    graceMs: [graceMs, 0],
    maxStreams: [maxStreams, 0],
    streamIdleMs: [streamIdleMs, 1],
  } as const;
  for (const [name, [value, least]] of Object.entries(whole))
    if (!(Number.isInteger(value) && value >= least && value <= 2 ** 31 - 1))
      throw usageError(`${name} is ${value}; expected a whole number from ${least}`);
  checkStream(given, DEFAULT_SETTINGS);
  if (!(conf >= LOWEST_CONFIDENCE && conf <= 1))
    throw usageError(`conf is ${conf}; expected ${LOWEST_CONFIDENCE} to 1`);
  if (apiKey !== undefined && !/^[!-~]{8,}$/.test(apiKey))
    throw usageError(
      'the API key must have at least 8 characters, all of them printable ASCII without spaces',
    );
  if (cors !== undefined && (cors === '*' || !URL.canParse(cors) || new URL(cors).origin !== cors))
    throw usageError(`cors is ${cors}; expected one origin, as in https://example.org`);
  return options;
}
