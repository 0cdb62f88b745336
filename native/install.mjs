// Compiles the native addon when the package is installed: with cmake-js, or with node-gyp where cmake is missing.
// Nothing is downloaded. Without a toolchain the WASM kernel takes over, so this never fails an installation.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const built = join(root, 'build', 'Release', 'spiking_yolo.node');

const runs = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** Runs a build tool of Node's; returns why it failed, or undefined. */
function build(script, args) {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0 && existsSync(built)) return undefined;
  const lines = `${stdout}\n${stderr}`.split('\n');
  const telling =
    lines.find((line) => /error/i.test(line) && !/^\s*$/.test(line)) ??
    error?.message ??
    `exit code ${status}`;
  return telling.trim().slice(0, 200);
}

/** The running Node's own headers: beside it, or where npm was told. */
function headersFolder() {
  const candidates = [process.env.npm_config_nodedir, dirname(dirname(process.execPath))];
  return candidates.find((folder) => folder && existsSync(join(folder, 'include', 'node', 'node_api.h')));
}

/** node-gyp as npm carries it. */
function nodeGyp() {
  const beside = join(
    dirname(process.env.npm_execpath ?? ''),
    '..',
    'node_modules',
    'node-gyp',
    'bin',
    'node-gyp.js',
  );
  return [process.env.npm_config_node_gyp, beside].find((path) => path && existsSync(path));
}

function compile() {
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    (name) => name && runs(name, ['--version']),
  );
  if (!compiler) return 'no C++ compiler on PATH';
  if (!runs('make', ['--version']) && !runs('ninja', ['--version'])) return 'neither make nor ninja on PATH';
  let cmakeFailure = 'no cmake on PATH';
  if (runs('cmake', ['--version'])) {
    const script = join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js');
    const failure = build(script, ['compile', '--log-level', 'error', '--cxx', compiler]);
    if (!failure) return undefined;
    cmakeFailure = `cmake-js: ${failure}`;
  }
  const gyp = nodeGyp();
  const headers = headersFolder();
  if (!gyp || !headers)
    return `${cmakeFailure}; ${gyp ? "the running Node's headers are not installed" : 'node-gyp is not there'}`;
  const failure = build(gyp, ['rebuild', '--release', `--nodedir=${headers}`]);
  return failure && `${cmakeFailure}; node-gyp: ${failure}`;
}

if (existsSync(join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'spiking_yolo.node'))) {
  console.log('spiking-yolo: the native addon came prebuilt.');
} else {
  const failure = compile();
  console.log(
    failure
      ? `spiking-yolo: no native addon (${failure}); the WASM kernel is in charge.`
      : 'spiking-yolo: the native addon is built.',
  );
}
