/**
 * Loaded before a server (node --import): a picture whose packed pixels are this long ends the thread that decodes it, as a defect
 * of a decoder might.
 */
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import zlib from 'node:zlib';

const length = Number(process.env.KILLING_LENGTH);
const { inflateSync } = zlib;
zlib.inflateSync = (packed, ...options) => {
  if (!isMainThread && packed.length === length) process.exit(3);
  return inflateSync(packed, ...options);
};
syncBuiltinESMExports();
