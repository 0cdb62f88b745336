import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Detector, readPhoto } from '../../src/detector.js';
import type { DetectionStream, WebDetectorOptions, WebStream } from '../../src/web/index.js';
import { run } from '../support/command.js';
import { describeWithProgram } from '../support/programs.js';
import { hasShared, root, shared } from '../support/shared.js';
import { BROWSERS, type BrowserName, encodePng, launch, openPage, serveFolder } from './browser.js';

type Web = typeof import('../../src/web/index.js');

const MODEL = '/models/tiny-yolo-lite-voc.safetensors';
const model = 'tiny-yolo-lite-voc';

/** What of a result must be the same wherever a picture is looked at. */
const essence = <T extends { detections: unknown; spikes?: number; sops?: number; spikeChecksum?: string }>({
  detections,
  spikes,
  sops,
  spikeChecksum,
}: T) => ({ detections, spikes, sops, spikeChecksum });

for (const name of Object.keys(BROWSERS) as BrowserName[]) {
  describeWithProgram(BROWSERS[name])(`a detector in ${name}`, () => {
    let server: Awaited<ReturnType<typeof serveFolder>>;
    let browser: Browser;
    let page: Page;
    let complaints: string[];

    beforeAll(async () => {
      server = await serveFolder(root);
      browser = await launch(name);
      // any file will do: what matters is where the page comes from
      ({ page, complaints } = await openPage(browser, `${server.url}samples/README.md`));
      // the package as it is, without a bundler
      await page.evaluate(`import('/dist/web/index.js').then((web) => { globalThis.web = web; })`);
      await page.evaluate(() => {
        Object.assign(globalThis, {
          /** A file as bytes in text, which is how it comes here. */
          blobOf: (base64: string) => new Blob([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))]),
          fetched: async (url: string) => (await fetch(url)).blob(),
          /** What a promise rejects with, as plain data. */
          failureOf: (promise: Promise<unknown>) =>
            promise.then(
              () => 'nothing',
              ({ code, message }) => ({ code, message }),
            ),
        });
      });
    }, 60_000);
    afterAll(async () => {
      await browser?.close();
      await server?.close();
    });

    it('gives for a PNG the boxes, spikes and checksum of Node, transparent or not', async () => {
      const cat = await readPhoto(`${root}samples/cat.jpg`);
      const rgba = new Uint8Array(cat.width * cat.height * 4);
      for (let i = 0; i < cat.width * cat.height; i++)
        rgba.set([...cat.rgb.subarray(3 * i, 3 * i + 3), 255], 4 * i);
      const opaque = await encodePng(cat.width, cat.height, rgba);
      const files = [
        opaque,
        readFileSync(`${root}test/cases/webp/truth.png`),
        readFileSync(`${root}test/cases/png-trailing-and-animated/apng.png`),
        readFileSync(`${root}test/cases/jpeg-rgb-not-ycc/small-truth.png`),
      ];
      // Firefox has no texture to read transparent pixels from without a graphics card
      if (name === 'chrome') {
        for (let at = 3; at < rgba.length; at += 4) rgba[at] = (at * 7) & 255;
        files.push(await encodePng(cat.width, cat.height, rgba));
      }
      const detector = await Detector.load({ model, checksum: true });
      const expected = [];
      for (const file of files) expected.push(essence(await detector.detect(file)));
      await detector.close();
      const results = await page.evaluate(
        async (MODEL, files) => {
          const { web, blobOf } = globalThis as unknown as { web: Web; blobOf(base64: string): Blob };
          const detector = await web.WebDetector.load({ model: MODEL, checksum: true });
          const results = [];
          for (const file of files) results.push(await detector.detect(blobOf(file)));
          detector.close();
          return results;
        },
        MODEL,
        files.map((file) => file.toString('base64')),
      );
      expect(results.map(essence)).toEqual(expected);
      expect(results[0]).toMatchObject({
        model: 'tiny-yolo-lite-voc.safetensors',
        backend: { name: 'wasm', isa: 'simd128' },
      });
      expect(results[0]!.detections[0]).toMatchObject({ class: 'cat' });
      expect(new Set(results.map(({ spikeChecksum }) => spikeChecksum)).size).toBe(4);
    });

    it('gives for a JPEG the classes of Node, boxes within 2 pixels, scores within .02', async () => {
      const detector = await Detector.load({ model });
      for (const photo of ['cat', 'astronaut']) {
        const node = await detector.detect(`${root}samples/${photo}.jpg`);
        const found = await page.evaluate(
          async (MODEL, url) => {
            const { web, fetched } = globalThis as unknown as {
              web: Web;
              fetched(url: string): Promise<Blob>;
            };
            const detector = await web.WebDetector.load({ model: MODEL });
            const { detections } = await detector.detect(await fetched(url));
            detector.close();
            return detections;
          },
          MODEL,
          `/samples/${photo}.jpg`,
        );
        expect(found.map((one) => one.class)).toEqual(node.detections.map((one) => one.class));
        for (const [i, { score, box }] of found.entries()) {
          const other = node.detections[i]!;
          expect(Math.abs(score - other.score)).toBeLessThanOrEqual(0.02);
          for (const side of ['x1', 'y1', 'x2', 'y2'] as const)
            expect(Math.abs(box[side] - other.box[side])).toBeLessThanOrEqual(2);
        }
      }
      await detector.close();
    });

    it('takes a picture in any form that browsers have, and leaves it to its owner', async () => {
      const results = await page.evaluate(async (MODEL) => {
        const { web, fetched } = globalThis as unknown as { web: Web; fetched(url: string): Promise<Blob> };
        const detector = await web.WebDetector.load({ model: MODEL, checksum: true });
        const blob = await fetched('/samples/cat.jpg');
        const image = new Image();
        image.src = '/samples/cat.jpg';
        const bitmap = await createImageBitmap(blob);
        const canvas = document.createElement('canvas');
        const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
        const context = canvas.getContext('2d')!;
        context.drawImage(bitmap, 0, 0);
        offscreen.getContext('2d')!.drawImage(bitmap, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
        const { width, height } = pixels;
        const data = new Uint8Array(pixels.data.buffer);
        const raw = { data, width, height, channels: 4 as const };
        const checksums = [];
        // twice, the first of them again at the end: nothing was taken away
        for (const source of [blob, image, bitmap, canvas, offscreen, pixels, raw, bitmap, pixels, raw])
          checksums.push((await detector.detect(source)).spikeChecksum);
        detector.close();
        return checksums;
      }, MODEL);
      expect(results).toHaveLength(10);
      expect(new Set(results).size).toBe(1);
    });

    it('takes a picture as it is at the call, and looks at pictures in the order of the calls', async () => {
      const { results, order, frames } = await page.evaluate(async (MODEL) => {
        const { web, fetched } = globalThis as unknown as { web: Web; fetched(url: string): Promise<Blob> };
        const detector = await web.WebDetector.load({ model: MODEL, checksum: true });
        const blob = await fetched('/samples/cat.jpg');
        const bitmap = await createImageBitmap(blob);
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
        const context = canvas.getContext('2d', { willReadFrequently: true })!;
        const pixels = () => {
          context.drawImage(bitmap, 0, 0);
          return context.getImageData(0, 0, canvas.width, canvas.height);
        };
        const image = pixels();
        const raw = {
          data: new Uint8Array(pixels().data.buffer),
          width: image.width,
          height: image.height,
          channels: 4 as const,
        };
        const all = [detector.detect(image), detector.detect(raw), detector.detect(canvas)];
        image.data.fill(0);
        raw.data.fill(0);
        context.clearRect(0, 0, canvas.width, canvas.height);
        const results = (await Promise.all(all)).map(({ spikeChecksum }) => spikeChecksum);
        // a file takes longer to decode than pixels do
        const order: string[] = [];
        await Promise.all([
          detector.detect(blob).then(() => order.push('file')),
          detector.detect(new ImageData(8, 8)).then(() => order.push('pixels')),
          detector.detect(new Blob(['no picture'])).catch(() => order.push('none')),
          detector.detect(new ImageData(8, 8)).then(() => order.push('pixels')),
        ]);
        const stream = detector.stream({ hold: 0.5 });
        context.drawImage(bitmap, 0, 0);
        const looked = [stream.next(canvas), stream.next(bitmap)];
        context.clearRect(0, 0, canvas.width, canvas.height);
        looked.push(stream.next(canvas));
        bitmap.close();
        const frames = (await Promise.all(looked)).map(({ spikeChecksum, changed }) => [
          spikeChecksum,
          changed > 0,
        ]);
        detector.close();
        return { results, order, frames };
      }, MODEL);
      expect(results).toHaveLength(3);
      expect(new Set(results).size).toBe(1);
      expect(order.filter((what) => what !== 'none')).toEqual(['file', 'pixels', 'pixels']);
      expect(frames.map(([, changed]) => changed)).toEqual([true, false, true]);
      expect(frames[0]![0]).toBe(results[0]);
    });

    it('ends the loops over a video when it is closed, or the video has no source any more', async () => {
      const failures = await page.evaluate(async (MODEL) => {
        const { web, failureOf } = globalThis as unknown as {
          web: Web;
          failureOf(promise: Promise<unknown>): Promise<unknown>;
        };
        const detector = await web.WebDetector.load({ model: MODEL });
        const loop = (stream: WebStream, video: HTMLVideoElement) =>
          failureOf(stream.frames(web.videoFrames(video)).next());
        const [closed, ended, emptied] = [detector.stream(), detector.stream(), detector.stream()];
        const video = document.createElement('video');
        video.src = URL.createObjectURL(new MediaSource());
        const waiting = [
          loop(closed, document.createElement('video')),
          loop(ended, document.createElement('video')),
          loop(emptied, video),
        ];
        await new Promise((resolve) => setTimeout(resolve, 100));
        video.removeAttribute('src');
        video.load();
        await waiting[2];
        await closed.close();
        await waiting[0];
        detector.close();
        const after = await failureOf(closed.frames([]).next());
        return [...(await Promise.all(waiting)), after];
      }, MODEL);
      const over = { code: 'USAGE', message: 'this stream is closed' };
      expect(failures).toEqual([
        over,
        over,
        { code: 'IMAGE', message: 'the video was given another source, or none' },
        over,
      ]);
    });

    it('gives boxes as time steps pass, the same as Node, and ends where the loop is left', async () => {
      const detector = await Detector.load({ model, schedule: 'steps', steps: 9 });
      const expected = [];
      for await (const found of detector.steps(`${root}samples/cat.jpg`, 4)) expected.push(found);
      const { spikes } = await detector.detect(`${root}samples/cat.jpg`);
      await detector.close();
      const { results, left, other } = await page.evaluate(async (MODEL) => {
        const { web, fetched, failureOf } = globalThis as unknown as {
          web: Web;
          fetched(url: string): Promise<Blob>;
          failureOf(promise: Promise<unknown>): Promise<unknown>;
        };
        const detector = await web.WebDetector.load({ model: MODEL });
        const photo = await fetched('/samples/cat.jpg');
        const results = [];
        for await (const result of detector.steps(photo, { every: 4, steps: 9 })) results.push(result);
        const left = [];
        for await (const { step } of detector.steps(photo, { steps: 9 })) {
          left.push(step);
          if (step === 2) break;
        }
        // a run goes on where another cannot begin, and one that another has taken the place of says so
        const first = detector.steps(photo, { steps: 9 });
        await first.next();
        left.push((await failureOf(detector.steps(new Blob(['none'])).next())) === 'nothing' ? -1 : 0);
        left.push((await failureOf(detector.steps(photo, { every: 0 }).next())) === 'nothing' ? -1 : 0);
        left.push((await first.next()).value!.step);
        const second = detector.steps(photo, { steps: 9 });
        left.push((await second.next()).value!.step);
        const other = await failureOf(first.next());
        left.push((await second.next()).value!.step);
        detector.close();
        return { results, left, other };
      }, MODEL);
      expect(results.map(({ step, detections }) => ({ step, detections }))).toEqual(expected);
      expect(results.map(({ step }) => step)).toEqual([4, 8, 9]);
      expect(results.at(-1)!.spikes).toBe(spikes);
      for (const { layers, spikes: all } of results)
        expect(layers.reduce((sum, layer) => sum + layer.spikes, 0)).toBe(all);
      expect(results[0]!.layers[0]).toMatchObject({ name: 'conv1', neurons: 1_048_576 });
      expect(results[0]!.layers.at(-1)!.neurons).toBe(0);
      expect(left).toEqual([1, 2, 0, 0, 2, 1, 2]);
      expect(other).toMatchObject({ code: 'USAGE', message: expect.stringContaining('another run') });
    });

    it('looks at a stream as Node does: only what changes goes through the network', async () => {
      const frames = [0, 0, 40, 200];
      const cat = await readPhoto(`${root}samples/cat.jpg`);
      const pictures = frames.map((amount) =>
        cat.rgb.map((level, i) => (i % 5 < 2 ? level : level ^ amount)),
      );
      const detector = await Detector.load({ model, checksum: true });
      const stream = detector.stream({ hold: 0.75, changeMap: true });
      const expected = [];
      for (const data of pictures) {
        const frame = await stream.next({ data, width: cat.width, height: cat.height, channels: 3 });
        expected.push({ ...essence(frame), changed: frame.changed, map: [...frame.changeMap!.data] });
      }
      await detector.close();
      const results = await page.evaluate(
        async (MODEL, pictures, width, height) => {
          const { web } = globalThis as unknown as { web: Web };
          const detector = await web.WebDetector.load({ model: MODEL, checksum: true });
          const stream = detector.stream({ hold: 0.75, changeMap: true });
          const results = [];
          for (const text of pictures) {
            const data = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
            const frame = await stream.next({ data, width, height, channels: 3 });
            results.push({ ...frame, map: [...frame.changeMap!.data] });
          }
          await stream.reset();
          results.push(
            await stream.next({ data: new Uint8Array(width * height * 3), width, height, channels: 3 }),
          );
          await stream.close();
          detector.close();
          return results;
        },
        MODEL,
        pictures.map((data) => Buffer.from(data).toString('base64')),
        cat.width,
        cat.height,
      );
      const again = results.pop()!;
      expect(
        results.map((frame) => ({
          ...essence(frame),
          changed: frame.changed,
          map: (frame as { map?: number[] }).map,
        })),
      ).toEqual(expected);
      expect(expected[1]).toMatchObject({ changed: 0, spikes: 0 });
      expect(expected[2]!.changed).toBeGreaterThan(0);
      expect(again).toMatchObject({ frame: 0 });
    });

    it('says in one typed error what is wrong', async () => {
      const whole = readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`);
      const half = whole.subarray(0, whole.length / 2).toString('base64');
      const failures = await page.evaluate(
        async (MODEL, half) => {
          const { web, blobOf, failureOf } = globalThis as unknown as {
            web: Web;
            blobOf(base64: string): Blob;
            failureOf(promise: Promise<unknown>): Promise<unknown>;
          };
          const { WebDetector, videoFrames } = web;
          const load = (options: Partial<WebDetectorOptions> & Record<string, unknown>) =>
            failureOf(WebDetector.load({ model: MODEL, ...options }));
          const found: Record<string, unknown> = {};
          found.nothing = await failureOf(WebDetector.load(undefined as never));
          found.absent = await load({ model: '/nowhere.safetensors' });
          found.unreachable = await load({ model: 'http://127.0.0.1:9/model' });
          found.truncated = await load({ model: blobOf(half) });
          found.foreign = await load({ model: '/samples/cat.jpg' });
          found.kernels = await load({ kernels: '/samples/cat.jpg' });
          found.option = await load({ steps: 1.5 });
          found.class = await load({ classes: ['unicorn'] });
          found.preset = await load({ preset: 'paper' });
          found.resize = await load({ resize: 'squeeze' as never });
          found.unsendable = await load({ conf: (() => 1) as never });
          found.worker = await load({ worker: () => new Worker(URL.createObjectURL(new Blob(['throw 1']))) });
          found.noWorker = await load({
            worker: () => {
              throw new Error('not allowed');
            },
          });
          found.notOne = await load({ worker: (() => undefined) as never });
          found.null = await load({ model: null as never });
          found.seven = await load({ model: 7 as never });
          found.view = await load({ model: new DataView(new ArrayBuffer(8)) as never });
          found.buffer = await load({ model: new ArrayBuffer(8) });
          found.progress = await load({ onProgress: 5 as never });
          found.throwing = await load({
            onProgress: () => {
              throw new TypeError('mine');
            },
          });
          found.signal = await load({ signal: 5 as never });
          found.aborted = await load({ signal: AbortSignal.abort() });
          const controller = new AbortController();
          const late = load({ signal: controller.signal, onProgress: () => controller.abort() });
          found.late = await late;
          const { validate } = WebAssembly;
          WebAssembly.validate = () => false;
          found.simd = await load({});
          WebAssembly.validate = validate;
          const detector = await WebDetector.load({ model: MODEL });
          const detect = (source: unknown) => failureOf(detector.detect(source as Blob));
          found.photo = await detect(new Blob(['not a picture'], { type: 'image/png' }));
          found.cut = await detect(blobOf(half));
          found.number = await detect(7);
          found.text = await detect('/samples/cat.jpg');
          found.video = await detect(document.createElement('video'));
          found.image = await detect(new Image());
          const closed = await createImageBitmap(new ImageData(8, 8));
          closed.close();
          found.closed = await detect(closed);
          const long = new OffscreenCanvas(20_000, 4);
          long.getContext('2d')!.fillRect(0, 0, 9, 9);
          found.long = await detect(long);
          found.half = await detect({ data: new Float32Array(192), width: 8, height: 8, channels: 3 });
          found.noVideo = await failureOf(videoFrames(null as never).next());
          found.noSteps = await failureOf(detector.steps(7 as never, null as never).next());
          const other = document.createElement('canvas');
          const elsewhere = new Image();
          elsewhere.src = document.location.href
            .replace('127.0.0.1', 'localhost')
            .replace(/samples.*/, 'samples/cat.jpg');
          await elsewhere.decode();
          other.getContext('2d')!.drawImage(elsewhere, 0, 0);
          found.origin = await detect(other);
          found.map = await failureOf((async () => detector.stream({ changeMap: 1 as never }))());
          found.raw = await detect({ data: new Uint8Array(5), width: 8, height: 8, channels: 3 });
          found.every = await failureOf(detector.steps(new ImageData(8, 8), { every: 0 }).next());
          found.tooMany = await failureOf(detector.steps(new ImageData(8, 8), { steps: 1e9 }).next());
          try {
            detector.stream({ hold: 7 });
          } catch (error) {
            const { code, message } = error as { code: string; message: string };
            found.hold = { code, message };
          }
          const stopped = { signal: AbortSignal.abort() };
          found.frames = await failureOf(videoFrames(document.createElement('video'), stopped).next());
          // after all of them it works
          const { detections } = await detector.detect(new ImageData(8, 8));
          found.works = detections.length;
          const stream = detector.stream();
          await stream.next(new ImageData(8, 8));
          const waiting = detect(new ImageData(8, 8));
          detector.close();
          found.ended = await waiting;
          found.after = await detect(new ImageData(8, 8));
          found.stream = await failureOf(stream.next(new ImageData(8, 8)));
          return found;
        },
        MODEL,
        half,
      );
      const error = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });
      const closed = error('USAGE', /closed/);
      expect(failures).toEqual({
        nothing: error('USAGE', /an object with a model/),
        absent: error('FILE', /nowhere\.safetensors: the server answers 404/),
        unreachable: error('FILE', /127\.0\.0\.1:9\/model cannot be loaded/),
        truncated: error('MODEL', /^bytes: /),
        half: error('USAGE', /a picture is a Blob/),
        foreign: error('MODEL', /^cat\.jpg: /),
        kernels: error('BACKEND', /does not compile here/),
        option: error('USAGE', /steps/),
        class: error('USAGE', /"unicorn"/),
        preset: error('USAGE', /lite-voc\.safetensors is not converted as in the paper/),
        resize: error('USAGE', /"squeeze"/),
        unsendable: error('USAGE', /cannot be sent/),
        worker: error('BACKEND', /the worker of the detector ended/),
        noWorker: error('BACKEND', /not allowed/),
        notOne: error('USAGE', /must give a Worker/),
        null: error('USAGE', /model is Null/),
        seven: error('USAGE', /model is Number/),
        view: error('USAGE', /model is DataView/),
        buffer: error('MODEL', /^bytes: /),
        progress: error('USAGE', /onProgress must be a function/),
        throwing: { code: undefined, message: 'mine' },
        signal: error('USAGE', /AbortSignal/),
        aborted: error('ABORTED', /cancelled/),
        late: error('ABORTED', /cancelled/),
        simd: error('BACKEND', /no WebAssembly with SIMD/),
        photo: error('IMAGE', /image\/png is damaged/),
        cut: error('IMAGE', /the file is damaged/),
        number: error('USAGE', /a picture is a Blob/),
        text: error('USAGE', /a picture is a Blob/),
        video: error('IMAGE', /no frame yet/),
        image: error('IMAGE', /cannot be read/),
        closed: error('IMAGE', /cannot be read/),
        long: error('IMAGE', /20000×4; expected 1 to 16384/),
        noVideo: error('USAGE', /a video element/),
        noSteps: error('USAGE', /a picture is a Blob/),
        origin: error('IMAGE', /another origin, without CORS/),
        map: error('USAGE', /changeMap is 1/),
        raw: error('USAGE', /192 bytes/),
        every: error('USAGE', /every is 0/),
        tooMany: error('USAGE', /steps/),
        hold: error('USAGE', /hold is 7/),
        frames: error('ABORTED', /cancelled/),
        works: 0,
        ended: closed,
        after: closed,
        stream: closed,
      });
    });

    it.skipIf(!hasShared || name !== 'chrome')(
      'runs a converted YOLOv8n, on photos and as a stream, as Node does',
      async () => {
        const folder = mkdtempSync(join(tmpdir(), 'browser-'));
        try {
          const out = join(folder, 'yolov8n.safetensors');
          const onnx = ['--onnx', `${shared}data/weights/yolov8n/yolov8n.onnx`];
          const converted = run([
            'convert',
            ...onnx,
            '--calibration',
            'samples',
            '--tune',
            'none',
            '--weight-bits',
            '8',
            '--out',
            out,
          ]);
          expect(converted.status, converted.stderr).toBe(0);
          const { width, height, rgb } = await readPhoto(`${root}samples/cat.jpg`);
          const photo = { data: rgb, width, height, channels: 3 as const };
          const detector = await Detector.load({ model: out, checksum: true });
          const expected = [essence(await detector.detect(photo))];
          const stream = detector.stream();
          for (let frame = 0; frame < 2; frame++) expected.push(essence(await stream.next(photo)));
          await detector.close();
          const { results, schedules, steps } = await page.evaluate(
            async (model, pixels, width, height) => {
              const { web, blobOf, failureOf } = globalThis as unknown as {
                web: Web;
                blobOf(base64: string): Blob;
                failureOf(promise: Promise<unknown>): Promise<unknown>;
              };
              const data = new Uint8Array(await blobOf(pixels).arrayBuffer());
              const photo = { data, width, height, channels: 3 as const };
              const detector = await web.WebDetector.load({ model: blobOf(model), checksum: true });
              const results: object[] = [await detector.detect(photo)];
              const stream = detector.stream();
              for (let frame = 0; frame < 2; frame++) results.push(await stream.next(photo));
              const steps = await failureOf(detector.steps(photo).next());
              const { schedules } = detector;
              detector.close();
              return { results, schedules, steps };
            },
            readFileSync(out).toString('base64'),
            Buffer.from(rgb).toString('base64'),
            width,
            height,
          );
          expect(results.map((result) => essence(result as Parameters<typeof essence>[0]))).toEqual(expected);
          expect(expected[0]!.detections).toMatchObject([{ class: 'cat' }]);
          expect(expected[2]!.spikes).toBe(0);
          expect(schedules).toEqual(['layered']);
          expect(steps).toMatchObject({ message: expect.stringContaining('use the schedule layered') });
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      },
    );

    it('runs the examples of its documentation, which print what they say', async () => {
      const code = ['detector', 'picture']
        .map((file) => readFileSync(`${root}src/web/${file}.ts`, 'utf8'))
        .join('\n');
      const examples = [...code.matchAll(/ \* ```ts\n([\s\S]*?) \* ```/g)].map((match) =>
        match[1]!
          .replace(/^ *\* ?/gm, '')
          .replace(
            "import { WebDetector } from 'spiking-yolo/web';",
            'const { WebDetector } = globalThis.web;',
          )
          .replaceAll(/'(models|samples)\//g, "'/$1/"),
      );
      expect(examples.length).toBeGreaterThan(5);
      let checked = 0;
      for (const example of examples) {
        const printed: string[] = await page.evaluate(async (code) => {
          const lines: string[] = [];
          const log = (...values: unknown[]) => lines.push(values.join(' '));
          const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
          await new AsyncFunction('console', code)({ log });
          return lines;
        }, example);
        const expected = [...example.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map((match) => match[1]!);
        expect(printed, example).toEqual(expected);
        checked += expected.length;
      }
      expect(checked).toBeGreaterThan(5);
    });

    it.runIf(name === 'chrome')('takes no more memory after 1,000 frames than after 200', async () => {
      /** Of all processes of the browser, in MB. */
      const resident = async () => {
        const session = await browser.target().createCDPSession();
        const { processInfo } = await session.send('SystemInfo.getProcessInfo');
        await session.detach();
        const of = (id: number) =>
          Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1] ?? 0) / 1024;
        return processInfo.reduce((sum, { id }) => sum + of(id), 0);
      };
      const look = (frames: number) =>
        page.evaluate(async (frames) => {
          const { stream } = globalThis as unknown as { stream: DetectionStream<OffscreenCanvas> };
          const canvas = new OffscreenCanvas(256, 256);
          const context = canvas.getContext('2d')!;
          let last = 0;
          for (let i = 0; i < frames; i++) {
            context.fillStyle = i % 3 === 0 ? '#fa0' : '#04f';
            context.fillRect((i * 4) % 240, 40, 12, 12);
            last = (await stream.next(canvas)).frame;
          }
          return last;
        }, frames);
      await page.evaluate(async (MODEL) => {
        const { web } = globalThis as unknown as { web: Web };
        const detector = await web.WebDetector.load({ model: MODEL });
        Object.assign(globalThis, { detector, stream: detector.stream({ changeMap: true }) });
      }, MODEL);
      await look(200);
      const before = await resident();
      expect(await look(800)).toBe(999);
      const after = await resident();
      await page.evaluate(() => (globalThis as unknown as { detector: { close(): void } }).detector.close());
      expect(before).toBeGreaterThan(50);
      expect(after - before).toBeLessThan(30);
    });

    it('complained of nothing else', () => {
      // of the files that were not to be had, and of a worker that threw, browsers speak themselves
      expect(
        complaints.filter(
          (text) => !/404|ERR_CONNECTION_REFUSED|ERR_UNSAFE_PORT|uncaught exception|Uncaught 1/i.test(text),
        ),
      ).toEqual([]);
    });
  });
}
