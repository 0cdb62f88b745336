import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyMultipartOptions } from '@fastify/multipart';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Detector, DetectorResult } from '../detector.js';
import { fileError, reasonOf, SpikingYoloError, usageError } from '../errors.js';
import { cocoClassName } from '../export/coco-categories.js';
import { version } from '../version.js';
import { Cameras } from './cameras.js';
import { serveExample } from './example.js';
import { Metrics } from './metrics.js';
import { type ServerOptions, serverOptions } from './options.js';
import { pageOf } from './page.js';
import { Places } from './places.js';
import { isKey, keysOf, numberOf, queryOf, Refusal, readAsked, readForm } from './request.js';

/** A detector by the name that clients ask for it by. */
export interface NamedDetector {
  name: string;
  /** Loaded with `conf` at most .05, so that clients can ask for less sure boxes; the server leaves out the others. */
  detector: Detector;
  /** Threads of its pool: pictures that it takes at once. */
  workers: number;
}

/** A detection server that is not listening yet. */
export interface DetectionServer {
  /** Starts to listen; gives the address. Throws `FILE` if that cannot be had. Port 0 takes any that is free. */
  listen(where: { host: string; port: number }): Promise<string>;
  /** Takes no more requests, waits for those under way as long as `graceMs`, then closes; the detectors stay open. */
  close(): Promise<void>;
}

/** Milliseconds until the headers, and the whole request, must have come. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
/** Clients that are connected at once: each may hold a body of `maxBytes`. */
const MOST_CONNECTIONS = 200;
/** Fields and parts of a form, and bytes of a field. */
const FORM_LIMITS = { files: 2, fields: 20, parts: 22, fieldSize: 1000, fieldNameSize: 100, headerPairs: 50 };

/** What the server needs beyond this package: loaded when a server is made. */
async function loadLibraries() {
  try {
    const [{ fastify }, { default: multipart }, prom] = await Promise.all([
      import('fastify'),
      import('@fastify/multipart'),
      import('prom-client'),
    ]);
    return { fastify, multipart, prom };
  } catch (error) {
    throw usageError(
      `the server needs libraries that are not installed: npm install fastify@5 @fastify/multipart@10 prom-client@15 (${reasonOf(error)})`,
    );
  }
}

/**
 * A detection server that speaks what cameras' software does: DeepStack's and CodeProject.AI's interface
 * (docs/server.md). The first detector answers `/v1/vision/detection`, each of them `/v1/vision/custom/NAME`.
 * Throws `USAGE` for an option outside its range, or if the libraries that it needs are not installed.
 *
 * @example
 * ```ts
 * import { createServer, Detector } from 'spiking-yolo';
 * import { readFileSync } from 'node:fs';
 *
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', conf: 0.05, workers: 1 });
 * const server = await createServer([{ name: 'lite', detector, workers: 1 }], { conf: 0.4 });
 * const address = await server.listen({ host: '127.0.0.1', port: 0 });
 * const body = new FormData();
 * body.append('image', new Blob([readFileSync('samples/cat.jpg')]));
 * const answer = await (await fetch(`${address}/v1/vision/detection`, { method: 'POST', body })).json();
 * console.log(answer.success, answer.predictions[0].label); // true cat
 * await server.close();
 * await detector.close();
 * ```
 */
export async function createServer(
  detectors: readonly NamedDetector[],
  given: ServerOptions = {},
): Promise<DetectionServer> {
  const options = serverOptions(given);
  const [first] = detectors;
  if (!first) throw usageError('a server needs a detector');
  const names = new Set(detectors.map(({ name }) => name));
  if (names.size < detectors.length) throw usageError('two detectors have one name');
  if (names.has('list'))
    throw usageError('a detector cannot be called list: /v1/vision/custom/list is the list of them');
  const { fastify, multipart, prom } = await loadLibraries();
  const places = new Map(detectors.map(({ name, workers }) => [name, new Places(workers, options.maxQueue)]));
  const { hold, deadZone } = options;
  const cameras = new Cameras(options, { hold, deadZone });
  const metrics = new Metrics(prom, [...places.values()], cameras);
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBytes,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: 5000,
    forceCloseConnections: 'idle',
    http: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: 1000 },
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, _request, reply) => fail(error, reply as unknown as FastifyReply),
    clientErrorHandler: refuseSocket,
  });
  const form = {
    limits: { ...FORM_LIMITS, fileSize: options.maxBytes },
    // a picture may come without a file name or a type; the parser takes this option, its types do not
    isPartAFile: (name: string | undefined, type: string | undefined, file: string | undefined) =>
      name === 'image' || file !== undefined || type === 'application/octet-stream',
  };
  await app.register(multipart, form as FastifyMultipartOptions);
  // a picture as the body may come with any type, or none: curl calls it a form
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.server.maxConnections = MOST_CONNECTIONS;
  new Handlers(app, detectors, first, options, places, metrics, cameras).register();
  return {
    async listen(where) {
      try {
        return await app.listen(where);
      } catch (error) {
        const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
        throw fileError(
          `cannot listen on ${where.host}, port ${where.port}: ${taken ? 'the port is taken, by another server perhaps; choose one with --port' : reasonOf(error)}`,
          error,
        );
      }
    },
    async close() {
      const late = setTimeout(() => app.server.closeAllConnections(), options.graceMs);
      await app.close();
      clearTimeout(late);
      await cameras.close();
    },
  };
}

/** The status of a request whose client went away before it was answered; for the metrics, nobody gets it. */
const CLIENT_GONE = 499;

const sumOf = (places: ReadonlyMap<string, Places>, of: (each: Places) => number) =>
  [...places.values()].reduce((sum, each) => sum + of(each), 0);

/** What a request that is answered late can be told to do. */
const RETRY_SECONDS = '1';

class Handlers {
  private readonly app: FastifyInstance;
  private readonly detectors: readonly NamedDetector[];
  private readonly first: NamedDetector;
  private readonly options: ReturnType<typeof serverOptions>;
  private readonly places: ReadonlyMap<string, Places>;
  private readonly metrics: Metrics;
  private readonly cameras: Cameras;
  private readonly started = Date.now();
  /** Bodies that are being read: as many as may run and wait, since each is held in memory. */
  private reading = 0;
  private readonly mostReading: number;

  constructor(
    app: FastifyInstance,
    detectors: readonly NamedDetector[],
    first: NamedDetector,
    options: ReturnType<typeof serverOptions>,
    places: ReadonlyMap<string, Places>,
    metrics: Metrics,
    cameras: Cameras,
  ) {
    this.app = app;
    this.detectors = detectors;
    this.first = first;
    this.options = options;
    this.places = places;
    this.metrics = metrics;
    this.cameras = cameras;
    this.mostReading = options.maxQueue + detectors.reduce((sum, { workers }) => sum + workers, 0);
  }

  register(): void {
    const { app, options, metrics } = this;
    app.addHook('onRequest', async (request, reply) => {
      reply.header('X-Content-Type-Options', 'nosniff');
      const { cors } = options;
      if (cors === undefined || request.headers.origin !== cors) return;
      reply.header('Access-Control-Allow-Origin', cors).header('Vary', 'Origin');
      if (request.method !== 'OPTIONS') return;
      reply
        .header('Access-Control-Allow-Methods', 'GET, POST')
        .header('Access-Control-Allow-Headers', 'Authorization, Content-Type, X-API-Key');
      await reply.code(204).send();
    });
    // without a form no key can come with the body: it is not read
    app.addHook('onRequest', async (request) => {
      const form = /^multipart\//i.test(request.headers['content-type'] ?? '');
      if (request.method === 'POST' && !form) this.checkKey(request);
      if (Number(request.headers['content-length'] ?? 0) > options.maxBytes)
        throw new Refusal(413, `the body has more than ${options.maxBytes} bytes`);
    });
    app.addHook('onResponse', async (request, reply) => {
      metrics.answered(request.routeOptions.url ?? 'none', reply.statusCode);
    });
    app.setErrorHandler((error, _request, reply) => fail(error, reply));
    app.setNotFoundHandler((request, reply) =>
      fail(new Refusal(404, `there is no ${request.method} ${pathOf(request)} here`), reply),
    );
    app.get('/healthz', async () => ({
      status: 'ok',
      version,
      models: this.detectors.map(({ name }) => name),
      uptimeSeconds: Math.round((Date.now() - this.started) / 1000),
      running: sumOf(this.places, ({ running }) => running),
      waiting: sumOf(this.places, ({ waiting }) => waiting),
      streams: this.cameras.streams,
    }));
    const page = pageOf(serveExample(app));
    app.get('/', async (_request, reply) =>
      reply
        .header(
          'Content-Security-Policy',
          "default-src 'none'; connect-src 'self'; img-src blob:; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
        )
        .type('text/html; charset=utf-8')
        .send(page),
    );
    app.get('/metrics', async (request, reply) => {
      this.checkKey(request);
      return reply.type(metrics.contentType).send(await metrics.text());
    });
    app.get('/v1/status/ping', async () => ({ success: true, message: 'pong', code: 200 }));
    app.get('/v1/status/version', async () => ({ success: true, version, message: version, code: 200 }));
    app.get('/v1/settings', async (request) => {
      this.checkKey(request);
      return { success: true, settings: {}, code: 200 };
    });
    app.get('/v1/module/list', async (request) => {
      this.checkKey(request);
      return { success: true, modules: [], code: 200 };
    });
    app.post('/v1/vision/detection', (request, reply) => this.vision(request, reply, this.first));
    app.route({
      method: ['GET', 'POST'],
      url: '/v1/vision/custom/list',
      handler: async (request) => {
        const fields = queryOf(request);
        if (request.isMultipart()) await readForm(request, fields);
        this.checkKey(request, fields);
        return { success: true, models: this.detectors.map(({ name }) => name), code: 200 };
      },
    });
    app.post<{ Params: { name: string } }>('/v1/vision/custom/:name', (request, reply) =>
      this.vision(request, reply, this.named(request.params.name)),
    );
    for (const url of [
      '/v1/vision/face',
      '/v1/vision/face/*',
      '/v1/vision/scene',
      '/v1/vision/alpr',
      '/v1/image/alpr',
    ])
      app.post(url, async () => {
        throw new Refusal(501, 'this server detects objects; faces, scenes and licence plates it does not');
      });
    app.post('/v1/detect', (request, reply) => this.record(request, reply));
  }

  /** Throws a {@link Refusal} unless the request brings the right key, or none is asked for. */
  private checkKey(request: FastifyRequest, fields = queryOf(request)): void {
    const { apiKey } = this.options;
    if (apiKey !== undefined && !keysOf(request, fields).some((key) => isKey(key, apiKey)))
      throw new Refusal(401, 'the API key is missing or wrong');
  }

  private async vision(request: FastifyRequest, reply: FastifyReply, named: NamedDetector) {
    const start = performance.now();
    const { result, detections } = await this.detect(request, reply, named);
    const { width, height, elapsedMs, backend } = result;
    const whole = (value: number, most: number) => Math.min(Math.max(Math.round(value), 0), most);
    const predictions = detections.map(({ class: name, score, box }) => ({
      label: cocoClassName(name),
      confidence: score,
      x_min: whole(box.x1, width),
      y_min: whole(box.y1, height),
      x_max: whole(box.x2, width),
      y_max: whole(box.y2, height),
    }));
    const [inference, all] = [Math.round(elapsedMs.network), Math.round(performance.now() - start)];
    return {
      success: true,
      predictions,
      count: predictions.length,
      message:
        predictions.length === 0
          ? 'No objects found'
          : `Found ${predictions.map(({ label }) => label).join(', ')}`,
      code: 200,
      command: 'detect',
      moduleName: 'spiking-yolo',
      executionProvider: 'CPU',
      backend: `${backend.name} (${backend.isa})`,
      canUseGPU: false,
      duration: all / 1000,
      inferenceMs: inference,
      processMs: Math.round(Object.values(elapsedMs).reduce((sum, ms) => sum + ms, 0)),
      analysisRoundTripMs: all,
    };
  }

  /** The record of `detect --format ndjson`. */
  private async record(request: FastifyRequest, reply: FastifyReply) {
    const { result, detections, fields } = await this.detect(request, reply);
    return reply
      .type('application/x-ndjson; charset=utf-8')
      .send(`${JSON.stringify({ path: fields.path ?? 'image', ...result, detections })}\n`);
  }

  /** Reads a request, waits for a place, and looks at its picture: what is sure enough for it. Throws a {@link Refusal}. */
  private async detect(request: FastifyRequest, reply: FastifyReply, given?: NamedDetector) {
    const gone = new AbortController();
    reply.raw.on('close', () => {
      if (!reply.raw.writableFinished) gone.abort();
    });
    if (reply.raw.destroyed) gone.abort();
    if (this.reading >= this.mostReading) throw this.full(reply);
    this.reading++;
    const { image, fields } = await readAsked(request).finally(() => {
      this.reading--;
    });
    this.checkKey(request, fields);
    const { camera } = fields;
    if (camera !== undefined && this.options.maxStreams === 0)
      throw new Refusal(501, 'this server keeps no streams of cameras; leave the field "camera" out');
    if (camera !== undefined && !/^[\w.:@ /-]{1,100}$/.test(camera))
      throw new Refusal(400, 'a camera’s name has 1 to 100 letters, digits, spaces or any of . : @ / _ -');
    const least = numberOf(fields, 'min_confidence', 0, 1) ?? this.options.conf;
    const named = given ?? this.named(fields.model);
    const free = await this.places.get(named.name)!.take(gone.signal);
    if (gone.signal.aborted) {
      free?.();
      throw new Refusal(CLIENT_GONE, 'the client went away');
    }
    if (!free) throw this.full(reply);
    try {
      const result =
        camera === undefined
          ? await lookAt(named.detector, image, gone.signal)
          : await this.cameras.next(named, camera, image);
      if (!result) throw this.full(reply);
      this.metrics.detected(result);
      const detections = result.detections.filter(({ score }) => score >= least);
      return { result, detections, fields };
    } finally {
      free();
    }
  }

  private full(reply: FastifyReply): Refusal {
    reply.header('Retry-After', RETRY_SECONDS);
    return new Refusal(503, 'too many pictures wait already; ask again in a second');
  }

  private named(name: string | undefined): NamedDetector {
    const found = name === undefined ? this.first : this.detectors.find((each) => each.name === name);
    if (!found)
      throw new Refusal(404, 'there is no model of that name; the list is at /v1/vision/custom/list');
    return found;
  }
}

/** Looks at a picture by itself. */
async function lookAt(detector: Detector, image: Uint8Array, signal: AbortSignal): Promise<DetectorResult> {
  for await (const { result, error } of detector.detectAll([image], { signal })) {
    if (error) throw error;
    return result;
  }
  throw new Refusal(500, 'the picture was not looked at');
}

/** Answers with what went wrong. */
function fail(error: unknown, reply: FastifyReply): void {
  const status = statusOf(error);
  const message =
    status >= 500 && !(error instanceof Refusal)
      ? 'the request could not be answered: something failed inside the server'
      : reasonOf(error);
  void reply.code(status).send({ success: false, error: message, code: status });
}

/** What a client gets that does not speak HTTP, or not within its limits. */
function refuseSocket(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 }[error.code ?? ''] ?? 400;
  const body = JSON.stringify({
    success: false,
    error: 'this is no HTTP request within the limits',
    code: status,
  });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

const pathOf = ({ url }: FastifyRequest) => url.split('?')[0]!.slice(0, 100);

/** The HTTP status of an error: 400 for a picture that cannot be read, the framework's own, or 500. */
function statusOf(error: unknown): number {
  if (error instanceof Refusal) return error.status;
  if (error instanceof SpikingYoloError)
    return error.code === 'IMAGE' ? 400 : error.code === 'ABORTED' ? CLIENT_GONE : 500;
  const { statusCode } = (error ?? {}) as { statusCode?: unknown };
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 600 ? statusCode : 500;
}
