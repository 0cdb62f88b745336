import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchPhoto, isPublic } from '../../src/fleet/fetch-photo.js';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
let answer: Answer;
let server: Server;
let base: string;
const asked: { url: string; authorization: string | undefined }[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push({ url: request.url!, authorization: request.headers.authorization });
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const LIMITS = { maxBytes: 1000, timeoutMs: 10_000, allowPrivate: true };
const never = new AbortController().signal;

function fetchFrom(address: string, limits: Partial<typeof LIMITS> = {}, signal = never) {
  asked.splice(0);
  return fetchPhoto(address, { ...LIMITS, ...limits }, signal);
}

describe('photos over HTTP', () => {
  it('come as they are, with the name and password of their address', async () => {
    answer = (_, response) => response.end(Buffer.from([1, 2, 3]));
    expect(await fetchFrom(`http://me:secret@${base}/a b.jpg?x=1`)).toEqual(Uint8Array.of(1, 2, 3));
    expect(asked).toEqual([
      { url: '/a%20b.jpg?x=1', authorization: `Basic ${Buffer.from('me:secret').toString('base64')}` },
    ]);
  });

  it('come behind redirects, but not many, not of another kind, and without the password', async () => {
    answer = ({ url }, response) => {
      const left = Number(/\d+/.exec(url!)![0]);
      if (left === 0) response.end('photo');
      else response.writeHead(302, { location: `http://${base}/${left - 1}` }).end();
    };
    expect(Buffer.from(await fetchFrom(`http://me:secret@${base}/5`)).toString()).toBe('photo');
    expect(asked.map(({ authorization }) => authorization !== undefined)).toEqual([
      true,
      ...new Array(5).fill(false),
    ]);
    await expect(fetchFrom(`http://${base}/6`)).rejects.toMatchObject({
      code: 'IMAGE',
      message: 'it is redirected more than 5 times',
    });
    for (const location of ['file:///etc/passwd', 'ftp://x/y', 'data:image/png,x']) {
      answer = (_, response) => response.writeHead(301, { location }).end();
      await expect(fetchFrom(`http://${base}/`)).rejects.toMatchObject({
        message: expect.stringMatching(/is not fetched/),
      });
    }
    answer = (_, response) => response.writeHead(301).end();
    await expect(fetchFrom(`http://${base}/`)).rejects.toThrow('the server answers 301');
  });

  it('are given up when they are too large, said or not, and too late', async () => {
    const tooLarge = { code: 'IMAGE', message: 'it has more than 1000 bytes (raise it with --max-bytes)' };
    answer = (_, response) => response.end(Buffer.alloc(1001));
    await expect(fetchFrom(`http://${base}/`)).rejects.toMatchObject(tooLarge);
    let sent = 0;
    answer = (_, response) => {
      const more = () => {
        if (response.destroyed || sent > 1e9) return;
        sent += 5000;
        response.write(Buffer.alloc(5000), more);
      };
      more();
    };
    await expect(fetchFrom(`http://${base}/`)).rejects.toMatchObject(tooLarge);
    // what the sockets between hold, and no more
    expect(sent).toBeLessThan(1e8);
    answer = (_, response) => response.write('slow');
    await expect(fetchFrom(`http://${base}/`, { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'IMAGE',
      message: 'it did not come within 0.2 s',
    });
    answer = () => {};
    await expect(fetchFrom(`http://${base}/`, { timeoutMs: 200 })).rejects.toThrow('within 0.2 s');
  });

  it('are tried again where that may help, and only there', async () => {
    let failures = 2;
    answer = (request, response) => {
      if (failures-- <= 0) response.end('photo');
      else if (failures === 1) response.writeHead(503).end();
      else request.socket.destroy();
    };
    expect(Buffer.from(await fetchFrom(`http://${base}/`)).toString()).toBe('photo');
    expect(asked).toHaveLength(3);
    answer = (_, response) => response.writeHead(500).end();
    await expect(fetchFrom(`http://${base}/`)).rejects.toThrow('cannot fetch it: the server answers 500');
    expect(asked).toHaveLength(3);
    answer = (_, response) => response.writeHead(404).end();
    await expect(fetchFrom(`http://${base}/`)).rejects.toThrow('the server answers 404');
    expect(asked).toHaveLength(1);
    await expect(fetchFrom('http://nowhere.invalid/a.jpg')).rejects.toMatchObject({
      code: 'IMAGE',
      message: expect.stringMatching(/nowhere\.invalid/),
    });
  });

  it('end with the signal', async () => {
    const stop = new AbortController();
    answer = () => stop.abort();
    await expect(fetchFrom(`http://${base}/`, {}, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(fetchFrom(`http://${base}/`, {}, AbortSignal.abort())).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(asked).toEqual([]);
  });

  it('come from no machine of a local network, by number, by name or behind a redirect, unless allowed', async () => {
    answer = (_, response) => response.end('photo');
    const port = base.split(':')[1];
    const hosts = [
      '127.0.0.1',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '0x7f.1',
      '2130706433',
      '0.0.0.0',
      '10.0.0.1',
    ];
    for (const host of [
      ...hosts,
      '169.254.169.254',
      '[fe80::1]',
      '[fd00::1]',
      '100.64.0.1',
      '[64:ff9b::7f00:1]',
    ])
      await expect(fetchFrom(`http://${host}:${port}/`, { allowPrivate: false })).rejects.toMatchObject({
        code: 'IMAGE',
        message: expect.stringMatching(/is an address of a local network.*--allow-private/),
      });
    expect(asked).toEqual([]);
    for (const address of ['file:///etc/passwd', 'ftp://x/a.jpg', 'gopher://x', 'nonsense', 'http://'])
      await expect(fetchFrom(address)).rejects.toMatchObject({ code: 'IMAGE' });
  });

  it('public addresses are those outside every block that is set aside', () => {
    const blocks: [number[], number][] = [
      [[0, 0, 0, 0], 8],
      [[10, 0, 0, 0], 8],
      [[100, 64, 0, 0], 10],
      [[127, 0, 0, 0], 8],
      [[169, 254, 0, 0], 16],
      [[172, 16, 0, 0], 12],
      [[192, 168, 0, 0], 16],
      [[224, 0, 0, 0], 4],
      [[240, 0, 0, 0], 4],
    ];
    const number = (parts: number[]) => parts.reduce((sum, part) => sum * 256 + part, 0);
    const text = (value: number) =>
      [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
    fc.assert(
      fc.property(
        fc.constantFrom(...blocks),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        ([parts, bits], at) => {
          const size = 2 ** (32 - bits);
          const address = text(number(parts) + Math.floor(at * size));
          expect([isPublic(address), isPublic(`::ffff:${address}`)]).toEqual([false, false]);
        },
      ),
    );
    for (const address of [
      '8.8.8.8',
      '172.15.255.255',
      '172.32.0.0',
      '192.167.1.1',
      '100.63.0.1',
      '2606:4700::1111',
    ])
      expect(isPublic(address), address).toBe(true);
    for (const address of [
      '',
      'x',
      '::',
      '::1',
      'fe80::1',
      'fc00::1',
      'ff02::1',
      '2001:db8::1',
      '::ffff:10.0.0.1',
      '64:ff9b::a00:1',
    ])
      expect(isPublic(address), address).toBe(false);
  });
});
