import { dirname } from 'node:path';
import { isFailure, type PhotoRecord } from '../export/records.js';
import { sortedBy } from '../external-sort.js';
import { writeWhole } from '../files.js';

/** Writes records, sorted by path, as a file of JSON lines, whole or not at all; gives how many they are and how many failed. Throws `FILE`. */
export async function writeSorted(
  out: string,
  records: AsyncIterable<PhotoRecord>,
): Promise<{ photos: number; failures: number }> {
  let photos = 0;
  let failures = 0;
  async function* lines(): AsyncGenerator<string> {
    for await (const record of sortedBy(records, ({ path }) => path, { folder: dirname(out) })) {
      photos++;
      if (isFailure(record)) failures++;
      yield `${JSON.stringify(record)}\n`;
    }
  }
  await writeWhole(out, lines());
  return { photos, failures };
}
