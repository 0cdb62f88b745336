// Compiles the native addon when the package is installed: with cmake-js, or with node-gyp where cmake is missing.
// Nothing is downloaded. Without a toolchain the WASM kernel takes over, so this never fails an installation.
import { spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
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
  return tellingLine(`${stdout}\n${stderr}`) ?? error?.message ?? `exit code ${status}`;
}

/** The line that says why a build failed: node-gyp puts its reason behind a heading that says only that it failed. */
function tellingLine(output) {
  const lines = output.split('\n').map((line) => line.replace(/^.*gyp ERR! /, '').trim());
  const reasons = [/Could not find any|not found|No such file/i, /\berror\b[: ]\s*\S/i, /error/i];
  for (const reason of reasons) {
    const line = lines.find((text) => reason.test(text) && !/^(configure|build) error$/.test(text));
    if (line) return line.slice(0, 200);
  }
  return undefined;
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

const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'spiking_yolo.node');

/** Why an addon does not load in a process of its own, in the loader's words; undefined if it does. */
function loadFailure(addon) {
  const { status, signal, stderr, error } = spawnSync(
    process.execPath,
    ['-e', 'require(process.argv[1])', addon],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  );
  if (status === 0) return undefined;
  const reason =
    stderr?.split('\n').find((line) => /^\w*Error/.test(line)) ??
    error?.message ??
    (signal ? `it ends with ${signal}` : `exit code ${status}`);
  return reason.trim().slice(0, 300);
}

const prebuiltFailure = existsSync(prebuilt) ? loadFailure(prebuilt) : 'none came with the package';
if (prebuiltFailure === undefined) {
  console.log('spiking-yolo: the native addon came prebuilt.');
} else {
  if (existsSync(prebuilt))
    console.log(
      `spiking-yolo: the prebuilt native addon does not load here (${prebuiltFailure}); compiling it.`,
    );
  // out of the way: one that crashes would take every command with it
  if (existsSync(prebuilt)) renameSync(prebuilt, `${prebuilt}.unusable`);
  const failure = compile() ?? loadFailure(built);
  console.log(
    failure
      ? `spiking-yolo: no native addon (${failure}); the WASM kernel is in charge.`
      : 'spiking-yolo: the native addon is built.',
  );
}
