import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/shared.js';

it('installing without a compiler prints one line with the reason and exits with 0', () => {
  const folder = mkdtempSync(join(tmpdir(), 'install-'));
  try {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(process.execPath, join(folder, 'bin', 'node'));
    cpSync(join(root, 'native'), join(folder, 'native'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const { status, stdout, stderr } = spawnSync(process.execPath, ['native/install.mjs'], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: join(folder, 'bin'), HOME: dirname(folder) },
    });
    expect(stdout).toBe(
      'spiking-yolo: no native addon (no C++ compiler on PATH); the WASM kernel is in charge.\n',
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
