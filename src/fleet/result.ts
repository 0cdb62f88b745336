/** Files of results: one for each chunk, named after its job. */
import { photoOf } from '../export/detected-photo.js';
import { type PhotoRecord, readRecords } from '../export/records.js';
import { isIdOf, type WorkPlan } from './chunk.js';

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
