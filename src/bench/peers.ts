import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { backendError, usageError } from '../errors.js';

/** What this can be compared with. */
const PEERS: readonly string[] = ['onnxruntime'];

/** The folder of a peer's scripts, which is installed on first use. Throws `USAGE` for one that is not known, `BACKEND`. */
export function peerFolder(name: string): string {
  if (!PEERS.includes(name)) throw usageError(`there is no peer "${name}"; expected ${PEERS.join(', ')}`);
  const folder = fileURLToPath(new URL('../../bench/peers/', import.meta.url));
  if (!existsSync(`${folder}package.json`))
    throw usageError('peers are measured in a checkout of the repository only');
  if (!existsSync(`${folder}node_modules`)) {
    const { status } = spawnSync('npm', ['ci', '--ignore-scripts'], { cwd: folder, stdio: ['ignore', 2, 2] });
    if (status !== 0) throw backendError(`installing ${folder} failed (npm ci --ignore-scripts)`);
  }
  return folder;
}
