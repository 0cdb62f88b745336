import type { TableHead } from '../network/network.js';
import { computeRow, type RowPlan, type RowRange } from '../tensor/rows.js';
import type { Tensor } from '../tensor/tensor.js';

/** A table's rows, whichever way it lies or is computed. */
export interface Table {
  count: number;
  /** Of rows that are the cells of one map, how many are side by side. */
  across: number;
  /** False for a row none of whose scores can be above `threshold`; asked in ascending order. */
  mayPass(row: number, threshold: number): boolean;
  /** A row's numbers, valid until the next is read. */
  read(row: number): ArrayLike<number>;
}

/** The axis of a table that counts its rows; cells of a map count theirs over two. */
export const rowAxisOf = (kind: TableHead['kind']): 1 | 2 =>
  kind === 'yolov8' || kind === 'fastestdet' ? 2 : 1;

/** A table that is there as a whole: (1, N, K), or (1, K, N) and (1, K, h, w) a column after the other. */
export function wholeTable(kind: TableHead['kind'], { dims, values }: Tensor): Table {
  const byColumns = rowAxisOf(kind) === 2;
  const columns = dims[byColumns ? 1 : 2]!;
  const count = values.length / columns;
  const row = new Float64Array(columns);
  return {
    count,
    across: dims.at(-1)!,
    mayPass: () => true,
    read(i) {
      if (!byColumns) return values.subarray(i * columns, (i + 1) * columns);
      for (let k = 0; k < columns; k++) row[k] = values[k * count + i]!;
      return row;
    },
  };
}

/** Columns that hold scores: where the classes begin, and an objectness that multiplies them. */
const SCORES: Record<TableHead['kind'], { first: number; objectness?: number }> = {
  nanodet: { first: 0 },
  yolox: { first: 5, objectness: 4 },
  yolov5: { first: 5, objectness: 4 },
  yolov8: { first: 4 },
  fastestdet: { first: 5 },
};

/** `count` channels of a map's cells, from `first` on. */
interface Channels {
  input: number;
  cell: number;
  channels: number;
  first: number;
  count: number;
}

/** Where a channel is, counted over all of a range's maps. */
function channelsFrom({ leaves }: RowRange, channel: number, count: number): Channels | undefined {
  let first = channel;
  for (const leaf of leaves) {
    if (first + count <= leaf.channels) return { ...leaf, first, count };
    first -= leaf.channels;
  }
  return undefined;
}

/** What scores are σ of: the objectness, and the classes, channels one after the other; undefined where they are not. */
interface ScoreChannels {
  objectness: Channels | undefined;
  classes: Channels | undefined;
}

function scoreChannels(kind: TableHead['kind'], range: RowRange, classes: number): ScoreChannels {
  const { first, objectness } = SCORES[kind];
  const { columns } = range;
  const isLogistic = (code: number) => code >= 0 && code % 2 === 1;
  const own = columns.subarray(first, first + classes);
  const inOrder = isLogistic(own[0]!) && own.every((code, i) => code === own[0]! + 2 * i);
  const factor = objectness === undefined ? undefined : columns[objectness]!;
  const isBounded = factor === undefined || isLogistic(factor);
  const channel = (code: number) => (code - 1) / 2;
  return {
    objectness: factor !== undefined && isBounded ? channelsFrom(range, channel(factor), 1) : undefined,
    classes: inOrder && isBounded ? channelsFrom(range, channel(own[0]!), classes) : undefined,
  };
}

/** True if one of the channels is at least `limit` in a row of a range. */
function reaches(
  channels: Channels,
  maps: readonly ArrayLike<number>[],
  row: number,
  limit: number,
): boolean {
  const map = maps[channels.input]!;
  const start = (channels.cell + row) * channels.channels + channels.first;
  for (let at = start; at < start + channels.count; at++) if (map[at]! >= limit) return true;
  return false;
}

/** What a σ may be short of its threshold by rounding. */
const MARGIN = 1e-6;

/** A table that is computed row by row from maps, (H, W, C) each; scores are not computed where their logits are too low. */
export class LazyTable implements Table {
  readonly count: number;
  readonly across: number;
  private readonly ranges: readonly RowRange[];
  private readonly scores: readonly ScoreChannels[];
  private maps: readonly ArrayLike<number>[] = [];
  private current = 0;

  constructor(plan: RowPlan, { kind, classes }: TableHead) {
    this.count = plan.rows;
    this.across = plan.rows;
    this.ranges = plan.ranges;
    this.scores = plan.ranges.map((range) => scoreChannels(kind, range, classes));
  }

  /** Takes the maps of a photo. */
  begin(maps: readonly ArrayLike<number>[]): void {
    this.maps = maps;
    this.current = 0;
  }

  private rangeOf(row: number): RowRange {
    const { ranges } = this;
    if (row < ranges[this.current]!.first) this.current = 0;
    while (row >= ranges[this.current]!.first + ranges[this.current]!.count) this.current++;
    return ranges[this.current]!;
  }

  mayPass(row: number, threshold: number): boolean {
    const { first } = this.rangeOf(row);
    const { objectness, classes } = this.scores[this.current]!;
    // ln(t / (1 − t)): −∞ for a threshold of 0, ∞ (nothing passes) for 1
    const limit = threshold > 0 ? Math.log(threshold / (1 - threshold)) - MARGIN : Number.NEGATIVE_INFINITY;
    if (objectness && !reaches(objectness, this.maps, row - first, limit)) return false;
    return !classes || reaches(classes, this.maps, row - first, limit);
  }

  read(row: number): ArrayLike<number> {
    const range = this.rangeOf(row);
    return computeRow(range, row - range.first, this.maps);
  }
}
