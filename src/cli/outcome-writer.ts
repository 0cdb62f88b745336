import { once } from 'node:events';
import type { PhotoRecord } from '../export/records.js';
import { WholeFile } from '../files.js';
import { JsonLinesFile } from '../lines.js';
import { csvLine } from './csv.js';
import { printable } from './print.js';

export const OUTCOME_FORMATS = ['text', 'json', 'ndjson', 'csv'] as const;
export type OutcomeFormat = (typeof OUTCOME_FORMATS)[number];

/** The format asked for, else by the name of `--out`. */
export const formatOf = ({
  format,
  out,
}: {
  format?: OutcomeFormat | undefined;
  out?: string | undefined;
}): OutcomeFormat =>
  format ?? OUTCOME_FORMATS.find((name) => out?.toLowerCase().endsWith(`.${name}`)) ?? 'text';

/** Takes outcomes one after another. */
export interface OutcomeWriter {
  write(record: PhotoRecord): Promise<void>;
  /** Ends the result; what was written so far is complete then. */
  finish(): Promise<void>;
}

/** A format: what comes before the first record, of each, and after the last. */
interface Formatter {
  head: string;
  record(record: PhotoRecord, first: boolean): string;
  /** @param none true if there was no record */
  tail(none: boolean): string;
}

const CSV_COLUMNS = ['path', 'class', 'score', 'x1', 'y1', 'x2', 'y2', 'error'];

const FORMATTERS: Record<OutcomeFormat, Formatter> = {
  text: { head: '', record: describe, tail: () => '' },
  json: {
    head: '',
    record: (record, first) => `${first ? '[\n' : ',\n'}${JSON.stringify(record)}`,
    tail: (none) => (none ? '[]\n' : '\n]\n'),
  },
  ndjson: { head: '', record: (record) => `${JSON.stringify(record)}\n`, tail: () => '' },
  csv: {
    head: `${CSV_COLUMNS.join(',')}\n`,
    record: (record) => `${csvLines(record).join('\n')}\n`,
    tail: () => '',
  },
};

/** A photo without detections has one row, its class empty; a failed one has one row, its error's message in it. */
function csvLines(record: PhotoRecord): string[] {
  if (record.error) return [csvLine([record.path, '', '', '', '', '', '', record.error.message])];
  const rows = record.detections.map(({ class: name, score, box }) => [
    ...[record.path, name, score, box.x1, box.y1, box.x2, box.y2],
    '',
  ]);
  return (rows.length > 0 ? rows : [[record.path, '', '', '', '', '', '', '']]).map(csvLine);
}

function describe(record: PhotoRecord): string {
  if (record.error) return '';
  const { path, width, height, detections, elapsedMs, backend, model, decoder } = record;
  const total = Object.values(elapsedMs).reduce((sum, ms) => sum + ms, 0);
  const how =
    record.ann === undefined
      ? `${record.steps} steps ${record.schedule === 'layered' ? 'layered' : 'one by one'}, ${record.spikesPerNeuron.toFixed(2)} ${record.coding === 'phase' ? 'digits' : 'spikes'} a neuron`
      : `float network, ${record.ann.source}`;
  const lines = [
    `${path}: ${width}×${height}, ${how}, ${record.resize}, ${total.toFixed(0)} ms on ${backend.name} (${backend.isa}), ${model}${decoder ? `, decoded by ${decoder}` : ''}`,
  ];
  for (const { class: name, score, box } of detections) {
    const [x1, y1, x2, y2] = [box.x1, box.y1, box.x2, box.y2].map(Math.round);
    lines.push(`  ${name.padEnd(12)} ${score.toFixed(2)}  x ${x1}–${x2}, y ${y1}–${y2}`);
  }
  if (detections.length === 0) lines.push('  nothing found');
  if (record.spikeChecksum !== undefined) lines.push(`  spike checksum ${record.spikeChecksum}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** Writes a format through `put`, which takes text. */
abstract class FormattedWriter implements OutcomeWriter {
  private readonly formatter: Formatter;
  private started = false;

  constructor(format: OutcomeFormat) {
    this.formatter = FORMATTERS[format];
  }

  protected abstract put(text: string): Promise<void>;

  async write(record: PhotoRecord): Promise<void> {
    const { head, record: format } = this.formatter;
    const text = (this.started ? '' : head) + format(record, !this.started);
    this.started = true;
    await this.put(text);
  }

  async finish(): Promise<void> {
    const { head, tail } = this.formatter;
    await this.put((this.started ? '' : head) + tail(!this.started));
  }
}

class StdoutWriter extends FormattedWriter {
  protected async put(text: string): Promise<void> {
    // a slow reader is waited for, so that nothing piles up
    if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
  }
}

/** A file that appears when it is complete, made when there is something to write. */
class FileWriter extends FormattedWriter {
  private readonly path: string;
  private file: WholeFile | undefined;
  private readonly discard = () => this.file!.discard();

  constructor(format: OutcomeFormat, path: string) {
    super(format);
    this.path = path;
  }

  protected async put(text: string): Promise<void> {
    if (!this.file) {
      this.file = await WholeFile.create(this.path);
      process.once('exit', this.discard);
    }
    await this.file.write(text);
  }

  override async finish(): Promise<void> {
    await super.finish();
    await this.file!.commit();
    process.off('exit', this.discard);
  }
}

/** A file of JSON lines that grows line by line, so that a killed run loses only the photos under way. */
class LinesWriter implements OutcomeWriter {
  private readonly file: JsonLinesFile;

  constructor(file: JsonLinesFile) {
    this.file = file;
  }

  write(record: PhotoRecord): Promise<void> {
    return this.file.append(record);
  }

  finish(): Promise<void> {
    return this.file.close();
  }
}

/** Where outcomes go: stdout, or a file that appears when it is complete (ndjson: that grows). */
export async function openWriter(format: OutcomeFormat, out: string | undefined): Promise<OutcomeWriter> {
  if (out === undefined) return new StdoutWriter(format);
  if (format !== 'ndjson') return new FileWriter(format, out);
  return new LinesWriter(await JsonLinesFile.open(out));
}
