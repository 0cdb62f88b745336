import type { Benchmark, Row } from './benchmark.js';
import type { CostModel } from './cost-model.js';
import type { ModelBenchmark } from './model-benchmark.js';
import type { PhotoRow } from './photos.js';

const cells = (values: readonly (string | number)[]) => `| ${values.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [cells(head), cells(head.map(() => '---')), ...rows.map(cells)].join('\n');

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);

function rowTable(rows: readonly Row[], peers: Benchmark['peers']): string {
  return table(
    [
      'network',
      'weights',
      'back-end',
      'threads',
      'ms/step (min–max)',
      'ms/photo',
      '× peer',
      'GSOP/s',
      'eff. GMAC/s',
      'density',
      'peak RSS MB',
      'spikes',
    ],
    rows.map((row) => {
      const peer = row.size === 416 ? peers.find(({ threads }) => threads === row.threads) : undefined;
      return [
        `${row.net} ${row.size}`,
        row.weightBits,
        row.backend.isa,
        row.threads,
        `${row.msPerStep.toFixed(2)} (${row.range.map((ms) => ms.toFixed(2)).join('–')})`,
        row.msPerImage.toFixed(1),
        peer ? (peer.msPerStep / row.msPerStep).toFixed(2) : '–',
        row.gigaSopsPerSecond.toFixed(1),
        row.effectiveGmacsPerSecond.toFixed(0),
        row.density.toFixed(2),
        megabytes(row.peakRssBytes),
        `\`${row.spikeChecksum}\``,
      ];
    }),
  );
}

function layerTable(row: Row): string {
  return table(
    ['layer', 'ms/step', 'density', 'eff. GMAC/s'],
    row.layers.map(({ name, msPerStep, density, denseMultiplications }) => [
      name,
      msPerStep.toFixed(2),
      density.toFixed(2),
      (denseMultiplications / msPerStep / 1e6).toFixed(0),
    ]),
  );
}

/** Decoding and resizing of photos as a table. */
export function photoTable(rows: readonly PhotoRow[]): string {
  const times = ({ decodeMs, resizeMs }: PhotoRow['cold']) => [decodeMs.toFixed(1), resizeMs.toFixed(1)];
  return table(
    ['JPEG', 'megapixels', 'decode ms, cold', 'resize, cold', 'decode, warm', 'resize, warm', 'memory, MB'],
    rows.map(({ width, height, cold, warm, addedRssBytes }) => [
      `${width}×${height}`,
      ((width * height) / 1e6).toFixed(2),
      ...times(cold),
      ...times(warm),
      megabytes(addedRssBytes),
    ]),
  );
}

/** One model on each back-end, beside its peer. */
export function modelTable({
  machine,
  model,
  input,
  steps,
  runs,
  boxesMs,
  rows,
  map,
}: ModelBenchmark & { machine: Benchmark['machine'] }): string {
  const floats = rows.filter(({ what }) => what.endsWith(' float32'));
  const scores = new Map(map?.map(({ what, map11 }) => [what, map11]));
  const lines = rows.map(({ what, threads, networkMs, spikesPerNeuron }) => {
    const float = floats.find((each) => each.threads === threads);
    const score = scores.get(spikesPerNeuron === undefined ? what : 'spiking');
    return [
      ...[what, threads, networkMs.toFixed(1)],
      float ? (networkMs / float.networkMs).toFixed(2) : '–',
      spikesPerNeuron?.toFixed(2) ?? '–',
      score?.toFixed(3) ?? '–',
    ];
  });
  const head = ['back-end', 'threads', 'network ms', '× float32', 'spikes a neuron', 'mAP'];
  return `${model}, ${input.join('×')}, ${steps} steps layered, medians of ${runs} runs in turns, boxes ${boxesMs.toFixed(1)} ms, ${machine.cpu}, ${machine.cores} cores

${table(head, lines)}
`;
}

/** Fitted costs beside what they decide. */
function costTable(costs: readonly CostModel[]): string {
  return table(
    [
      'back-end',
      'weights',
      'ns a pair of a tile',
      'pair by events',
      'list of events',
      'ns a neuron',
      'mean error of the fit',
    ],
    costs.map((model) => [
      model.isa,
      model.weightBits,
      model.pairNanoseconds.toFixed(2),
      model.eventPair.toFixed(2),
      model.eventList.toFixed(1),
      model.neuronNanoseconds.toFixed(2),
      `${(100 * model.meanError).toFixed(0)} %`,
    ]),
  );
}

function choiceTable(costs: readonly CostModel[]): string {
  const names = costs[0]!.layers.map(({ name }) => name);
  return table(
    ['time by events ÷ in tiles (density)', 'weights', ...names],
    costs.map(({ isa, weightBits, layers }) => [
      isa,
      weightBits,
      ...layers.map(
        ({ events, density, chosenByEvents }) =>
          `${events.toFixed(2)} (${density.toFixed(2)})${chosenByEvents > 0.5 ? ', chosen' : ''}`,
      ),
    ]),
  );
}

/** The benchmark as Markdown. */
export function toMarkdown({
  machine,
  rows,
  denseOnly,
  layered,
  peers,
  throughput,
  photos,
  costs,
  skipped,
}: Benchmark): string {
  const steps = (list: readonly Row[]) => list.filter(({ steps: count }) => count > 2);
  const parts = [
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.platform} ${machine.arch}, Node ${machine.node}. Medians of interleaved runs.`,
    '### Time steps (convolutions, neurons and pools of all layers, default settings)',
    rowTable(steps(rows), peers),
  ];
  for (const { isa, reason } of skipped) parts.push(`\`${isa}\` skipped: ${reason}.`);
  if (peers.length > 0) {
    parts.push('### Peer: the same convolutions and pools, dense float32, once a step');
    parts.push(
      table(
        ['peer', 'threads', 'ms/pass'],
        peers.map((p) => [p.name, p.threads, p.msPerStep.toFixed(2)]),
      ),
    );
  }
  parts.push('### Dense only (density 1: silent inputs computed too)', rowTable(denseOnly, peers));
  parts.push('### Layer-synchronous runs: equal to a quantised ANN, no step simulated');
  parts.push(
    table(
      ['network', 'weights', 'back-end', 'threads', 'T', 'ms/photo', 'of the peer’s pass', 'spikes'],
      layered.map((row) => {
        const peer = peers.find(({ threads }) => threads === row.threads);
        const part = peer ? (row.msPerImage / peer.msPerStep).toFixed(2) : '–';
        return [
          `${row.net} ${row.size}`,
          row.weightBits,
          row.backend.isa,
          row.threads,
          row.steps,
          row.msPerImage.toFixed(1),
          part,
          `\`${row.spikeChecksum}\``,
        ];
      }),
    ),
  );
  const few = rows.filter(({ steps: count }) => count <= 2);
  if (few.length > 0) parts.push('### The reference (first steps only: it is slow)', rowTable(few, []));
  if (throughput.length > 0) {
    parts.push('### Whole photos through the worker pool (decoding included, one thread a photo)');
    const single = throughput.find(({ workers, processes }) => workers * processes === 1)!.imagesPerSecond;
    parts.push(
      table(
        ['network', 'processes', 'workers of each', 'images/s', '× one worker', 'memory of one, MB'],
        throughput.map(({ net, workers, processes, imagesPerSecond, addedRssBytes }) => [
          net,
          processes,
          workers,
          imagesPerSecond.toFixed(2),
          (imagesPerSecond / single).toFixed(2),
          megabytes(addedRssBytes),
        ]),
      ),
    );
  }
  parts.push('### Photos: decoding and resizing to 288 px, one thread', photoTable(photos));
  if (costs.length > 0)
    parts.push('### Dense or by events: cost model', costTable(costs), choiceTable(costs));
  for (const row of rows.filter(
    ({ backend, threads, size, steps: count }) =>
      backend.name === 'native' && threads === 1 && size === 416 && count > 2,
  )) {
    parts.push(
      `### Layers: ${row.net} ${row.size}, ${row.weightBits}-bit weights, ${row.backend.isa}, one thread`,
      layerTable(row),
    );
  }
  return `${parts.join('\n\n')}\n`;
}

const escapeXml = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** Milliseconds a step of the 416-px rows as bars, the peer among them. */
export function toSvg({ rows, peers, machine }: Benchmark): string {
  const bars = [
    ...rows
      .filter(({ size, threads, steps }) => size === 416 && threads === 1 && steps > 2)
      .map(({ backend, weightBits, msPerStep }) => ({
        label: `${backend.isa}, ${weightBits} bit`,
        ms: msPerStep,
        colour: '#3a6ea5',
      })),
    ...peers
      .filter(({ threads }) => threads === 1)
      .map(({ name, msPerStep }) => ({ label: `${name}, float32`, ms: msPerStep, colour: '#a0522d' })),
  ].sort((a, b) => a.ms - b.ms);
  const longest = Math.max(...bars.map(({ ms }) => ms));
  const [left, width, height] = [170, 460, 22];
  const body = bars.map(({ label, ms, colour }, i) => {
    const y = 40 + i * height;
    const length = Math.max(1, (ms / longest) * width);
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escapeXml(label)}</text><rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="15" fill="${colour}"/><text x="${(left + length + 6).toFixed(1)}" y="${y + 12}">${ms.toFixed(1)}</text>`;
  });
  const title = `Milliseconds a time step, tiny-yolo-voc at 416 px, one thread (${machine.cpu})`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 70}" height="${50 + bars.length * height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/><text x="10" y="22" font-size="13">${escapeXml(title)}</text>${body.join('')}</svg>\n`;
}
