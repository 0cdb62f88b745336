import { createJimp } from '@jimp/core';
import png from '@jimp/js-png';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { preview } from 'vite';
import { hasProgram } from '../support/programs.js';

/** Browsers that tests run in, as Debian calls their programs. */
export const BROWSERS = { chrome: 'chromium', firefox: 'firefox-esr' } as const;
export type BrowserName = keyof typeof BROWSERS;

const pathOf = (program: string) => `/usr/bin/${program}`;

/** Starts a browser without a window. */
export function launch(browser: BrowserName, args: readonly string[] = []): Promise<Browser> {
  const program = BROWSERS[browser];
  if (!hasProgram(program)) throw new Error(`${program} is not installed`);
  const own = browser === 'chrome' ? ['--no-sandbox', '--disable-gpu-sandbox'] : [];
  return puppeteer.launch({ browser, executablePath: pathOf(program), args: [...own, ...args] });
}

/** Serves a folder at a path of this machine. */
export async function serveFolder(
  folder: string,
  base = '/',
): Promise<{ url: string; close(): Promise<void> }> {
  const server = await preview({
    configFile: false,
    root: folder,
    base,
    build: { outDir: '.' },
    preview: { host: '127.0.0.1', port: 0 },
    logLevel: 'error',
  });
  const address = server.httpServer.address();
  if (typeof address !== 'object' || !address) throw new Error('the server has no address');
  return { url: `http://127.0.0.1:${address.port}${base}`, close: () => server.close() };
}

/** A page that keeps what it complained of. */
export async function openPage(browser: Browser, url: string): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, complaints };
}

const Png = createJimp({ formats: [png] });

/** A PNG of RGBA pixels. */
export const encodePng = (width: number, height: number, rgba: Uint8Array): Promise<Buffer> =>
  Png.fromBitmap({ width, height, data: Buffer.from(rgba) }).getBuffer('image/png');
