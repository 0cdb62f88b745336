import { dirname } from 'node:path';
import { photoOf } from '../export/detected-photo.js';
import { isFailure, type PhotoRecord } from '../export/records.js';
import { groupedBy, sortedBy } from '../external-sort.js';
import { makeFolder, writeWhole } from '../files.js';

/** What is told of a photo, and whatever decides which of several counts. */
export interface Told {
  record: PhotoRecord;
}

/**
 * Writes one record of each photo, sorted by path, as a file of JSON lines, whole or not at all; gives how many they are and how many of them
 * failed. Memory does not grow with their number. Throws `FILE`.
 *
 * @param choose of all that is told of one photo, in the order that it came
 */
export async function writeSorted<T extends Told>(
  out: string,
  told: AsyncIterable<T>,
  choose: (told: [T, ...T[]]) => PhotoRecord,
): Promise<{ photos: number; failures: number }> {
  const folder = dirname(out);
  await makeFolder(folder);
  const photo = ({ record }: T) => photoOf(record);
  async function* chosen(): AsyncGenerator<PhotoRecord> {
    for await (const group of groupedBy(sortedBy(told, photo, { folder }), photo)) yield choose(group);
  }
  let photos = 0;
  let failures = 0;
  async function* lines(): AsyncGenerator<string> {
    for await (const record of sortedBy(chosen(), ({ path }) => path, { folder })) {
      photos++;
      if (isFailure(record)) failures++;
      yield `${JSON.stringify(record)}\n`;
    }
  }
  await writeWhole(out, lines());
  return { photos, failures };
}
