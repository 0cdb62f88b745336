/** Sorting more than memory holds: sorted runs on disk, merged. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explainFileError, WholeFile } from './files.js';
import { readJsonLines } from './lines.js';

/** How {@link sortedBy} sorts. */
export interface SortOptions {
  /** Folder that runs are written below. Default: the system's for temporary files. */
  folder?: string;
  /** Text that is held in memory, in UTF-16 units: what is longer goes to disk in runs of about this. */
  budget?: number;
  /** Most runs that are read at once. */
  fanIn?: number;
}

/** A value's key and the value: what a run's lines hold, as JSON. */
type Entry = [key: string, value: unknown];
/** The same in memory. */
interface Held {
  key: string;
  line: string;
}

const BUDGET = 2 ** 24;
const FAN_IN = 64;

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Values that JSON can hold, sorted by a key (by UTF-16 units, as `<` does), those of one key in the order that they came in. Memory does not
 * grow with their number. Throws `FILE` where a run cannot be written; nothing is left on disk.
 */
export async function* sortedBy<T>(
  values: AsyncIterable<T>,
  keyOf: (value: T) => string,
  { folder = tmpdir(), budget = BUDGET, fanIn = FAN_IN }: SortOptions = {},
): AsyncGenerator<T> {
  let entries: Held[] = [];
  let length = 0;
  const runs = new Runs(folder);
  try {
    for await (const value of values) {
      const key = keyOf(value);
      const line = JSON.stringify([key, value] satisfies Entry);
      entries.push({ key, line });
      length += key.length + line.length;
      if (length < budget) continue;
      await runs.add(linesOf(inOrder(entries)));
      entries = [];
      length = 0;
    }
    await runs.reduce(fanIn);
    for await (const [, value] of runs.merged(inOrder(entries))) yield value as T;
  } finally {
    await runs.remove();
  }
}

const inOrder = (entries: Held[]) => entries.sort((a, b) => compare(a.key, b.key));

/** Sorted files in a folder of their own, in the order that their values came in. */
class Runs {
  private readonly parent: string;
  private folder: string | undefined;
  private files: string[] = [];
  private made = 0;
  /** A process that is ended by a signal leaves nothing, either. */
  private readonly removeNow = () => rmSync(this.folder!, { recursive: true, force: true });

  constructor(parent: string) {
    this.parent = parent;
  }

  private async makeFolder(): Promise<string> {
    if (this.folder === undefined) {
      try {
        this.folder = await mkdtemp(join(this.parent, '.sorting-'));
      } catch (error) {
        throw explainFileError('write in it', this.parent, error);
      }
      process.once('exit', this.removeNow);
    }
    return this.folder;
  }

  async add(lines: Iterable<string> | AsyncIterable<string>): Promise<void> {
    const path = join(await this.makeFolder(), `${this.made++}.ndjson`);
    const file = await WholeFile.create(path);
    await file.write(inPieces(lines));
    await file.commit();
    this.files.push(path);
  }

  /** Merges neighbours until at most `most` runs are left. */
  async reduce(most: number): Promise<void> {
    while (this.files.length > most) {
      const before = this.files;
      this.files = [];
      for (let at = 0; at < before.length; at += most) {
        const group = before.slice(at, at + most);
        if (group.length === 1) this.files.push(...group);
        else await this.add(linesAgain(mergeRuns(group.map(readRun))));
        if (group.length > 1) await Promise.all(group.map((path) => rm(path)));
      }
    }
  }

  /** All values; `last` are those that came in last. */
  merged(last: Iterable<Held>): AsyncGenerator<Entry> {
    return mergeRuns([...this.files.map(readRun), parsed(last)]);
  }

  async remove(): Promise<void> {
    if (this.folder === undefined) return;
    process.off('exit', this.removeNow);
    await rm(this.folder, { recursive: true, force: true });
  }
}

function* linesOf(entries: Iterable<Held>): Generator<string> {
  for (const { line } of entries) yield line;
}

async function* linesAgain(entries: AsyncIterable<Entry>): AsyncGenerator<string> {
  for await (const entry of entries) yield JSON.stringify(entry);
}

async function* parsed(entries: Iterable<Held>): AsyncGenerator<Entry> {
  for (const { line } of entries) yield JSON.parse(line) as Entry;
}

/** Lines in pieces: one write a line would take longer than the sorting. */
async function* inPieces(lines: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let piece = '';
  for await (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < 2 ** 16) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

const readRun = (path: string) => readJsonLines(path) as AsyncGenerator<Entry>;

/** Of some sorted runs one; of equal keys the earlier run's come first. */
async function* mergeRuns(runs: AsyncGenerator<Entry>[]): AsyncGenerator<Entry> {
  const heads = await Promise.all(runs.map(async (run) => (await run.next()).value as Entry | undefined));
  for (;;) {
    let least = -1;
    for (const [i, head] of heads.entries())
      if (head && (least < 0 || compare(head[0], heads[least]![0]) < 0)) least = i;
    if (least < 0) return;
    yield heads[least]!;
    heads[least] = (await runs[least]!.next()).value as Entry | undefined;
  }
}

/** Values of one key after another, of values that are sorted by it. */
export async function* groupedBy<T>(
  values: AsyncIterable<T>,
  keyOf: (value: T) => string,
): AsyncGenerator<[T, ...T[]]> {
  let group: [T, ...T[]] | undefined;
  for await (const value of values) {
    if (group && keyOf(group[0]) === keyOf(value)) {
      group.push(value);
      continue;
    }
    if (group) yield group;
    group = [value];
  }
  if (group) yield group;
}
