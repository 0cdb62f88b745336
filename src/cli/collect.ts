import { statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { fileError, usageError, withoutPath } from '../errors.js';
import type { PhotoRecord } from '../export/records.js';
import { isFolder } from '../files.js';
import { isId, type WorkPlan } from '../fleet/chunk.js';
import type { FleetQueue } from '../fleet/queue.js';
import { readResult, resultPath } from '../fleet/result.js';
import { counted, printable, printError } from './print.js';
import { addQueueOptions, type QueueOptions, withQueue } from './queue-options.js';
import { type Told, writeSorted } from './sorted-file.js';

interface CollectOptions extends QueueOptions {
  out: string;
  remove?: boolean;
  redo?: boolean;
}

/** Adds `spiking-yolo collect`. */
export function addCollectCommand(program: Command): void {
  const command = program
    .command('collect')
    .description('join the results of a queue’s workers, each photo once, sorted by path (docs/fleet.md)')
    .argument(
      '<dir>',
      'folder of the results (--out of the workers; of several folders put the files into one)',
    )
    .requiredOption('--out <file>', 'file to write: JSON lines, as detect --format ndjson writes them')
    .option('--redo', 'put chunks that are done, but whose results are not in DIR, back into the queue')
    .option('--remove', 'remove the queue from Redis when nothing is left to do');
  addQueueOptions(command);
  command.addHelpText(
    'after',
    `
Exit code 1 if a photo failed or is not done yet: stderr has each that failed. They are tried once more with: enqueue --failed

Example:
  spiking-yolo collect /srv/results --queue redis://queue.local --name archive --out found.ndjson`,
  );
  command.action(async (folder: string, options: CollectOptions) => {
    process.exitCode = await collect(folder, options);
  });
}

/** A line of a result and when that was written. */
interface Line extends Told {
  at: number;
}

/** What is not there. */
interface Missing {
  /** Not done yet. */
  remaining: number;
  /** Done by these workers, but not in the folder. */
  elsewhere: number;
  places: Set<string>;
  /** Of those so many are to be done again. */
  again: number;
}

/** Most workers that are named. */
const MOST_PLACES = 10;

function writtenAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

/** True if any result is there: a folder without one is another folder, or not mounted. */
async function hasResults(queue: FleetQueue, folder: string): Promise<boolean> {
  for await (const { id } of queue.chunks()) if (writtenAt(resultPath(folder, id)) !== undefined) return true;
  return false;
}

/** Lines of all results that are there. */
async function* readResults(
  queue: FleetQueue,
  plan: WorkPlan,
  folder: string,
  missing: Missing,
  redo: boolean,
): AsyncGenerator<Line> {
  for await (const { id, photos, place } of queue.chunks()) {
    const path = resultPath(folder, id);
    const at = isId(id) ? writtenAt(path) : undefined;
    const records = at === undefined ? undefined : await readResult(path, plan, id);
    if (records) {
      for (const record of records) yield { record, at: at! };
      continue;
    }
    if (at !== undefined)
      printError(`${path}: is damaged, or another chunk's result${redo ? '' : '; do it again with --redo'}`);
    if (redo && (await queue.redo(id, photos))) missing.again += photos;
    if (at === undefined && place === undefined) missing.remaining += photos;
    else missing.elsewhere += photos;
    if (place !== undefined && missing.places.size < MOST_PLACES) missing.places.add(place);
  }
}

/** Of what is told of a photo what counts: what was found, and of that the latest. One that failed is said on stderr. */
function latest(told: [Line, ...Line[]]): PhotoRecord {
  const found = told.filter(({ record }) => !record.error);
  const { record } = (found.length > 0 ? found : told).reduce((best, line) =>
    line.at > best.at ? line : best,
  );
  if (record.error) printError(`${record.path}: ${withoutPath(record.path, record.error.message)}`);
  return record;
}

async function collect(folder: string, given: CollectOptions): Promise<number> {
  const { out, remove = false, redo = false } = given;
  if (isId(basename(out).replace(/\.ndjson$/, '')))
    throw usageError(`--out ${out} is the name of a chunk's result; name another file`);
  if (!(await isFolder(folder))) throw fileError(`${folder}: there is no such folder`);
  return withQueue(given, async (queue) => {
    const plan = await queue.plan();
    if (!plan) throw queue.absent();
    const { total } = await queue.status();
    if (redo && !(await hasResults(queue, folder)))
      throw usageError(
        `${folder}: has no result of the queue ${queue.name}; if all are lost, enqueue --drop and enqueue again`,
      );
    const missing: Missing = { remaining: 0, elsewhere: 0, places: new Set(), again: 0 };
    const results = readResults(queue, plan, folder, missing, redo);
    const { photos, failures } = await writeSorted(out, results, latest);
    const { remaining, elsewhere, places, again } = missing;
    const parts = [
      counted(photos, 'photo'),
      ...(failures > 0 ? [`${failures} of them failed`] : []),
      ...(remaining > 0 ? [`${remaining} are not done yet`] : []),
      ...(elsewhere > 0
        ? [
            `results of ${elsewhere} are not in ${folder} (made by ${printable([...places].join(', '))}${redo ? '' : '; if they are lost: --redo'})`,
          ]
        : []),
      ...(again > 0 ? [`${again} are to be done again`] : []),
    ];
    process.stdout.write(`${out}: ${parts.join(', ')}\n`);
    const whole = remaining + elsewhere === 0;
    if (remove && !(whole && (await queue.remove(total))))
      process.stderr.write(`the queue ${queue.name} stays: not everything is there\n`);
    return whole && failures === 0 ? 0 : 1;
  });
}
