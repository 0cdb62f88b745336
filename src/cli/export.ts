import { join } from 'node:path';
import type { Command } from 'commander';
import { readModel } from '../detector.js';
import { usageError } from '../errors.js';
import { type DetectedPhoto, photoOf } from '../export/detected-photo.js';
import { classNames, type ExportedFiles, toCoco, toVoc, toYolo } from '../export/formats.js';
import { type PhotoRecord, readRecords } from '../export/records.js';
import { readText, writeWhole } from '../files.js';
import { parseNames } from '../formats/darknet/names.js';
import { decodeModel } from '../model/model-file.js';
import { choice } from './options.js';
import { printError } from './print.js';

const FORMATS = ['coco', 'voc', 'yolo'] as const;

interface ExportOptions {
  format: (typeof FORMATS)[number];
  out: string;
  names?: string;
  scores?: boolean;
}

/** Adds `spiking-yolo export`. */
export function addExportCommand(program: Command): void {
  program
    .command('export')
    .description('turn results (ndjson) into the files of COCO, PASCAL VOC or YOLO')
    .argument('<file>', 'written by detect --format ndjson')
    .addOption(choice('--format <name>', 'whose files', FORMATS).makeOptionMandatory())
    .requiredOption('--out <dir>', 'folder to write into')
    .option(
      '--names <file>',
      'all class names, one a line (default: the model’s, if it is still there, else those that occur)',
    )
    .option('--scores', 'yolo: add the score as a sixth column')
    .addHelpText(
      'after',
      `
coco: results.json (for its evaluation) and annotations.json (a data set), categories counted from 1, or as COCO itself
counts its 80 classes (1 to 90) where they are these; voc: comp4_det_test_<class>.txt; yolo: a text file a photo, and
classes.txt. Of a photo that occurs several times the last line counts. Photos that failed are reported and left out (exit code 1).

Examples:
  spiking-yolo detect photos/ --conf 0.005 --out found.ndjson
  spiking-yolo export found.ndjson --format coco --out coco`,
    )
    .action(async (file: string, options: ExportOptions) => {
      process.exitCode = await exportRecords(file, options);
    });
}

/** Class names of the one model that all photos were looked at with, if it can be read. */
async function namesOf(models: readonly (string | undefined)[]): Promise<readonly string[] | undefined> {
  const [model] = models;
  if (models.length !== 1 || model === undefined) return undefined;
  try {
    return decodeModel((await readModel({ model })).bytes).classes;
  } catch {
    // the file has moved, or was of darknet: the classes that occur have to do
    return undefined;
  }
}

async function exportRecords(
  file: string,
  { format, out, names, scores = false }: ExportOptions,
): Promise<number> {
  if (scores && format !== 'yolo') throw usageError('--scores is for yolo; coco and voc have them anyway');
  let given: readonly string[] | undefined =
    names === undefined ? undefined : parseNames(await readText(names));
  // of a photo that was written anew the last line counts
  const records = new Map<string, PhotoRecord>();
  for await (const record of readRecords(file)) records.set(photoOf(record), record);
  const photos: DetectedPhoto[] = [];
  let failures = 0;
  const models = new Set<string | undefined>();
  for (const record of records.values()) {
    if (record.error) {
      failures++;
      printError(`${record.path}: left out, it had failed: ${record.error.message}`);
    } else {
      models.add(record.model);
      photos.push(record);
    }
  }
  given ??= await namesOf([...models]);
  const classes = classNames(photos, given);
  const files: ExportedFiles =
    format === 'coco'
      ? toCoco(photos, classes)
      : format === 'voc'
        ? toVoc(photos, classes)
        : toYolo(photos, classes, scores);
  for (const [name, text] of files) await writeWhole(join(out, name), text);
  process.stdout.write(`${out}: ${files.size} files for ${photos.length} photos\n`);
  return failures > 0 ? 1 : 0;
}
