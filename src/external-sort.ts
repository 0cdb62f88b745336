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

/** A value's key and the value as JSON: what a run's lines hold. */
type Entry = [key: string, json: string];

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
  let entries: Entry[] = [];
  let length = 0;
  const runs = new Runs(folder);
  try {
    for await (const value of values) {
      const entry: Entry = [keyOf(value), JSON.stringify(value)];
      entries.push(entry);
      length += entry[0].length + entry[1].length;
      if (length < budget) continue;
      await runs.add(inOrder(entries));
      entries = [];
      length = 0;
    }
    await runs.reduce(fanIn);
    for await (const [, json] of runs.merged(inOrder(entries))) yield JSON.parse(json) as T;
  } finally {
    await runs.remove();
  }
}

const inOrder = (entries: Entry[]) => entries.sort(([a], [b]) => compare(a, b));

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

  async add(entries: Iterable<Entry> | AsyncIterable<Entry>): Promise<string> {
    const path = join(await this.makeFolder(), `${this.made++}.ndjson`);
    const file = await WholeFile.create(path);
    await file.write(linesOf(entries));
    await file.commit();
    this.files.push(path);
    return path;
  }

  /** Merges neighbours until at most `most` runs are left. */
  async reduce(most: number): Promise<void> {
    while (this.files.length > most) {
      const before = this.files;
      this.files = [];
      for (let at = 0; at < before.length; at += most) {
        const group = before.slice(at, at + most);
        if (group.length === 1) this.files.push(...group);
        else await this.add(mergeRuns(group.map(readRun)));
        if (group.length > 1) await Promise.all(group.map((path) => rm(path)));
      }
    }
  }

  /** All values; `last` are those that came in last. */
  merged(last: Iterable<Entry>): AsyncGenerator<Entry> {
    return mergeRuns([
      ...this.files.map(readRun),
      (async function* () {
        yield* last;
      })(),
    ]);
  }

  async remove(): Promise<void> {
    if (this.folder === undefined) return;
    process.off('exit', this.removeNow);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Lines in pieces: one write a line would take longer than the sorting. */
async function* linesOf(entries: Iterable<Entry> | AsyncIterable<Entry>): AsyncGenerator<string> {
  let piece = '';
  for await (const entry of entries) {
    piece += `${JSON.stringify(entry)}\n`;
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
