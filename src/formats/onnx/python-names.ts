import { namesError } from '../../errors.js';

/** Most characters of names that are read. */
const MOST_CHARACTERS = 2 ** 20;

/**
 * Class names as Python writes a dict of them, `{0: 'person', 1: "it's"}`, or a list. Read, not run; throws `NAMES` for
 * anything else, and where a number or a name is missing.
 */
export function parsePythonNames(text: string): string[] {
  if (text.length > MOST_CHARACTERS)
    throw namesError(
      `the file's "names" have ${text.length} characters; expected at most ${MOST_CHARACTERS}`,
    );
  const wrong = (at: number) =>
    namesError(`the file's "names" are not a dict of class names, at "${text.slice(at, at + 20)}"`);
  const item = /\s*(?:(\d{1,5})\s*:\s*)?(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/y;
  const trimmed = text.trim();
  const [open, close] = [trimmed[0], trimmed.at(-1)];
  if (!((open === '{' && close === '}') || (open === '[' && close === ']'))) throw wrong(0);
  const body = trimmed.slice(1, -1).trimEnd().replace(/,$/, '').trimEnd();
  const names: string[] = [];
  for (item.lastIndex = 0; item.lastIndex < body.length; ) {
    const at = item.lastIndex;
    const match = item.exec(body);
    if (!match) throw wrong(at + 1);
    const [, key, single, double] = match;
    if ((key === undefined) !== (open === '[')) throw wrong(at + 1);
    const index = key === undefined ? names.length : Number(key);
    if (names[index] !== undefined) throw namesError(`the file's "names" have the class ${index} twice`);
    const name = unescaped((single ?? double)!);
    if (name.trim() === '') throw namesError(`the file's "names" have no name for the class ${index}`);
    names[index] = name;
  }
  const missing = Array.from(names as (string | undefined)[]).indexOf(undefined);
  if (missing >= 0 || names.length === 0)
    throw namesError(`the file's "names" lack the class ${Math.max(missing, 0)}`);
  return names;
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r' };

/** A Python string's escapes. */
const unescaped = (text: string) =>
  text.replace(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)/gi, (_, code: string) =>
    code.length > 1 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
  );
