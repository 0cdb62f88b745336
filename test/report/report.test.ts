import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeModel } from '../../src/model/model-file.js';
import { presetExperiment } from '../../src/report/experiments.js';
import { expectError, run } from '../support/command.js';
import { hasProgram, programsRequired } from '../support/programs.js';
import { lite, root } from '../support/shared.js';

const browser = ['chromium', 'chromium-browser', 'google-chrome'].find(hasProgram);
const FIGURES = ['fig1', 'fig3', 'fig4', 'fig5', 'fig6', 'fig7', 'ablation', 'cost', 'error'];

let folder: string;
let out: string;
let result: ReturnType<typeof run>;
let again: ReturnType<typeof run>;
const report = (...args: string[]) =>
  run([
    'report',
    ...[
      '--cfg',
      lite.cfg,
      '--weights',
      lite.weights,
      '--names',
      lite.names,
      '--calibration',
      `${root}samples`,
    ],
    ...['--images', folder, '--annotations', folder, '--steps', '4,8', '--resize', 'stretch', '--out', out],
    ...args,
  ]);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'report-'));
  out = join(folder, 'out');
  mkdirSync(out);
  copyFileSync(`${root}samples/cat.jpg`, join(folder, 'cat.jpg'));
  writeFileSync(join(folder, 'lost.jpg'), 'text');
  for (const name of ['cat', 'lost'])
    writeFileSync(
      join(folder, `${name}.xml`),
      '<annotation><object><name>cat</name><bndbox><xmin>48</xmin><ymin>60</ymin><xmax>420</xmax><ymax>299</ymax></bndbox></object></annotation>',
    );
  result = report('--preset', 'fast');
  again = report('--preset', 'fast');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('report', () => {
  it('measures everything, draws every figure, reports a photo that failed once, and exits with 1 for it', () => {
    expectError(result, 1, /lost\.jpg: not a JPEG/);
    expect(readdirSync(out).sort()).toEqual(
      [...FIGURES.map((name) => `${name}.svg`), 'report.html', 'report.md', 'results.json', 'state'].sort(),
    );
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    const paper = results.filter(({ id }: { id: string }) => id.startsWith('paper-'));
    expect(paper).toHaveLength(9);
    for (const { id, snn, images, failures } of results) {
      if (id === 'preset-fast') expect(snn.map(({ steps }: { steps: number }) => steps)).toEqual([16]);
      else expect(snn.length).toBeGreaterThan(1);
      expect([images, failures]).toEqual([1, 1]);
    }
    for (const name of FIGURES)
      expect(readFileSync(join(out, `${name}.svg`), 'utf8')).toMatch(/^<svg.*<\/svg>$/s);
    const markdown = readFileSync(join(out, 'report.md'), 'utf8');
    expect(markdown).toMatch(
      /^\| fast: layer-synchronous, count \| – \| – \| – \| – \| [.\d]+ \([.\d]+\) [.\d]+ \| – \|$/m,
    );
    expect(markdown.match(/^\| (none|layer|channel) \| (if|signed|ibt) \| (count|vmem) \|/gm)).toHaveLength(
      18,
    );
  });

  it('measures a tuned network by its own presets', () => {
    const { provenance, presets } = decodeModel(readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`));
    const frugal = presetExperiment('frugal', { provenance, presets: presets! });
    expect(frugal.settings).toMatchObject({
      schedule: 'layered',
      coding: 'phase',
      steps: presets!.frugal!.steps,
    });
    expect(frugal.steps).toEqual([presets!.frugal!.steps]);
    expect(frugal.conversion).toMatchObject({ tune: 'full', norm: 'channel' });
    expect(presetExperiment('fast', { provenance }).settings).toMatchObject({ coding: 'count', steps: 16 });
  });

  it('says at once that a network has no preset', () => {
    expectError(report('--preset', 'frugal'), 2, /no preset frugal/);
  });

  it('gives the same again from what it kept', () => {
    expect(again.stdout).toBe(result.stdout);
    expect(readdirSync(join(out, 'state'))).toHaveLength(
      JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')).length,
    );
  });

  it.skipIf(!browser && !programsRequired)(
    `opens in a browser${browser ? '' : ' (skipped: chromium is not installed)'}: every figure has an extent, words and marks, and nothing is loaded`,
    () => {
      const page = readFileSync(join(out, 'report.html'), 'utf8');
      expect(page).not.toMatch(/(src|href)="(?!#|data:)/);
      const probe = `<script>document.body.dataset.seen = JSON.stringify([...document.querySelectorAll('figure>svg')].map((svg) => {
      const frame = svg.getBoundingClientRect(), box = svg.getBBox(), view = svg.viewBox.baseVal;
      return { width: frame.width, height: frame.height, right: box.x + box.width - view.width, bottom: box.y + box.height - view.height,
        texts: svg.querySelectorAll('text').length, marks: svg.querySelectorAll('path,rect').length,
        errors: svg.querySelectorAll('parsererror').length };
    }))</script>`;
      const probed = join(folder, 'probed.html');
      writeFileSync(probed, page.replace('</body>', `${probe}</body>`));
      const { stdout } = spawnSync(
        browser!,
        [
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          `--user-data-dir=${join(folder, 'profile')}`,
          '--dump-dom',
          `file://${probed}`,
        ],
        { encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 60_000 },
      );
      const seen = JSON.parse(/data-seen="([^"]*)"/.exec(stdout)![1]!.replaceAll('&quot;', '"')) as Record<
        'width' | 'height' | 'right' | 'bottom' | 'texts' | 'marks' | 'errors',
        number
      >[];
      expect(seen).toHaveLength(FIGURES.length);
      for (const figure of seen) {
        expect(figure.width).toBeGreaterThan(200);
        expect(figure.height).toBeGreaterThan(100);
        expect(figure.texts).toBeGreaterThan(3);
        expect(figure.marks).toBeGreaterThan(3);
        expect(figure.errors).toBe(0);
        // nothing sticks out of its frame
        expect(figure.right).toBeLessThanOrEqual(1);
        expect(figure.bottom).toBeLessThanOrEqual(1);
      }
    },
  );

  it('refuses layers and channels that are not there', () => {
    expectError(report('--layer', 'conv9'), 2, /expected one of conv1/);
    expectError(report('--channel', '17'), 2, /conv1 has 16/);
    expectError(report('--steps', 'x'), 2, /expected a number/);
  });
});
