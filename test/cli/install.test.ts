import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { root } from '../support/shared.js';

describe('native/install.mjs', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'install-'));
    mkdirSync(join(folder, 'bin'));
    symlinkSync(process.execPath, join(folder, 'bin', 'node'));
    cpSync(join(root, 'native'), join(folder, 'native'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs it where PATH holds Node and `programs`, scripts by name. */
  function install(programs: Record<string, string> = {}) {
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, 'bin', name), 0o755);
    }
    return spawnSync(process.execPath, ['native/install.mjs'], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: join(folder, 'bin'), HOME: dirname(folder) },
    });
  }

  const prebuilt = (content: string) => {
    const place = join(folder, 'prebuilds', `${process.platform}-${process.arch}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'spiking_yolo.node'), content);
  };

  it('without a compiler prints one line with the reason and exits with 0', () => {
    const { status, stdout, stderr } = install();
    expect(stdout).toBe(
      'spiking-yolo: no native addon (no C++ compiler on PATH); the WASM kernel is in charge.\n',
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('compiles where the prebuilt addon does not load, and says why it does not', () => {
    prebuilt('no addon at all');
    const { status, stdout } = install();
    const [first, second] = stdout.split('\n');
    expect(first).toMatch(
      /prebuilt native addon does not load here \(.*(file too short|invalid ELF header).*\); compiling/,
    );
    expect(second).toMatch(/no native addon \(no C\+\+ compiler on PATH\)/);
    expect(status).toBe(0);
  });

  it('names node-gyp’s reason, not its heading', () => {
    const gyp = join(folder, 'gyp.mjs');
    writeFileSync(
      gyp,
      `console.error('gyp ERR! configure error \\ngyp ERR! stack Error: Could not find any Python installation to use\\n'); process.exit(1);`,
    );
    mkdirSync(join(folder, 'headers', 'include', 'node'), { recursive: true });
    writeFileSync(join(folder, 'headers', 'include', 'node', 'node_api.h'), '');
    for (const name of ['g++', 'make']) {
      writeFileSync(join(folder, 'bin', name), '#!/bin/sh\nexit 0\n');
      chmodSync(join(folder, 'bin', name), 0o755);
    }
    const { stdout } = spawnSync(process.execPath, ['native/install.mjs'], {
      cwd: folder,
      encoding: 'utf8',
      env: {
        PATH: `${join(folder, 'bin')}`,
        npm_config_node_gyp: gyp,
        npm_config_nodedir: join(folder, 'headers'),
        CXX: 'g++',
      },
    });
    expect(stdout).toMatch(/no cmake on PATH; node-gyp: .*Could not find any Python installation to use/);
  });
});

describe('the two build definitions', () => {
  /** Flags of each instruction set's file, by the file's name. */
  const fromGyp = (text: string) => {
    const flags = new Map<string, string[]>();
    for (const [, file] of text.matchAll(/native\/(isa_\w+)\.cpp/g)) flags.set(file!, []);
    for (const [target] of text.matchAll(/\{[^{}]*"type": "static_library"[^{}]*\}/g)) {
      const file = /native\/(isa_\w+)\.cpp/.exec(target)![1]!;
      flags.set(
        file,
        [...(/"cflags_cc": \[([^\]]*)\]/.exec(target)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map((m) => m[1]!),
      );
    }
    return flags;
  };
  const fromCmake = (text: string) => {
    const flags = new Map<string, string[]>();
    for (const [, file] of text.matchAll(/native\/(isa_\w+)\.cpp/g)) flags.set(file!, []);
    for (const [, file, options] of text.matchAll(
      /set_source_files_properties\(native\/(isa_\w+)\.cpp PROPERTIES\s+COMPILE_OPTIONS\s+"([^"]*)"/g,
    ))
      flags.set(file!, options!.split(';'));
    return flags;
  };

  it('compile the same instruction sets with the same flags', () => {
    const cmake = fromCmake(readFileSync(`${root}CMakeLists.txt`, 'utf8'));
    const gyp = fromGyp(readFileSync(`${root}binding.gyp`, 'utf8'));
    expect(cmake.size).toBeGreaterThan(6);
    expect(Object.fromEntries([...gyp].sort())).toEqual(Object.fromEntries([...cmake].sort()));
  });
});
