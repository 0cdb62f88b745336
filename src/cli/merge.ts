import type { Command } from 'commander';
import { fileError } from '../errors.js';
import { type PhotoRecord, readRecords } from '../export/records.js';
import { refuseOverwriting } from './options.js';
import { type Told, writeSorted } from './sorted-file.js';

/** Adds `spiking-yolo merge`. */
export function addMergeCommand(program: Command): void {
  program
    .command('merge')
    .description('join the ndjson files of several machines or runs, each photo once, sorted by path')
    .argument('<files...>', 'files written by detect --format ndjson')
    .requiredOption('--out <file>', 'file to write')
    .addHelpText(
      'after',
      `
Of a photo that occurs several times in a file (a watched one that was written anew) the last line counts. One that failed in
one file and was done in another counts as done; one that two files tell of differently (another model, other settings) is
an error. Exit code 1 if photos remain that failed everywhere.

Example:
  spiking-yolo merge part1.ndjson part2.ndjson --out found.ndjson`,
    )
    .action(async (files: string[], { out }: { out: string }) => {
      process.exitCode = await merge(files, out);
    });
}

/** What was found, apart from how long it took, where, and how the path was spelt. */
const essence = ({ elapsedMs: _, backend: __, path: ___, ...rest }: Success) => JSON.stringify(rest);

type Success = PhotoRecord & { error?: undefined };

interface Line extends Told {
  file: string;
}

/** Lines of files, one file after another. */
async function* readAll(files: readonly string[]): AsyncGenerator<Line> {
  for (const file of files) for await (const record of readRecords(file)) yield { record, file };
}

/** What counts of the lines about one photo, in the order of the files; throws `FILE` if two files tell of it differently. */
function choose(told: readonly Line[]): PhotoRecord {
  // within a file the last line of a photo counts: a watched one that was written anew
  const last = [...new Map(told.map((line) => [line.file, line])).values()];
  const [first, ...others] = last.filter(({ record }) => !record.error);
  if (!first) return last.at(-1)!.record;
  for (const { record, file } of others)
    if (essence(record as Success) !== essence(first.record as Success))
      throw fileError(`${record.path}: ${first.file} and ${file} tell of it differently`);
  return first.record;
}

async function merge(files: readonly string[], out: string): Promise<number> {
  await refuseOverwriting({ out }, files);
  const { photos, failures } = await writeSorted(out, readAll(files), choose);
  process.stdout.write(`${out}: ${photos} photos${failures > 0 ? `, ${failures} of them failed` : ''}\n`);
  return failures > 0 ? 1 : 0;
}
