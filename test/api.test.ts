import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Application,
  type DeclarationReflection,
  ReflectionKind,
  type SignatureReflection,
  TSConfigReader,
} from 'typedoc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './support/shared.js';

interface Documented {
  name: string;
  examples: string[];
  summary: string;
}

let documented: Documented[];
let warnings: string[];
let folder: string;

const examplesOf = ({ comment }: DeclarationReflection | SignatureReflection) =>
  (comment?.getTags('@example') ?? []).map(({ content }) =>
    content
      .map(({ text }) => text)
      .join('')
      .replace(/^\s*```ts\n|\n```\s*$/g, ''),
  );
const summaryOf = ({ comment }: DeclarationReflection | SignatureReflection) =>
  (comment?.summary ?? []).map(({ text }) => text).join('');

beforeAll(async () => {
  warnings = [];
  const app = await Application.bootstrap({ tsconfig: join(root, 'tsconfig.json') }, [new TSConfigReader()]);
  app.logger.warn = (text: string) => warnings.push(text);
  const project = (await app.convert())!;
  app.validate(project);
  const found = new Map<string, Documented>();
  const add = (name: string, from: DeclarationReflection | SignatureReflection) =>
    found.set(name, { name, examples: examplesOf(from), summary: summaryOf(from) });
  for (const one of project.getReflectionsByKind(ReflectionKind.Function) as DeclarationReflection[])
    for (const signature of one.signatures ?? []) add(one.name, signature);
  for (const one of project.getReflectionsByKind(ReflectionKind.Class) as DeclarationReflection[]) {
    add(one.name, one);
    if (one.name !== 'Detector') continue;
    for (const method of one.children ?? [])
      for (const signature of method.kind === ReflectionKind.Method ? (method.signatures ?? []) : [])
        if (!method.name.startsWith('[')) add(`Detector.${method.name}`, signature);
  }
  documented = [...found.values()];
  // examples read files of the package and write beside them
  folder = mkdtempSync(join(tmpdir(), 'examples-'));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs an example as a module of its own, in a folder that looks like the package's. */
function execute(
  code: string,
  where: string,
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-'], { cwd: where });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  child.stdin.end(code);
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
}

describe('the API documentation', () => {
  it('is complete: every type that is mentioned is in it', () => {
    expect(warnings).toEqual([]);
  });

  it('says of every public function and class what it does, with an example', () => {
    expect(documented.length).toBeGreaterThan(45);
    for (const { name, examples, summary } of documented) {
      expect(summary.length, name).toBeGreaterThan(10);
      expect(examples, name).not.toEqual([]);
    }
  });

  it('its examples run, and print what they say', async () => {
    const waiting = documented.flatMap(({ name, examples }) => examples.map((code) => ({ name, code })));
    const failures: string[] = [];
    let checked = 0;
    const lane = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const where = mkdtempSync(join(folder, 'one-'));
        for (const name of ['samples', 'models', 'dist', 'package.json', 'node_modules'])
          symlinkSync(join(root, name), join(where, name));
        const { status, stdout, stderr } = await execute(next.code, where);
        const expected = [...next.code.matchAll(/console\.log\(.*\);? ?}? \/\/ (.*)$/gm)].map(
          (match) => match[1]!,
        );
        checked += expected.length;
        const printed = stdout.trimEnd().split('\n');
        if (status !== 0 || !expected.every((line, i) => printed[i]?.startsWith(line)))
          failures.push(`${next.name}: exit ${status}, printed ${JSON.stringify(printed)}\n${stderr}`);
      }
    };
    await Promise.all([lane(), lane()]);
    expect(failures.join('\n')).toBe('');
    expect(checked).toBeGreaterThan(40);
  }, 300_000);
});
