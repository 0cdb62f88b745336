import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JsonLinesFile, keepLines } from '../src/lines.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lines-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const all = async (file: JsonLinesFile) => {
  const values: unknown[] = [];
  for await (const value of file.values()) values.push(value);
  return values;
};

describe('JsonLinesFile', () => {
  it('gives back what was appended, before and after it is opened again', async () => {
    const path = join(folder, 'new', 'a.ndjson');
    const first = await JsonLinesFile.open(path);
    expect(first.empty).toBe(true);
    await first.append({ a: 'ä\n' });
    await first.close();
    const again = await JsonLinesFile.open(path);
    await again.append([2]);
    expect(await all(again)).toEqual([{ a: 'ä\n' }, [2]]);
    await again.close();
  });

  it.each([0, 1, 65536, 200_000])(
    'cuts a torn last line of %i bytes off, at the first append',
    async (size) => {
      const path = join(folder, 'torn');
      writeFileSync(path, '{"a":1}\n');
      appendFileSync(path, 'x'.repeat(size));
      const file = await JsonLinesFile.open(path);
      expect(await all(file)).toEqual([{ a: 1 }]);
      expect(readFileSync(path, 'utf8')).toHaveLength(8 + size);
      await file.append(2);
      expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n2\n');
      await file.close();
    },
  );

  it('names the line that is not JSON', async () => {
    const path = join(folder, 'bad');
    writeFileSync(path, '1\n\n{oops\n');
    const file = await JsonLinesFile.open(path);
    await expect(all(file)).rejects.toMatchObject({ code: 'FILE', message: /line 3 is not JSON/ });
    await file.close();
  });

  it('refuses folders and devices', async () => {
    await expect(JsonLinesFile.open(folder)).rejects.toMatchObject({ code: 'FILE' });
    if (existsSync('/dev/full'))
      await expect(JsonLinesFile.open('/dev/full')).rejects.toMatchObject({ code: 'FILE' });
  });
});

describe('keepLines', () => {
  const path = () => join(folder, 'kept');
  const isOdd = (value: unknown) => (value as number) % 2 === 1;

  it.each([
    ['drops what is not to be kept', '1\n2\n3\n', '1\n3\n'],
    ['drops a torn last line, too', '2\n1\n3', '1\n'],
    ['drops a torn last line alone', '1\n3', '1\n'],
    ['leaves a file alone in which all is well', '1\n 3\n', '1\n 3\n'],
  ])('%s', async (_, before, after) => {
    writeFileSync(path(), before);
    await keepLines(path(), isOdd);
    expect(readFileSync(path(), 'utf8')).toBe(after);
  });

  it('asks about every line before it changes anything', async () => {
    writeFileSync(path(), '2\n1\n4\n');
    const refuse = (value: unknown) => {
      if (value === 4) throw new Error('not this one');
      return isOdd(value);
    };
    await expect(keepLines(path(), refuse)).rejects.toThrow('not this one');
    expect(readFileSync(path(), 'utf8')).toBe('2\n1\n4\n');
  });
});
