import { describe, expect, it } from 'vitest';
import { parsePythonNames } from '../../../src/formats/onnx/python-names.js';

describe('class names as Python writes them', () => {
  it('reads dicts and lists, quotes and escapes', () => {
    expect(parsePythonNames(`{0: 'person', 1: "it's", 2: 'caf\\xe9 \\'x\\''}`)).toEqual([
      'person',
      "it's",
      "café 'x'",
    ]);
    expect(parsePythonNames(`{1: 'b', 0: 'a',}`)).toEqual(['a', 'b']);
    expect(parsePythonNames(`['a', "b"]`)).toEqual(['a', 'b']);
    expect(parsePythonNames(`{0:'traffic light'}`)).toEqual(['traffic light']);
  });

  it.each([
    '',
    '{}',
    '[]',
    `{0: 'a'`,
    `{0: 'a', 2: 'c'}`,
    `{0: 'a', 0: 'b'}`,
    `{0: a}`,
    `{'a': 0}`,
    `{0: 'a' 1: 'b'}`,
    `{0: 'a', 'b'}`,
    `[0: 'a']`,
    `{0: 'unclosed}`,
    `{0: __import__('os')}`,
    `{99999: 'x'}`,
    `{0: ''}`,
    `{0: 'a', 1: ' '}`,
  ])('refuses %s', (text) => {
    expect(() => parsePythonNames(text)).toThrow(expect.objectContaining({ code: 'NAMES' }));
  });

  it('reads long texts to their end, or says that they are too long', () => {
    const name = 'x'.repeat(900_000);
    expect(parsePythonNames(`{0: '${name}'${' '.repeat(100_000)}}`)).toEqual([name]);
    for (const text of [`{0: 'a'${' '.repeat(500_000)}x}`, `{0: '${name}${name}'}`])
      expect(() => parsePythonNames(text)).toThrow(expect.objectContaining({ code: 'NAMES' }));
  });
});
