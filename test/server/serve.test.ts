import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectError, run } from '../support/command.js';
import { hasProgram, hasPythonRequests, programsRequired } from '../support/programs.js';
import { root } from '../support/shared.js';

const cat = readFileSync(`${root}samples/cat.jpg`);
const LITE = ['--model', 'tiny-yolo-lite-voc'];

type Body = FormData | Uint8Array;

/** Clients that are not on every machine. */
const curl = programsRequired || hasProgram('curl');
const requests = programsRequired || hasPythonRequests();
const named = (title: string, there: boolean, name: string) =>
  there ? title : `${title} (skipped: ${name} is not installed)`;

interface Server {
  address: string;
  process: ChildProcess;
  stderr: string;
}

async function start(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Server> {
  const child = spawn(process.execPath, [`${root}dist/cli/main.js`, 'serve', '--port', '0', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const server = { address: '', process: child, stderr: '' };
  child.stderr!.on('data', (data) => {
    server.stderr += data;
  });
  const [line] = (await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(() => {
      throw new Error(server.stderr);
    }),
  ])) as [Buffer];
  server.address = /listening on (\S+):/.exec(String(line))![1]!;
  return server;
}

async function stop({ process: child }: Server, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill(signal);
  const [code] = await ended;
  return code as number | null;
}

/** Bytes of a PNG's packed pixels. */
function packedLength(file: Buffer): number {
  let length = 0;
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at))
    if (file.toString('latin1', at + 4, at + 8) === 'IDAT') length += file.readUInt32BE(at);
  return length;
}

function form(image: Uint8Array = cat, fields: Record<string, string> = {}): FormData {
  const body = new FormData();
  body.append('image', new Blob([new Uint8Array(image)]));
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

/** What a socket gets back for some bytes, until the server closes it. */
async function raw(address: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('data', (data) => {
    answer += data;
  });
  // what was sent and not read is a reset, after the answer
  socket.on('error', () => {});
  socket.write(bytes);
  await new Promise((resolve) => socket.on('close', resolve));
  return answer;
}

describe('serve', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    server = await start([
      ...LITE,
      '--model',
      'second=tiny-yolo-lite-voc',
      '--workers',
      '1',
      '--max-pixels',
      '200000',
      '--max-bytes',
      '300000',
      ...['--max-streams', '2', '--stream-idle', '6', '--hold', '0.5'],
    ]);
    url = `${server.address}/v1/vision/detection`;
  });
  afterAll(async () => {
    expect(await stop(server)).toBe(0);
    expect(server.stderr).toBe('');
  });
  const ask = async (
    body: Body | undefined,
    path = '/v1/vision/detection',
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(`${server.address}${path}`, {
      method: 'POST',
      body: (body ?? null) as never,
      headers,
    });
    // biome-ignore lint/suspicious/noExplicitAny: the answer is JSON, looked into by each test
    return { status: response.status, answer: (await response.json()) as any };
  };
  const expectAlive = async () => expect((await ask(form())).answer.count).toBe(1);

  it('finds what detect finds, in whole pixels, best first', async () => {
    const { status, answer } = await ask(form());
    expect(status).toBe(200);
    const [found] = JSON.parse(run(['detect', 'samples/cat.jpg', ...LITE, '--format', 'json']).stdout);
    expect(answer).toMatchObject({
      success: true,
      code: 200,
      command: 'detect',
      executionProvider: 'CPU',
      count: found.detections.length,
      message: 'Found cat',
    });
    for (const key of ['duration', 'inferenceMs', 'processMs', 'analysisRoundTripMs'])
      expect(answer[key]).toBeGreaterThanOrEqual(0);
    for (const [i, { class: label, score, box }] of found.detections.entries())
      expect(answer.predictions[i]).toEqual({
        label,
        confidence: score,
        x_min: Math.round(box.x1),
        y_min: Math.round(box.y1),
        x_max: Math.round(box.x2),
        y_max: Math.round(box.y2),
      });
  });

  it('takes the picture as clients send it', async () => {
    const expected = (await ask(form())).answer.predictions;
    const bodies: [Body, Record<string, string>][] = [
      [new Uint8Array(cat), { 'Content-Type': 'image/jpeg' }],
      [new Uint8Array(cat), { 'Content-Type': 'application/octet-stream' }],
      [new Uint8Array(cat), { 'Content-Type': 'application/x-www-form-urlencoded' }],
      [new Uint8Array(cat), {}],
      [form(cat, { min_confidence: '0.25', api_key: 'whatever' }), {}],
    ];
    for (const [body, headers] of bodies)
      expect((await ask(body, '/v1/vision/detection', headers)).answer.predictions).toEqual(expected);
    // a part without a file name, as some write by hand
    const part = Buffer.concat([
      Buffer.from('--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'),
      cat,
      Buffer.from('\r\n--b--\r\n'),
    ]);
    const type = { 'Content-Type': 'multipart/form-data; boundary=b' };
    expect((await ask(part, '/v1/vision/detection', type)).answer.predictions).toEqual(expected);
  });

  it.skipIf(!curl)(named('answers curl', curl, 'curl'), () => {
    for (const file of ['image=@samples/cat.jpg', 'image=@samples/cat.jpg;type=image/jpeg']) {
      const { stdout } = spawnSync('curl', ['-s', '-F', file, url], { cwd: root, encoding: 'utf8' });
      expect(JSON.parse(stdout).predictions[0].label).toBe('cat');
    }
  });

  it.skipIf(!requests)(named('answers Python’s requests', requests, 'python3-requests'), () => {
    // as Frigate's plugin asks, and deepstack-python, which Viseron and Home Assistant's integrations ask by: an empty key, too
    const script = `import requests, sys
image = open("samples/cat.jpg", "rb").read()
response = requests.post(sys.argv[1], data={"api_key": ""}, files={"image": image}, timeout=5)
assert response.status_code == 200
for found in response.json()["predictions"]:
    edges = [found[name] for name in ("x_min", "y_min", "x_max", "y_max")]
    assert all(isinstance(edge, int) for edge in edges) and isinstance(found["confidence"], float)
    print(found["label"].lower(), *edges)`;
    const addresses = [url, `${server.address}/v1/vision/custom/tiny-yolo-lite-voc`];
    const answers = addresses.map(
      (address) => spawnSync('python3', ['-c', script, address], { cwd: root, encoding: 'utf8' }).stdout,
    );
    expect(answers[0]).toMatch(/^cat \d+ \d+ \d+ \d+\n$/);
    expect(answers[1]).toBe(answers[0]);
  });

  it('leaves out what is less sure than the request asks for', async () => {
    const count = async (least: string) => (await ask(form(cat, { min_confidence: least }))).answer.count;
    expect(await count('0.99')).toBe(0);
    expect(await count('0.05')).toBeGreaterThan(1);
    expect((await ask(form(), '/v1/vision/detection?min_confidence=0.99')).answer.count).toBe(0);
  });

  it('has a list of models, each with an address of its own, and our own record', async () => {
    expect((await ask(undefined, '/v1/vision/custom/list')).answer.models).toEqual([
      'tiny-yolo-lite-voc',
      'second',
    ]);
    expect((await ask(form(), '/v1/vision/custom/second')).answer.predictions[0].label).toBe('cat');
    expect((await ask(form(), '/v1/vision/custom/third')).status).toBe(404);
    const record = (await ask(form(cat, { model: 'second' }), '/v1/detect')).answer;
    expect(record).toMatchObject({ schedule: 'layered', coding: 'count', steps: 16 });
    expect(record.spikes).toBeGreaterThan(0);
    expect((await ask(form(cat, { model: 'third' }), '/v1/detect')).status).toBe(404);
  });

  it('keeps a stream for each camera, in which a still scene costs nothing', async () => {
    const look = async (camera: string, image: Uint8Array = cat) => {
      const response = await fetch(`${server.address}/v1/detect`, {
        method: 'POST',
        body: form(image, { camera }),
      });
      return { status: response.status, record: JSON.parse(await response.text()) };
    };
    const [found] = JSON.parse(run(['detect', 'samples/cat.jpg', ...LITE, '--format', 'json']).stdout);
    const first = await look('door');
    expect(first).toMatchObject({ status: 200, record: { frame: 0, spikes: found.spikes } });
    expect(first.record.detections).toEqual(found.detections);
    const still = { frame: 1, spikes: 0, changed: 0, detections: found.detections };
    expect((await look('door')).record).toMatchObject(still);
    expect((await look('garden')).record).toMatchObject({ frame: 0, spikes: found.spikes });
    expect((await ask(form(cat, { camera: 'door' }))).answer.predictions[0].label).toBe('cat');
    // a third one takes the place of the one that has waited longest
    expect((await look('hall')).record.frame).toBe(0);
    const streams = async () => JSON.parse(await (await fetch(`${server.address}/healthz`)).text()).streams;
    expect(await streams()).toBe(2);
    expect((await look('door')).record.frame).toBe(3);
    expect((await look('garden')).record.frame).toBe(0);
    expect((await look('door', Buffer.from('none'))).status).toBe(400);
    expect((await look('door')).record.frame).toBe(4);
    await expect.poll(streams, { timeout: 30_000 }).toBe(0);
  });

  it('tells how it is', async () => {
    const get = async (path: string) => (await fetch(`${server.address}${path}`)).text();
    expect(JSON.parse(await get('/healthz'))).toMatchObject({ status: 'ok', running: 0, waiting: 0 });
    expect(JSON.parse(await get('/v1/status/ping'))).toMatchObject({ success: true });
    const metrics = await get('/metrics');
    expect(metrics).toMatch(
      /spiking_yolo_requests_total\{route="\/v1\/vision\/detection",status="200"\} [1-9]/,
    );
    expect(metrics).toMatch(/spiking_yolo_stage_seconds_count\{stage="network"\} [1-9]/);
    expect(metrics).toMatch(/spiking_yolo_spikes_per_neuron_count [1-9]/);
    expect(await get('/')).toMatch(/<title>Spiking-YOLO<\/title>/);
  });

  const large = readFileSync(`${root}samples/astronaut.jpg`);
  it.each<[string, () => Body | undefined, number, RegExp]>([
    [
      'no part',
      () => {
        const body = new FormData();
        body.append('a', 'b');
        return body;
      },
      400,
      /no field "image"/,
    ],
    ['no body', () => undefined, 400, /send a picture/],
    ['an empty file', () => form(new Uint8Array(0)), 400, /empty/],
    ['a cut JPEG', () => form(cat.subarray(0, 9000)), 400, /JPEG/],
    ['something else', () => form(Buffer.from('hello')), 400, /not a JPEG/],
    ['a picture of too many pixels', () => form(large), 400, /512×512; .*at most 0.2 megapixels/],
    ['a body that is too large', () => form(Buffer.concat([cat, Buffer.alloc(400_000)])), 413, /./],
    ['a confidence that is none', () => form(cat, { min_confidence: 'high' }), 400, /min_confidence/],
    ['a camera of an odd name', () => form(cat, { camera: 'a"b' }), 400, /camera’s name/],
    ['a field that is too long', () => form(cat, { note: 'x'.repeat(2000) }), 400, /too long/],
    [
      'two pictures',
      () => {
        const f = form();
        f.append('image', new Blob([new Uint8Array(cat)]));
        return f;
      },
      400,
      /two pictures/,
    ],
  ])('says what is wrong with %s', async (_, body, status, message) => {
    const result = await ask(body());
    expect(result).toMatchObject({ status, answer: { success: false, code: status } });
    expect(result.answer.error).toMatch(message);
    await expectAlive();
  });

  it.each<[string, string, string]>([
    ['no boundary', 'multipart/form-data', 'abc'],
    ['another boundary', 'multipart/form-data; boundary=a', '--b\r\n\r\nabc\r\n--b--\r\n'],
    [
      'no end',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc',
    ],
    [
      'a header without end',
      'multipart/form-data; boundary=b',
      `--b\r\nContent-Disposition: ${'x'.repeat(5000)}`,
    ],
  ])('says that a form is damaged: %s', async (_, type, body) => {
    for (const path of ['/v1/vision/detection', '/v1/vision/custom/list']) {
      const response = await fetch(`${server.address}${path}`, {
        method: 'POST',
        body,
        headers: { 'Content-Type': type },
      });
      if (path.endsWith('detection')) expect(response.status).toBe(400);
      else expect([200, 400]).toContain(response.status);
      expect(await response.json()).toHaveProperty('success');
    }
    await expectAlive();
  });

  it('says everything in the same words', async () => {
    for (const path of ['/v1/%zz', `/v1/vision/custom/${'a'.repeat(5000)}`]) {
      const response = await fetch(`${server.address}${path}`, { method: 'POST' });
      expect(await response.json()).toMatchObject({ success: false, code: response.status });
    }
    expect(await raw(server.address, 'garbage\r\n\r\n')).toMatch(/{"success":false,.*"code":400}$/);
  });

  it('does not do faces, scenes and plates', async () => {
    for (const path of ['/v1/vision/face', '/v1/vision/face/recognize', '/v1/vision/scene', '/v1/image/alpr'])
      expect(await ask(form(), path)).toMatchObject({ status: 501, answer: { success: false } });
    expect((await ask(form(), '/v1/vision/nothing')).status).toBe(404);
  });

  it('lives through what is no HTTP, or not all of it', async () => {
    expect(await raw(server.address, 'garbage\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/);
    const headers = Array.from({ length: 10_000 }, (_, i) => `X-${i}: ${i}\r\n`).join('');
    expect(await raw(server.address, `GET /healthz HTTP/1.1\r\nHost: a\r\n${headers}\r\n`)).toMatch(
      /^HTTP\/1\.1 431/,
    );
    expect(await raw(server.address, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200/);
    const two =
      'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    expect((await raw(server.address, two)).match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    // a body that stops in the middle: the client goes away
    const { hostname, port } = new URL(server.address);
    const socket = connect(Number(port), hostname);
    socket.write(
      'POST /v1/vision/detection HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 50000\r\n\r\nabc',
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    await expectAlive();
  });

  it('gives back the place of a client that goes away', async () => {
    for (let i = 0; i < 5; i++) {
      const gone = new AbortController();
      const asked = fetch(url, { method: 'POST', body: form(), signal: gone.signal }).catch(() => {});
      setTimeout(() => gone.abort(), 5 * i);
      await asked;
    }
    await expectAlive();
    const state = await (await fetch(`${server.address}/healthz`)).json();
    expect(state).toMatchObject({ running: 0, waiting: 0 });
  });
});

describe('serve, asked too much', () => {
  it('answers 200 or 503, at once', async () => {
    const server = await start([...LITE, '--workers', '1', '--max-queue', '1']);
    const statuses = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const response = await fetch(`${server.address}/v1/vision/detection`, {
          method: 'POST',
          body: form(),
        });
        if (response.status === 503) expect(response.headers.get('Retry-After')).toBe('1');
        return response.status;
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    // what runs at SIGTERM is finished
    const late = fetch(`${server.address}/v1/vision/detection`, { method: 'POST', body: form() });
    await new Promise((resolve) => setTimeout(resolve, 30));
    const ended = stop(server);
    expect((await late).status).toBe(200);
    expect(await ended).toBe(0);
  });
});

describe('serve, where the browser’s page is built', () => {
  it('serves its files by their names alone, each as what it is', async () => {
    const built = spawnSync('npm', ['run', '--silent', 'build:web'], { cwd: root, encoding: 'utf8' });
    expect(built.status, built.stderr).toBe(0);
    const server = await start([...LITE, '--workers', '1', '--api-key', 'long-enough']);
    const get = async (path: string) => {
      const response = await fetch(`${server.address}${path}`);
      return {
        status: response.status,
        type: response.headers.get('content-type'),
        text: await response.text(),
      };
    };
    expect((await get('/')).text).toContain('<a href="web/">');
    const page = await get('/web');
    expect(page).toMatchObject({ status: 200, type: 'text/html; charset=utf-8' });
    expect(page.text).toContain('Spiking-YOLO in your browser');
    const [, script] = /src="\.\/(assets\/[^"]+\.js)"/.exec(page.text)!;
    const code = await get(`/web/${script}`);
    expect(code).toMatchObject({ status: 200, type: 'text/javascript; charset=utf-8' });
    const [kernels] = /kernels-[\w-]+\.wasm/.exec(code.text)!;
    expect(await get(`/web/assets/${kernels}`)).toMatchObject({ status: 200, type: 'application/wasm' });
    const hidden = [
      '../index.html',
      '..%2findex.html',
      '%2e%2e/vite.config.ts',
      'assets',
      'assets/',
      '../../../package.json',
      '%00',
    ];
    for (const path of hidden)
      expect((await raw(server.address, `GET /web/${path} HTTP/1.0\r\n\r\n`)).split(' ')[1], path).toMatch(
        /^40[04]$/,
      );
    expect(await stop(server)).toBe(0);
    expect(server.stderr).toBe('');
  });
});

describe('serve, asked for a picture that kills its worker', () => {
  it('answers 500 for it alone, and the next ones as before, with streams of cameras or without', async () => {
    const killer = readFileSync(`${root}test/cases/webp/truth.png`);
    const length = packedLength(killer);
    const env = {
      NODE_OPTIONS: `--import=${root}test/support/killing-picture.mjs`,
      KILLING_LENGTH: String(length),
    };
    const server = await start([...LITE, '--workers', '2'], env);
    const ask = async (image: Uint8Array, fields: Record<string, string>) => {
      const path = fields.camera === undefined ? 'vision/detection' : 'detect';
      const response = await fetch(`${server.address}/v1/${path}`, {
        method: 'POST',
        body: form(image, fields),
      });
      return { status: response.status, text: await response.text() };
    };
    for (const fields of [{}, { camera: 'door' }] as Record<string, string>[]) {
      for (let round = 0; round < 3; round++) {
        const [bad, good] = await Promise.all([ask(killer, fields), ask(cat, fields)]);
        expect(bad.status).toBe(500);
        expect(JSON.parse(bad.text)).toEqual({
          success: false,
          error: expect.stringContaining('failed inside the server'),
          code: 500,
        });
        expect(good.status).toBe(200);
        expect(good.text).toContain('cat');
        expect((await ask(cat, fields)).status).toBe(200);
      }
    }
    const health = (await (await fetch(`${server.address}/healthz`)).json()) as object;
    expect(health).toMatchObject({ status: 'ok', running: 0, waiting: 0 });
    expect(await stop(server)).toBe(0);
    expect(server.stderr).toBe('');
  });
});

describe('serve --api-key', () => {
  const KEY = 'correct-horse';
  let server: Server;
  beforeAll(async () => {
    server = await start([...LITE, '--workers', '1', '--host', '0.0.0.0', '--cors', 'https://example.org'], {
      SPIKING_YOLO_API_KEY: KEY,
    });
    server.address = server.address.replace('0.0.0.0', '127.0.0.1');
  });
  afterAll(() => stop(server));
  const status = async (path: string, init: RequestInit = {}) =>
    (await fetch(`${server.address}${path}`, { method: 'POST', body: form(), ...init })).status;

  it('is asked for in any of the usual places, and must be right', async () => {
    const path = '/v1/vision/detection';
    expect(await status(path)).toBe(401);
    expect(await status(path, { headers: { 'X-API-Key': 'wrong-horse-1' } })).toBe(401);
    expect(await status(`${path}?api_key=${KEY.slice(1)}`)).toBe(401);
    expect(await status(path, { headers: { 'X-API-Key': KEY } })).toBe(200);
    expect(await status(path, { headers: { Authorization: `Bearer ${KEY}` } })).toBe(200);
    expect(await status(`${path}?api_key=${KEY}`)).toBe(200);
    expect(await status(path, { body: form(cat, { api_key: KEY }) })).toBe(200);
    expect(await status(path, { body: new Uint8Array(1e6), headers: { 'Content-Type': 'image/jpeg' } })).toBe(
      401,
    );
    expect(await status('/v1/vision/custom/list')).toBe(401);
    const list = new FormData();
    list.append('api_key', KEY);
    expect(await status('/v1/vision/custom/list', { body: list })).toBe(200);
    expect(await status(path, { headers: { Authorization: `bearer ${KEY}`, 'X-API-Key': '' } })).toBe(200);
    expect((await fetch(`${server.address}/metrics`)).status).toBe(401);
    expect((await fetch(`${server.address}/healthz`)).status).toBe(200);
    expect(server.stderr).not.toContain(KEY);
  });

  it('lets pages of one origin in', async () => {
    const allowed = async (origin: string) =>
      (await fetch(`${server.address}/healthz`, { headers: { Origin: origin } })).headers.get(
        'Access-Control-Allow-Origin',
      );
    expect(await allowed('https://example.org')).toBe('https://example.org');
    expect(await allowed('https://example.com')).toBeNull();
  });
});

describe('serve refuses', () => {
  it.each([
    [['--host', '0.0.0.0'], /can be reached from elsewhere/],
    [['--port', '70000'], /expected 0 to 65535/],
    [['--api-key', 'short'], /at least 8 characters/],
    [['--api-key', 'schlüssel-ümlaut'], /printable ASCII/],
    [['--model', 'list=tiny-yolo-lite-voc'], /cannot be called list/],
    [['--cors', '*'], /expected one origin/],
    [['--max-queue', '-1'], /maxQueue is -1/],
    [['--preset', 'paper'], /Allowed choices are fast, frugal/],
    [['--model', 'nowhere'], /neither a file nor one of/],
    [['--model', 'tiny-yolo-lite-voc', '--model', 'tiny-yolo-lite-voc'], /one name/],
  ])('%j', (args, message) => {
    expectError(run(['serve', ...args]), 2, message);
  });

  it('a port that is taken', async () => {
    const server = await start([...LITE, '--workers', '1']);
    const { port } = new URL(server.address);
    expectError(
      run(['serve', ...LITE, '--workers', '1', '--port', port]),
      1,
      /cannot listen on 127\.0\.0\.1, port/,
    );
    expect(await stop(server, 'SIGINT')).toBe(130);
  });
});
