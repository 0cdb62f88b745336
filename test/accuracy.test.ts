import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { DEFAULT_MODEL } from '../src/model/registry.js';
import { describeWithShared, plus, root, shared } from './support/shared.js';

describeWithShared('the default model', () => {
  it('keeps at least 95 % of its trained float network’s mAP over the test photos', {
    timeout: 900_000,
  }, () => {
    const photos = `${shared}data/voc07-test-dev`;
    const output = execFileSync(
      process.execPath,
      [
        ...[
          `${root}dist/cli/main.js`,
          'eval',
          '--model',
          DEFAULT_MODEL,
          '--images',
          `${photos}/JPEGImages`,
          '--annotations',
          `${photos}/Annotations`,
        ],
        ...['--onnx', plus.onnx, '--names', plus.names, ...plus.preparation, '--format', 'json'],
      ],
      { encoding: 'utf8', maxBuffer: 2 ** 24 },
    );
    const { ann, snn, images, failures, settings } = JSON.parse(output);
    expect([images, failures, settings.float, settings.steps]).toEqual([63, 0, 'trained', [16]]);
    console.log(`mAP ${snn[0].map11.toFixed(3)} of ${ann.map11.toFixed(3)} in ${snn[0].steps} steps`);
    expect(ann.map11).toBeGreaterThan(0.5);
    expect(snn[0].map11).toBeGreaterThanOrEqual(0.95 * ann.map11);
  });
});
