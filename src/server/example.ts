import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import { Refusal } from './request.js';

/** Where `npm run build:web` writes the browser's page; a package that is installed has none. */
const FOLDER = fileURLToPath(new URL('../../examples/web/dist/', import.meta.url));

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
  '.jpg': 'image/jpeg',
  '.safetensors': 'application/octet-stream',
};

/**
 * Serves the browser's page under `/web/`, where it has been built: the files that are there when the server starts, by their names,
 * so that no request names a path. False where it has not.
 */
export function serveExample(app: FastifyInstance): boolean {
  if (!existsSync(join(FOLDER, 'index.html'))) return false;
  const files = new Map<string, string>();
  for (const file of readdirSync(FOLDER, { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath, file.name);
    const name = path.slice(FOLDER.length).split(sep).join('/');
    if (file.isFile() && extname(name) in TYPES) files.set(name === 'index.html' ? '' : name, path);
  }
  app.get('/web', async (_request, reply) => reply.redirect('/web/'));
  app.get<{ Params: { '*': string } }>('/web/*', async (request, reply) => {
    const path = files.get(request.params['*']) ?? '';
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) throw new Refusal(404, 'the page has no such file');
    return reply
      .type(TYPES[extname(path)]!)
      .header('Content-Length', found.size)
      .send(createReadStream(path));
  });
  return true;
}
