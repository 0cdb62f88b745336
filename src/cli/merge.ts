import type { Command } from 'commander';
import { fileError } from '../errors.js';
import { photoOf } from '../export/detected-photo.js';
import { isFailure, type PhotoRecord, readRecords } from '../export/records.js';
import { writeWhole } from '../files.js';
import { refuseOverwriting } from './options.js';

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
const essence = ({ elapsedMs: _, backend: __, path: ___, ...rest }: PhotoRecord & { error?: undefined }) =>
  JSON.stringify(rest);

async function merge(files: readonly string[], out: string): Promise<number> {
  await refuseOverwriting({ out }, files);
  const merged = new Map<string, { record: PhotoRecord; file: string }>();
  for (const file of files) {
    // within a file the last line of a photo counts: a watched one that was written anew
    const last = new Map<string, PhotoRecord>();
    for await (const record of readRecords(file)) last.set(photoOf(record), record);
    for (const [photo, record] of last) {
      const known = merged.get(photo);
      if (known && !isFailure(known.record)) {
        if (!record.error && essence(record) !== essence(known.record as typeof record))
          throw fileError(`${record.path}: ${known.file} and ${file} tell of it differently`);
        continue;
      }
      merged.set(photo, { record, file });
    }
  }
  const records = [...merged.values()].map(({ record }) => record).sort((a, b) => (a.path < b.path ? -1 : 1));
  await writeWhole(out, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const failures = records.filter(isFailure).length;
  process.stdout.write(
    `${out}: ${records.length} photos${failures > 0 ? `, ${failures} of them failed` : ''}\n`,
  );
  return failures > 0 ? 1 : 0;
}
