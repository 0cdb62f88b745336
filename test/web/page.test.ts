import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser, HTTPRequest, Page } from 'puppeteer-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Detector, readPhoto } from '../../src/detector.js';
import { run } from '../support/command.js';
import { writeOnnx, yolov8Graph } from '../support/onnx.js';
import { describeWithProgram } from '../support/programs.js';
import { root } from '../support/shared.js';
import { encodePng, launch, openPage, serveFolder } from './browser.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A film for the fake camera: a photo with a dark square that stands for some frames, then moves; YUV 4:2:0 in y4m. */
async function film(path: string): Promise<void> {
  const [width, height, frames] = [320, 240, 24];
  const cat = await readPhoto(`${root}samples/cat.jpg`);
  const grey = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) grey[y * width + x] = cat.rgb[3 * (y * cat.width + x) + 1]!;
  const parts: Uint8Array[] = [Buffer.from(`YUV4MPEG2 W${width} H${height} F12:1 Ip A1:1 C420jpeg\n`)];
  for (let frame = 0; frame < frames; frame++) {
    const luma = grey.slice();
    const left = frame < frames / 2 ? 20 : 20 + 10 * (frame - frames / 2);
    for (let y = 20; y < 60; y++) luma.fill(16, y * width + left, y * width + left + 40);
    parts.push(Buffer.from('FRAME\n'), luma, new Uint8Array((width * height) / 2).fill(128));
  }
  writeFileSync(path, Buffer.concat(parts));
}

const buildPage = (outDir: string) =>
  build({
    configFile: `${root}examples/web/vite.config.ts`,
    root: `${root}examples/web`,
    build: { outDir },
    logLevel: 'warn',
  });

describeWithProgram('chromium')('the page', () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveFolder>>;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  const requested: string[] = [];

  const text = (id: string) => page.$eval(`#${id}`, (element) => element.textContent ?? '');
  const hidden = (id: string) => page.$eval(`#${id}`, (element) => (element as HTMLElement).hidden);
  const found = () =>
    page.$$eval('#found li', (items) =>
      items.map((item) => [...item.childNodes].map((node) => node.textContent)),
    );
  /** Waits until a picture has been looked at, step by step too, or something has gone wrong. */
  const settled = () =>
    page.waitForFunction(
      () =>
        !document.getElementById('error')!.hidden ||
        /energy\.( This network.*)?$/.test(document.getElementById('status')!.textContent ?? ''),
      { timeout: 60_000 },
    );
  const choose = async (input: string, path: string) => {
    await page.$eval('#status', (element) => {
      element.textContent = '';
    });
    await (await page.waitForSelector(`input#${input}` as 'input'))!.uploadFile(path);
    await settled();
  };
  const file = (name: string, contents: Uint8Array | string) => {
    writeFileSync(join(folder, name), contents);
    return join(folder, name);
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'page-'));
    await buildPage(join(folder, 'dist'));
    server = await serveFolder(join(folder, 'dist'), '/some/where/');
    await film(join(folder, 'camera.y4m'));
    browser = await launch('chrome', [
      '--use-fake-device-for-media-stream',
      `--use-file-for-fake-video-capture=${join(folder, 'camera.y4m')}`,
    ]);
    await browser.defaultBrowserContext().overridePermissions(new URL(server.url).origin, ['camera']);
    ({ page, complaints } = await openPage(browser, 'about:blank'));
    page.on('request', (request) => requested.push(request.url()));
    await page.goto(server.url);
    await settled();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('weighs less than 200 kB compressed, without models and samples', () => {
    const files = readdirSync(join(folder, 'dist'), { recursive: true, withFileTypes: true }).filter((one) =>
      one.isFile(),
    );
    const code = files.filter(({ name }) => !/\.(safetensors|jpg)$/.test(name));
    expect(code.map(({ name }) => name.replace(/-[\w-]{8}\./, '.')).sort()).toEqual([
      'index.css',
      'index.html',
      'index.js',
      'kernels.wasm',
      'worker.js',
    ]);
    const bytes = code.map(({ parentPath, name }) => gzipSync(readFileSync(join(parentPath, name))).length);
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(200_000);
  });

  it('looks at a sample by itself, from a path below its host’s, and asks no other host', async () => {
    expect(await found()).toEqual([['cat', expect.stringMatching(/^4\d %$/)]]);
    expect(await page.$eval('#picture', (canvas) => canvas.ariaLabel)).toMatch(
      /^a picture; found: cat 4\d %$/,
    );
    expect(await text('status')).toMatch(/^Layer by layer: 1 object in \d+ ms, 7\.6 spikes a neuron, 2\.2 ×/);
    expect(requested.length).toBeGreaterThan(6);
    expect(requested.filter((url) => !url.startsWith(server.url) && !/^(blob|data):/.test(url))).toEqual([]);
    expect(await text('step-shown')).toBe('32 of 32');
    expect(await text('rate-title')).toMatch(/^Spikes per neuron: 17\.\d\d after 32 steps$/);
  });

  it('shows any step by keyboard, and plays them', async () => {
    await page.focus('#step');
    await page.keyboard.press('ArrowLeft');
    expect(await text('step-shown')).toBe('31 of 32');
    await page.keyboard.press('Home');
    expect(await text('step-shown')).toBe('1 of 32');
    const early = await text('energy-title');
    await page.keyboard.press('End');
    const energy = (title: string) => Number(/1: (.*)$/.exec(title)![1]);
    expect(energy(early)).toBeLessThan(energy(await text('energy-title')) / 10);
    await page.focus('#play');
    await page.keyboard.press('Enter');
    expect(await text('play')).toBe('Pause');
    await page.waitForFunction(() => document.getElementById('step-shown')!.textContent === '4 of 32');
    await page.keyboard.press('Enter');
    expect(await text('play')).toBe('Play');
    for (const id of ['raster', 'rate', 'energy']) {
      const painted = await page.$eval(`#${id}`, (canvas) => {
        const { data } = (canvas as HTMLCanvasElement)
          .getContext('2d')!
          .getImageData(0, 0, (canvas as HTMLCanvasElement).width, (canvas as HTMLCanvasElement).height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length;
      });
      expect(painted, id).toBeGreaterThan(500);
    }
  });

  it('finds in a PNG that is chosen what Node finds', async () => {
    const { width, height, rgb } = await readPhoto(`${root}samples/astronaut.jpg`);
    const rgba = new Uint8Array(width * height * 4).fill(255);
    for (let i = 0; i < width * height; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    const png = await encodePng(width, height, rgba);
    const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', schedule: 'steps', steps: 32 });
    const { detections } = await detector.detect(png);
    await detector.close();
    await choose('photo', file('astronaut.png', png));
    expect(detections.length).toBeGreaterThan(0);
    expect(await found()).toEqual(
      detections.map(({ class: name, score }) => [
        name,
        `${(100 * score).toFixed(score < 0.0995 ? 1 : 0)} %`,
      ]),
    );
  });

  it('says what is wrong with a file, and goes on', async () => {
    await choose('photo', file('broken.jpg', readFileSync(`${root}samples/cat.jpg`).subarray(0, 200)));
    expect(await text('error')).toMatch(/^broken\.jpg is damaged, or no picture/);
    // nothing of the picture before stays
    expect(await found()).toEqual([]);
    expect(await page.$eval('#picture', (canvas) => canvas.ariaLabel)).toBe('no picture yet');
    expect(await page.$eval('#error', ({ role }) => role)).toBe('alert');
    await choose('photo', `${root}samples/cat.jpg`);
    expect(await hidden('error')).toBe(true);
    expect(await found()).toHaveLength(1);
    const broken = readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`).subarray(0, 100_000);
    await page.select('#model', 'your own');
    await choose('model-file', file('broken.safetensors', broken));
    expect(await text('error')).toMatch(/^broken\.safetensors: /);
    await page.select('#model', 'Tiny YOLO lite (2.7 MB)');
    await settled();
    expect(await hidden('error')).toBe(true);
    expect(await found()).toHaveLength(1);
  });

  it('takes a model of one’s own, also one that has no time steps', async () => {
    const onnx = file('best.onnx', writeOnnx(yolov8Graph(undefined, true)));
    const photos = join(folder, 'photos');
    mkdirSync(photos);
    for (const name of ['cat', 'astronaut'])
      writeFileSync(join(photos, `${name}.jpg`), readFileSync(`${root}samples/${name}.jpg`));
    const out = join(folder, 'best.safetensors');
    const converted = run([
      'convert',
      '--onnx',
      onnx,
      '--calibration',
      photos,
      '--tune',
      'none',
      '--out',
      out,
    ]);
    expect(converted.stderr).not.toContain('error');
    await page.select('#model', 'your own');
    await choose('model-file', out);
    expect(await text('status')).toMatch(/This network runs layer by layer only/);
    expect(await hidden('time')).toBe(true);
    expect(await hidden('raster-figure')).toBe(true);
    await page.select('#model', 'Tiny YOLO lite (2.7 MB)');
    await settled();
    expect(await hidden('time')).toBe(false);
  });

  it('takes what is asked for while the network loads, and loads it again where that failed', async () => {
    let fails = false;
    await page.setRequestInterception(true);
    const onRequest = async (request: HTTPRequest) => {
      if (!request.url().endsWith('.safetensors')) return request.continue();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return fails ? request.respond({ status: 503 }) : request.continue();
    };
    page.on('request', onRequest);
    await page.reload();
    const [cat, astronaut] = await page.$$('#samples button');
    await astronaut!.click();
    await cat!.click();
    await astronaut!.click();
    await settled();
    expect((await found()).map(([name]) => name)).toContain('person');
    fails = true;
    await page.reload();
    await settled();
    expect(await text('error')).toMatch(/503/);
    fails = false;
    await cat!.dispose();
    await (await page.$('#samples button'))!.click();
    await page.waitForFunction(() => document.getElementById('error')!.hidden);
    await settled();
    expect((await found()).map(([name]) => name)).toEqual(['cat']);
    page.off('request', onRequest);
    await page.setRequestInterception(false);
    // charts are drawn again while another network loads
    await page.select('#model', 'Tiny YOLO plus (5 MB)');
    await page.setViewport({ width: 1000, height: 700 });
    await settled();
    await page.select('#model', 'Tiny YOLO lite (2.7 MB)');
    await page.setViewport({ width: 800, height: 600 });
    await settled();
    expect(await hidden('error')).toBe(true);
  });

  it('says that a sample cannot be loaded, where the host does not answer', async () => {
    await page.setOfflineMode(true);
    await page.click('#samples button');
    await settled();
    await page.setOfflineMode(false);
    expect(await text('error')).toMatch(/host does not answer/);
    await page.click('#samples button');
    await page.waitForFunction(() => document.getElementById('error')!.hidden);
    await settled();
    expect(await found()).toHaveLength(1);
  });

  it('takes what is dropped', async () => {
    const drop = (name: string, url: string) =>
      page.evaluate(
        async (name, url) => {
          const data = new DataTransfer();
          data.items.add(new File([await (await fetch(url)).blob()], name));
          document.getElementById('status')!.textContent = '';
          document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
        },
        name,
        url,
      );
    const model = requested.find((url) => url.includes('tiny-yolo-lite-voc'))!;
    await drop('MINE.SAFETENSORS', model);
    await settled();
    expect(await page.$eval('#model', (list) => (list as HTMLSelectElement).value)).toBe('your own');
    expect(await found()).toHaveLength(1);
    await page.select('#model', 'Tiny YOLO lite (2.7 MB)');
    await settled();
    await drop('astronaut.jpg', requested.find((url) => url.includes('astronaut'))!);
    await settled();
    expect((await found()).map(([name]) => name)).toContain('person');
    await page.click('#samples button');
    await settled();
  });

  it('looks through the camera as a stream, shows what changes, and lets go of it', async () => {
    await page.click('#camera');
    const frame = () =>
      page.$eval('#status', (status) => Number(/^Frame (\d+)/.exec(status.textContent!)?.[1] ?? 0));
    await page.waitForFunction(
      () => Number(/^Frame (\d+)/.exec(document.getElementById('status')!.textContent!)?.[1] ?? 0) > 30,
      { timeout: 60_000 },
    );
    const changed = new Set<string>();
    for (const start = await frame(); (await frame()) < start + 20; )
      changed.add(/([\d.e-]+) % of/.exec(await text('status'))![1]!);
    // the square stands, and moves
    expect(changed.size).toBeGreaterThan(2);
    expect(Math.min(...[...changed].map(Number))).toBeLessThan(2);
    const size = await page.$eval('#picture', (element) => {
      const { width, height } = element as HTMLCanvasElement;
      return [width, height];
    });
    expect(size).toEqual([320, 240]);
    expect(await text('rate-title')).toMatch(/^Spikes per neuron and frame: [\d.]+$/);
    expect(await page.$eval('#camera', ({ ariaPressed }) => ariaPressed)).toBe('true');
    expect(await page.$eval('#status', ({ ariaLive }) => ariaLive)).toBe('off');
    await page.click('#heat');
    await page.click('#camera');
    expect(await text('status')).toBe('The camera is off.');
    expect(await page.$eval('#camera', ({ ariaPressed }) => ariaPressed)).toBe('false');
    expect(await hidden('live')).toBe(true);
  });

  it('says why where there is no camera', async () => {
    const refusals: [string, RegExp][] = [
      ['NotAllowedError', /permission was refused/],
      ['NotFoundError', /^No camera was found/],
      ['NotReadableError', /used by another program/],
    ];
    for (const [name, message] of refusals) {
      await page.evaluate((name) => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name));
      }, name);
      await page.click('#camera');
      await page.waitForFunction(() => !document.getElementById('error')!.hidden);
      expect(await text('error')).toMatch(message);
    }
    await page.evaluate(() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined }));
    await page.click('#camera');
    await page.waitForFunction(() => /https/.test(document.getElementById('error')!.textContent ?? ''));
  });

  it('is accessible in both colour schemes and fits on a phone', async () => {
    await page.click('#samples button');
    await page.waitForFunction(() => /energy\.$/.test(document.getElementById('status')!.textContent!));
    for (const value of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }]);
      for (const width of [1200, 360]) {
        await page.setViewport({ width, height: 800 });
        await page.evaluate(axe);
        const { violations, passes } = await page.evaluate(() =>
          (
            globalThis as unknown as {
              axe: {
                run(): Promise<{
                  violations: { id: string; nodes: { html: string }[] }[];
                  passes: unknown[];
                }>;
              };
            }
          ).axe.run(),
        );
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        expect(passes.length).toBeGreaterThan(20);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      }
    }
  });

  it('complained of nothing but what it was denied', () => {
    expect(complaints.filter((text) => !/status of 503|ERR_INTERNET_DISCONNECTED/.test(text))).toEqual([]);
  });
});

describeWithProgram('firefox-esr')('the page in Firefox', () => {
  it('looks at a sample by itself, step by step too, and complains of nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'page-'));
    await buildPage(folder);
    const server = await serveFolder(folder);
    const browser = await launch('firefox');
    try {
      const { page, complaints } = await openPage(browser, server.url);
      await page.waitForFunction(() => /energy\.$/.test(document.getElementById('status')!.textContent!));
      expect(await page.$eval('#picture', (canvas) => canvas.ariaLabel)).toMatch(/found: cat 4\d %$/);
      expect(await page.$eval('#step-shown', (output) => output.textContent)).toBe('32 of 32');
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
