import { type ChildProcess, fork } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { withInputSize } from '../conversion/convert.js';
import { DEFAULT_RUN_OPTIONS, planEngine } from '../engine/plan.js';
import { backendError } from '../errors.js';
import { readModelBytes } from '../files.js';
import { decodeModel } from '../model/model-file.js';
import { ask } from './ask.js';
import type { CostModel } from './cost-model.js';
import { median } from './median.js';
import { peerFolder } from './peers.js';
import type { PhotoRow } from './photos.js';
import type { FromPool, FromRow, RowFacts, RowSpec, RunTimes, ToPool, ToRow } from './row.js';

/** A measured row; times are medians in milliseconds. */
export interface Row extends Omit<RowSpec, 'backend' | 'isa' | 'model' | 'runs'>, Omit<RowFacts, 'isa'> {
  backend: { name: string; isa: string };
  runs: number;
  msPerStep: number;
  msPerImage: number;
  /** Fastest and slowest run, a step. */
  range: [number, number];
  density: number;
  gigaSopsPerSecond: number;
  /** Multiplications of a dense pass, done or saved, in 10^9 a second. */
  effectiveGmacsPerSecond: number;
}

/** A peer that computes the same convolutions densely in float32, once a time step. */
export interface Peer {
  name: string;
  threads: number;
  msPerStep: number;
}

/** Whole photos a second through the worker pool, decoding included. */
export interface Throughput {
  net: string;
  /** Worker threads of a process. */
  workers: number;
  /** Processes side by side: what the machine can do at best, since they share nothing. */
  processes: number;
  imagesPerSecond: number;
  /** Peak memory of a process less that after its imports. */
  addedRssBytes: number;
}

export interface Benchmark {
  machine: { cpu: string; cores: number; node: string; platform: string; arch: string };
  rows: Row[];
  denseOnly: Row[];
  layered: Row[];
  peers: Peer[];
  throughput: Throughput[];
  photos: PhotoRow[];
  /** What dense and event-driven convolutions cost (docs/engine.md). */
  costs: CostModel[];
  skipped: { isa: string; reason: string }[];
}

export const machine = (): Benchmark['machine'] => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  node: process.versions.node,
  platform: process.platform,
  arch: process.arch,
});

const askRow = <K extends FromRow>(child: ChildProcess, message: ToRow) => ask<K>(child, message);

interface Running {
  spec: RowSpec;
  child: ChildProcess;
  times: RunTimes[];
}

/** Measures rows and peers in turns, round by round, so that a change of the machine's speed meets all of them. */
export async function measure(
  specs: readonly RowSpec[],
  peers: { name: string; script: string; stages: object[]; threads: number }[],
  photo: string,
  runs: number,
  onProgress: (part: number, what: string) => void,
): Promise<{ rows: { spec: RowSpec; row: Row }[]; peers: Peer[] }> {
  const script = fileURLToPath(new URL('./row-process.js', import.meta.url));
  const children: ChildProcess[] = [];
  const start = (path: string) => {
    const child = fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
    children.push(child);
    return child;
  };
  try {
    const running: Running[] = [];
    for (const spec of specs) {
      const child = start(script);
      await askRow(child, { spec, photo });
      running.push({ spec, child, times: [] });
    }
    const runningPeers = [];
    for (const peer of peers) {
      const child = start(peer.script);
      await ask(child, { stages: peer.stages, threads: peer.threads });
      runningPeers.push({ ...peer, child, times: [] as number[] });
    }
    for (let round = 0; round < runs; round++) {
      for (const { spec, child, times } of running) {
        if (round >= spec.runs) continue;
        onProgress(
          (round + 0.5) / runs,
          `round ${round + 1} of ${runs}: ${spec.net} ${spec.isa ?? spec.backend}`,
        );
        times.push((await askRow<{ times: RunTimes }>(child, { run: true })).times);
      }
      for (const { child, times } of runningPeers)
        times.push((await ask<{ ms: number }>(child, { run: true })).ms);
    }
    const rows = [];
    for (const { spec, child, times } of running) {
      const { facts } = await askRow<{ facts: RowFacts }>(child, { finish: true });
      rows.push({ spec, row: toRow(spec, times, facts) });
    }
    return {
      rows,
      peers: runningPeers.map(({ name, threads, times }) => ({ name, threads, msPerStep: median(times) })),
    };
  } finally {
    for (const child of children) child.kill();
  }
}

function toRow(spec: RowSpec, times: readonly RunTimes[], facts: RowFacts): Row {
  const { backend, isa: _, model: __, ...rest } = spec;
  const { isa, ...measured } = facts;
  const steps = times.map(({ stepsMs }) => stepsMs / spec.steps);
  const msPerStep = median(steps);
  return {
    ...rest,
    ...measured,
    backend: { name: backend, isa },
    runs: times.length,
    msPerStep,
    msPerImage: median(times.map(({ beginMs, stepsMs }) => beginMs + stepsMs)),
    range: [Math.min(...steps), Math.max(...steps)],
    density: facts.sops / facts.denseMultiplications / spec.steps,
    gigaSopsPerSecond: facts.sops / spec.steps / msPerStep / 1e6,
    effectiveGmacsPerSecond: facts.denseMultiplications / msPerStep / 1e6,
  };
}

/** Rows of the same network and run must have the same spikes; throws `BACKEND` if two differ. */
export function checkSpikes(rows: readonly Row[]): void {
  const known = new Map<string, Row>();
  for (const row of rows) {
    const key = [row.net, row.weightBits, row.size, row.steps, row.schedule, row.preset].join(' ');
    const first = known.get(key);
    if (first && first.spikeChecksum !== row.spikeChecksum) {
      throw backendError(
        `${key}: ${first.backend.isa} has the checksum ${first.spikeChecksum}, ${row.backend.isa} ${row.spikeChecksum}`,
      );
    }
    known.set(key, first ?? row);
  }
}

/**
 * Photos a second for each number of workers, one thread a photo, and for as many processes with one worker each;
 * medians of runs in turns, each pool in a process of its own.
 */
export async function measureThroughput(
  net: string,
  photo: string,
  workerCounts: readonly number[],
  photos: number,
  runs: number,
): Promise<Throughput[]> {
  const script = fileURLToPath(new URL('./pool-process.js', import.meta.url));
  const most = Math.max(...workerCounts);
  const groups = [
    ...workerCounts.map((workers) => ({ workers, processes: 1 })),
    ...(most > 1 ? [{ workers: 1, processes: most }] : []),
  ].map((group) => ({
    ...group,
    children: Array.from({ length: group.processes }, () => fork(script, { serialization: 'advanced' })),
    rates: [] as number[],
  }));
  const askPool = <K extends FromPool>(child: ChildProcess, message: ToPool) => ask<K>(child, message);
  try {
    for (const { workers, children } of groups)
      for (const child of children) await askPool(child, { net, photo, workers });
    for (let run = 0; run < runs; run++) {
      for (const { processes, children, rates } of groups) {
        const share = Math.ceil(photos / processes);
        const start = performance.now();
        await Promise.all(children.map((child) => askPool(child, { photos: share })));
        rates.push((1000 * share * processes) / (performance.now() - start));
      }
    }
    const result: Throughput[] = [];
    for (const { workers, processes, children, rates } of groups) {
      const { addedRssBytes } = await askPool<{ addedRssBytes: number }>(children[0]!, { finish: true });
      result.push({ net, workers, processes, imagesPerSecond: median(rates), addedRssBytes });
    }
    return result;
  } finally {
    for (const { children } of groups) for (const child of children) child.kill();
  }
}

/** Peers by name at each thread count; installs `bench/peers` on first use. Throws `USAGE` for one that is not known. */
export async function preparePeers(
  name: string,
  threads: readonly number[],
  model: string,
  size: number,
): Promise<{ name: string; script: string; stages: object[]; threads: number }[]> {
  const folder = peerFolder(name);
  const network = withInputSize(decodeModel(await readModelBytes(model)), size);
  const stages = planEngine(network, DEFAULT_RUN_OPTIONS).stages.map((stage) => {
    if (stage.kind !== 'convolution') return stage;
    const { weights: _, bias: __, firing: ___, startPotential: ____, ...geometry } = stage;
    return geometry;
  });
  return threads.map((count) => ({ name, script: `${folder}${name}.mjs`, stages, threads: count }));
}
