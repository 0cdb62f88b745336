import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileError } from '../errors.js';
import { photoOf } from '../export/detected-photo.js';
import { differences } from '../export/recorded-settings.js';
import { checkRecord } from '../export/records.js';
import { startsWith } from '../files.js';
import { keepLines, readWholeLines } from '../lines.js';

/** Throws `FILE` for a file that is there and was not written by `detect --format ndjson`: it will not be touched. */
export async function checkOurs(out: string): Promise<void> {
  if (!(await startsWith(out, '{"path":')))
    throw fileError(`${out}: is there and no file of detect --format ndjson; name another file or delete it`);
}

/**
 * Photos that an ndjson file holds already, by their absolute paths; its failures and its torn last line are dropped. Throws `FILE`, the file as it
 * was, if it was made with another model or other settings.
 */
export async function resumeFrom(
  out: string,
  model: string | undefined,
  settings: object,
): Promise<Set<string>> {
  const done = new Set<string>();
  if (!existsSync(out)) return done;
  // of a photo the last line counts: if that is a failure, it is done again
  for await (const value of readWholeLines(out)) {
    const record = checkRecord(value, out);
    if (record.error) {
      done.delete(photoOf(record));
      continue;
    }
    if (record.model !== model)
      throw fileError(`${out}: was made with the model ${record.model}, not ${model}; name another file`);
    const differing = differences(record.settings ?? {}, settings);
    if (differing.length > 0)
      throw fileError(`${out}: was made with other settings (${differing.join(', ')}); name another file`);
    if (record.absolutePath === undefined && !isAbsolute(record.path))
      throw fileError(
        `${out}: was written by an older version, which did not record what folder paths like ${record.path} count from; name another file`,
      );
    done.add(photoOf(record));
  }
  await keepLines(out, (value) => {
    const record = checkRecord(value, out);
    return record.error === undefined && done.has(photoOf(record));
  });
  return done;
}
