import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeOnnx, yolov8Graph } from './support/onnx.js';
import { root } from './support/shared.js';

it('examples/your-own-yolo.mjs goes from an ONNX file and photos to boxes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'example-'));
  try {
    const onnx = join(folder, 'best.onnx');
    writeFileSync(onnx, writeOnnx(yolov8Graph(undefined, true)));
    const example = ['examples/your-own-yolo.mjs', onnx, 'samples'];
    const { status, stdout, stderr } = spawnSync(process.execPath, example, { cwd: root, encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const photos = readdirSync(`${root}samples`).filter((name) => /\.(jpe?g|png|webp)$/i.test(name));
    for (const name of photos) expect(stdout).toContain(`${join('samples', name)} \n`);
    expect(stdout).toMatch(/^ {2}(cat|dog) 0\.\d+ \{$/m);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
