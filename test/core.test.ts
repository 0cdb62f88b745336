import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from './support/shared.js';

/** Every module that a source file reaches through imports and exports. */
function reached(file: string, seen = new Map<string, string[]>()): Map<string, string[]> {
  if (seen.has(file)) return seen;
  const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  // type-only imports leave no trace in the JavaScript
  const imports = [...text.matchAll(/(?:import|export)\s+(?!type\s)[^;]*?from\s+'([^']+)'/g)].map(
    (match) => match[1]!,
  );
  const dynamic = [...text.matchAll(/import\('([^']+)'\)/g)].map((match) => match[1]!);
  const all = [...imports, ...dynamic];
  seen.set(
    file,
    all.filter((name) => !name.startsWith('.')),
  );
  for (const name of all) {
    if (name.startsWith('.')) reached(join(dirname(file), name.replace(/\.js$/, '.ts')), seen);
  }
  return seen;
}

it.each(['core', 'web/index', 'web/worker'])('%s imports no Node module and no package', (name) => {
  const modules = reached(join(root, `src/${name}.ts`));
  expect(modules.size).toBeGreaterThan(name === 'web/index' ? 5 : 20);
  expect([...modules].filter(([, packages]) => packages.length > 0)).toEqual([]);
  for (const file of modules.keys()) {
    const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    expect(code, file).not.toMatch(/\b(process|Buffer|require)\b/);
  }
});
