// Builds prebuilds/linux-x64 and prebuilds/linux-arm64 with cmake and Debian's compilers for both
// (apt-get install cmake g++ g++-aarch64-linux-gnu g++-x86-64-linux-gnu), so that a package carries the addon for boards
// without one. Every target whose compiler is missing is an error.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const headers = createRequire(import.meta.url)('node-api-headers').include_dir;

const TARGETS = {
  'linux-x64': { processor: 'x86_64', compiler: 'x86_64-linux-gnu-g++' },
  'linux-arm64': { processor: 'aarch64', compiler: 'aarch64-linux-gnu-g++' },
};

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? `exit code ${status}`}`);
}

const wanted = process.argv.slice(2);
for (const [target, { processor, compiler }] of Object.entries(TARGETS)) {
  if (wanted.length > 0 && !wanted.includes(target)) continue;
  const work = mkdtempSync(join(tmpdir(), 'prebuild-'));
  try {
    run('cmake', [
      '-S',
      root,
      '-B',
      work,
      '-DCMAKE_BUILD_TYPE=Release',
      '-DCMAKE_SYSTEM_NAME=Linux',
      `-DCMAKE_SYSTEM_PROCESSOR=${processor}`,
      `-DCMAKE_CXX_COMPILER=${compiler}`,
      '-DCMAKE_SHARED_LINKER_FLAGS=-static-libstdc++ -static-libgcc -s',
      `-DCMAKE_JS_INC=${headers}`,
    ]);
    run('cmake', ['--build', work, '--parallel', '2']);
    mkdirSync(join(root, 'prebuilds', target), { recursive: true });
    copyFileSync(join(work, 'spiking_yolo.node'), join(root, 'prebuilds', target, 'spiking_yolo.node'));
    console.log(`prebuilds/${target}/spiking_yolo.node`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
