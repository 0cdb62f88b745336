import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS, PAPER_SETTINGS } from '../../src/detection/settings.js';
import { explain, type LayerDiagnosis } from '../../src/report/diagnosis.js';
import { toHtml, toMarkdown } from '../../src/report/page.js';

const layer = (fields: Partial<LayerDiagnosis>): LayerDiagnosis => ({
  layer: 'conv1',
  channels: 16,
  saturated: 0,
  silent: 0,
  chattering: 0,
  outliers: 0,
  correlation: 0.99,
  relativeError: 0.1,
  firingRate: 0.2,
  ...fields,
});

describe('the diagnosis in words', () => {
  it('says nothing is wrong where nothing is', () => {
    expect(explain([layer({}), layer({ layer: 'conv2' })], DEFAULT_SETTINGS)).toEqual([
      expect.stringMatching(/comes through: after 16 steps the spikes of conv2/),
    ]);
  });

  it('names the layer where it begins, and each cause with what to do', () => {
    const words = explain(
      [
        layer({ silent: 12 }),
        layer({ layer: 'conv2', saturated: 8, correlation: 0.4, outliers: 3 }),
        layer({ layer: 'conv3', chattering: 16, correlation: 0.2 }),
      ],
      { ...PAPER_SETTINGS, neuron: 'signed' },
    ).join('\n');
    expect(words).toMatch(/is lost: .* spikes of conv3.* 0\.20.* It begins at conv2 \(0\.40\)/);
    expect(words).toMatch(/conv1: 75 % of the channels never fire.*channel-norm/);
    expect(words).toMatch(
      /conv2: 50 % of the channels have 1 % of their neurons or more that fire as often as they may.*--gamma/,
    );
    expect(words).toMatch(/conv3: 100 % of the channels send more than 2 times/);
    expect(words).toMatch(/signed fires down at −θ/);
    expect(words).toMatch(/conv2: the λ of 3 of 16 channels/);
    expect(words).toMatch(/pool gate:avg/);
  });
});

describe('the page', () => {
  const sections = [
    {
      id: 'a',
      title: 'A <b>',
      caption: ['n = 1'],
      svg: '<svg id="x"></svg>',
      tables: [{ table: [['h'], ['<i>']] }],
    },
  ];

  it('escapes what comes from files', () => {
    const html = toHtml('net & co', ['in'], sections);
    expect(html).toContain('A &lt;b&gt;');
    expect(html).toContain('<td>&lt;i&gt;</td>');
    expect(html).toContain('<h1>net &amp; co</h1>');
    expect(html).toContain('<svg id="x"></svg>');
  });

  it('is Markdown, too, with figures beside it', () => {
    expect(toMarkdown('net', ['in'], sections)).toBe(
      '# net\n\nin\n\n## A <b>\n\nn = 1\n\n![A <b>](a.svg)\n\n| h |\n| --- |\n| <i> |\n',
    );
  });
});
