/** Photos over HTTP(S), from machines that may be asked. */
import { lookup } from 'node:dns';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import ipaddr from 'ipaddr.js';
import { abortedError, imageError, reasonOf, SpikingYoloError, withoutSecrets } from '../errors.js';

/** Limits of what is fetched. */
export interface FetchLimits {
  /** Largest photo, in bytes. */
  maxBytes: number;
  /** Longest that a photo takes, redirects and all, in milliseconds. */
  timeoutMs: number;
  /** Whether machines of the local network, and this one, may be asked. */
  allowPrivate: boolean;
}

const MOST_REDIRECTS = 5;
/** Waits before a server that is busy, or a connection that broke, is tried again, in ms. */
const PAUSES = [500, 2000];

/** Something that may be gone when it is tried again. */
class PassingError extends Error {}

/** True for an address that the whole internet reaches: no private, link-local, loopback, reserved or mapped one. */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  // an IPv4 address that is written as an IPv6 one is what it is
  const found = ipaddr.process(address);
  // ::a.b.c.d, an older way of writing that
  if (
    found.kind() === 'ipv6' &&
    found
      .toByteArray()
      .slice(0, 12)
      .every((byte) => byte === 0)
  )
    return false;
  return found.range() === 'unicast';
}

/** A name's addresses, all of which must be public: whichever is taken then is the one that was checked. */
const publicOnly: LookupFunction = (name, options, callback) => {
  lookup(name, { ...options, all: true }, (error, found) => {
    const addresses = Array.isArray(found) ? found : [];
    const hidden = addresses.find(({ address }) => !isPublic(address));
    if (error) callback(error, '', 0);
    else if (hidden || addresses.length === 0) callback(privateError(name), '', 0);
    else if (options.all) callback(null, addresses);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  });
};

const privateError = (host: string) =>
  imageError(`${host} is an address of a local network, which is not asked (allow it with --allow-private)`);

function parse(text: string, base?: URL): URL {
  let url: URL;
  try {
    url = new URL(text, base);
  } catch {
    throw imageError('it is no address');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw imageError(`${url.protocol}// is not fetched, only http:// and https://`);
  return url;
}

/** Asks once; the answer's body is still to come. */
function ask(url: URL, allowPrivate: boolean, signal: AbortSignal): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && isIP(host) !== 0 && !isPublic(host)) throw privateError(host);
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      signal,
      headers: { 'user-agent': 'spiking-yolo', accept: 'image/*', 'accept-encoding': 'identity' },
      ...(allowPrivate ? {} : { lookup: publicOnly }),
    });
    sent.on('response', resolve).on('error', reject).end();
  });
}

/** The answer to a photo's address, behind redirects. */
async function answerTo(start: URL, allowPrivate: boolean, signal: AbortSignal): Promise<IncomingMessage> {
  let url = start;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const answer = await ask(url, allowPrivate, signal);
    const { statusCode = 0, headers } = answer;
    if (statusCode === 200) return answer;
    answer.destroy();
    if (statusCode === 429 || statusCode >= 500) throw new PassingError(`the server answers ${statusCode}`);
    if (statusCode < 300 || statusCode >= 400 || headers.location === undefined)
      throw imageError(`the server answers ${statusCode}`);
    url = parse(headers.location, url);
  }
  throw imageError(`it is redirected more than ${MOST_REDIRECTS} times`);
}

async function bodyOf(answer: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () => imageError(`it has more than ${maxBytes} bytes (raise it with --max-bytes)`);
  const length = Number(answer.headers['content-length'] ?? 0);
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    if (length > maxBytes) throw tooLarge();
    for await (const piece of answer) {
      size += piece.length;
      if (size > maxBytes) throw tooLarge();
      pieces.push(piece);
    }
  } finally {
    answer.destroy();
  }
  return new Uint8Array(Buffer.concat(pieces, size));
}

/**
 * The bytes of a photo; a server that is busy, and a connection that breaks, are tried again. Throws `IMAGE` for what cannot be had,
 * `ABORTED` when the signal aborts.
 */
export async function fetchPhoto(
  address: string,
  { maxBytes, timeoutMs, allowPrivate }: FetchLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const late = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, late]);
  for (let attempt = 0; ; attempt++) {
    try {
      return await bodyOf(await answerTo(parse(address), allowPrivate, either), maxBytes);
    } catch (error) {
      if (signal.aborted) throw abortedError('cancelled', signal.reason);
      if (late.aborted) throw imageError(`it did not come within ${timeoutMs / 1000} s`);
      if (error instanceof SpikingYoloError) throw error;
      const gone = (error as NodeJS.ErrnoException).code === 'ENOTFOUND';
      const pause = gone ? undefined : PAUSES[attempt];
      if (pause === undefined) throw imageError(`cannot fetch it: ${withoutSecrets(reasonOf(error))}`, error);
      await wait(pause, undefined, { signal: either }).catch(() => {});
    }
  }
}
