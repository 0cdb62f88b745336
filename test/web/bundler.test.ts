import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { expect, it } from 'vitest';
import { Detector } from '../../src/detector.js';
import { describeWithProgram } from '../support/programs.js';
import { root } from '../support/shared.js';
import { launch, openPage, serveFolder } from './browser.js';

describeWithProgram('chromium')('a page of one’s own', () => {
  it('is what docs/browser.md says, bundled by Vite as it comes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bundled-'));
    const page = /```html\n([\s\S]*?)```/.exec(readFileSync(`${root}docs/browser.md`, 'utf8'))![1]!;
    // as it says: ten lines
    expect(page.trim().split('\n').length).toBeLessThanOrEqual(10);
    mkdirSync(join(folder, 'node_modules'));
    mkdirSync(join(folder, 'public'));
    symlinkSync(root, join(folder, 'node_modules/spiking-yolo'));
    cpSync(`${root}samples/cat.jpg`, join(folder, 'public/cat.jpg'));
    const model = 'tiny-yolo-lite-voc.safetensors';
    cpSync(`${root}models/${model}`, join(folder, 'public', model));
    writeFileSync(join(folder, 'index.html'), page);
    await build({ root: folder, configFile: false, logLevel: 'warn' });
    rmSync(join(folder, 'node_modules'), { recursive: true });
    const server = await serveFolder(join(folder, 'dist'));
    const browser = await launch('chrome');
    try {
      const { page: opened, complaints } = await openPage(browser, 'about:blank');
      await opened.goto(server.url);
      await opened.waitForFunction(() => document.getElementById('found')!.textContent !== '');
      const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
      const { detections } = await detector.detect(`${root}samples/cat.jpg`);
      await detector.close();
      const { x1, y1 } = detections[0]!.box;
      const text = await opened.$eval('#found', (element) => element.textContent);
      expect(text).toBe(`cat at ${Math.round(x1)}, ${Math.round(y1)}`);
      expect(complaints.filter((complaint) => !complaint.includes('404'))).toEqual([]);
    } finally {
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
