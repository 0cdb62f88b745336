/** Loaded before a worker (node --import): opening a photo of this name ends the process, as a kernel out of memory might. */
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { open } = files;
files.open = (path, ...options) => {
  if (String(path).endsWith('killer.bmp')) process.kill(process.pid, 'SIGKILL');
  return open(path, ...options);
};
syncBuiltinESMExports();
