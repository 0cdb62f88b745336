/** Files of results: one for each chunk, named after its job. */
import { join } from 'node:path';
import { photoOf } from '../export/detected-photo.js';
import { type PhotoRecord, readRecords } from '../export/records.js';
import { WholeFile } from '../files.js';
import { isIdOf, type WorkPlan } from './chunk.js';

/** Where a job's result is in a folder of results. */
export const resultPath = (folder: string, id: string) => join(folder, `${id}.ndjson`);

/** Writes a chunk's result, whole or not at all; throws `FILE`. Signals are the caller's. */
export async function writeResult(path: string, records: readonly PhotoRecord[]): Promise<void> {
  const file = await WholeFile.create(path);
  await file.write(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  await file.commit();
}

/**
 * A chunk's result; undefined if there is none that is whole: the id is that of the photos in their order, so that a file which
 * was torn, changed or put in another's place is known.
 */
export async function readResult(
  path: string,
  plan: WorkPlan,
  id: string,
): Promise<PhotoRecord[] | undefined> {
  const records: PhotoRecord[] = [];
  try {
    for await (const record of readRecords(path)) records.push(record);
  } catch {
    return undefined;
  }
  return isIdOf(id, plan, records.map(photoOf)) ? records : undefined;
}
