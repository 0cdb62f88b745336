/**
 * What a stream costs and finds: node bench/streams.mjs MODEL SCENE… [--onnx FILE] [--names FILE] [--holds 0.5,0.75,1]
 * [--dead-zones 0] [--fps 10] [--start s] [--duration s] [--svg FILE] [--backend name] [--isa name]
 *
 * A scene is a video, or a generated one: still (one picture), noise (a camera's on it), flicker (of exposure), pan (slow), cut (to
 * another picture every fifth frame), random (nothing stays: the worst case). One core. For each hold and dead zone: spikes per neuron
 * and frame, the part of the 4-channel words that changed, operations against a fresh run's, median milliseconds of the network a
 * frame against a fresh run's in the same loop (and against ONNX Runtime's float32 pass of the file), and AP50 against the float
 * network's own boxes (score ≥ .35), those of all classes together. The first frame, which is a fresh run, is left out. --svg draws spikes over time.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../dist/bench/median.js';
import { readModelBytes } from '../dist/files.js';
import {
  Detector,
  decodeModel,
  matchPhoto,
  meanAveragePrecision,
  readFrames,
  readPhoto,
} from '../dist/index.js';
import { resolveModel } from '../dist/model/registry.js';
import { drawChart } from '../dist/report/charts.js';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    onnx: { type: 'string' },
    names: { type: 'string' },
    holds: { type: 'string', default: '0.5,0.75,1' },
    'dead-zones': { type: 'string', default: '0' },
    fps: { type: 'string', default: '10' },
    start: { type: 'string', default: '0' },
    duration: { type: 'string', default: '6' },
    svg: { type: 'string' },
    backend: { type: 'string' },
    isa: { type: 'string' },
  },
});
const [model, ...scenes] = positionals;
if (scenes.length === 0) throw new Error('expected a model and scenes');
const root = fileURLToPath(new URL('..', import.meta.url));
const fps = Number(given.fps);
const frames = Math.round(fps * Number(given.duration));
const numbers = (text) => text.split(',').map(Number);

/** Numbers of about a normal distribution, the same each time. */
let state = 1;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const normal = () => (uniform() + uniform() + uniform() + uniform() - 2) * 1.73;

const astronaut = await readPhoto(`${root}samples/astronaut.jpg`);
const mapped = (photo, of) => ({
  ...photo,
  rgb: photo.rgb.map((value, i) => Math.min(255, Math.max(0, of(value, i)))),
});
/** A part of the astronaut, from column x on. */
function cropped({ width, height, rgb }, x) {
  const size = width - 100;
  const part = new Uint8Array(size * height * 3);
  for (let y = 0; y < height; y++)
    part.set(rgb.subarray((y * width + x) * 3, (y * width + x + size) * 3), y * size * 3);
  return { width: size, height, rgb: part };
}
const upsideDown = { ...astronaut, rgb: astronaut.rgb.slice().reverse() };
const generated = {
  still: () => astronaut,
  noise: () => mapped(astronaut, (value) => value + 2 * normal()),
  flicker: (i) => mapped(astronaut, (value) => value * (1 + 0.1 * Math.sin(i))),
  pan: (i) => cropped(astronaut, Math.min(i, 99)),
  cut: (i) => (Math.floor(i / 5) % 2 === 0 ? astronaut : upsideDown),
  random: () => mapped(astronaut, () => 255 * uniform()),
};
async function* framesOf(scene) {
  if (generated[scene]) for (let i = 0; i < frames; i++) yield generated[scene](i);
  else
    for await (const { photo } of readFrames(scene, {
      fps,
      start: Number(given.start),
      duration: frames / fps,
    }))
      yield photo;
}

const { backend, isa } = given;
const options = { model, threads: 1, conf: 0.05, ...(backend && { backend }), ...(isa && { isa }) };
const detector = await Detector.load(options);
const float = given.onnx
  ? await Detector.load({
      ann: true,
      conf: 0.35,
      trained: { onnx: given.onnx, ...(given.names && { names: given.names }) },
    })
  : await Detector.load({ model, ann: true, conf: 0.35 });
let pass;
if (given.onnx) {
  const ort = createRequire(fileURLToPath(new URL('./peers/package.json', import.meta.url)))(
    'onnxruntime-node',
  );
  const session = await ort.InferenceSession.create(given.onnx, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const path = /\.safetensors$/.test(model) ? model : resolveModel(model).path;
  const { height, width } = decodeModel(await readModelBytes(path)).network.input;
  const image = new ort.Tensor('float32', new Float32Array(3 * height * width).fill(0.4), [
    1,
    3,
    height,
    width,
  ]);
  pass = () => session.run({ [session.inputNames[0]]: image });
}

/** Boxes of all classes as those of one: a class that is seen once would else weigh as much as one in every frame. */
function pooled(matches) {
  const of = Object.values(matches);
  const boxes = of.flatMap(({ scores, hits }) => scores.map((score, i) => ({ score, hit: hits[i] })));
  boxes.sort((a, b) => b.score - a.score);
  return {
    all: {
      positives: of.reduce((sum, { positives }) => sum + positives, 0),
      scores: boxes.map(({ score }) => score),
      hits: boxes.map(({ hit }) => hit),
    },
  };
}

for (const scene of scenes) {
  const streams = numbers(given['dead-zones']).flatMap((deadZone) =>
    numbers(given.holds).map((hold) => ({
      ...{ hold, deadZone, stream: detector.stream({ hold, deadZone }) },
      ...{ ms: [], spikes: [], changed: 0, sops: 0, matches: [] },
    })),
  );
  const fresh = { ms: [], sops: 0, matches: [] };
  const peer = [];
  let count = 0;
  for await (const { width, height, rgb: data } of framesOf(scene)) {
    const frame = { data, width, height, channels: 3 };
    const truth = (await float.detect(frame)).detections.map((found) => ({ ...found, difficult: false }));
    const start = performance.now();
    await pass?.();
    peer.push(performance.now() - start);
    const one = await detector.detect(frame);
    fresh.matches.push(matchPhoto(one.detections, truth));
    if (count > 0) fresh.ms.push(one.elapsedMs.network);
    if (count > 0) fresh.sops += one.sops;
    for (const each of streams) {
      const found = await each.stream.next(frame);
      each.matches.push(matchPhoto(found.detections, truth));
      if (count === 0) continue;
      each.ms.push(found.elapsedMs.network);
      each.spikes.push(found.spikesPerNeuron);
      each.changed += found.changed;
      each.sops += found.sops;
    }
    count++;
  }
  const ap = (matches) => {
    const value = meanAveragePrecision(['all'], matches.map(pooled)).mapAll;
    return Number.isNaN(value) ? '-' : value.toFixed(3);
  };
  const mean = (sum) => sum / (count - 1);
  const ofPeer = (ms) => (pass ? `, ${(ms / median(peer)).toFixed(2)} of ONNX Runtime's` : '');
  const freshMs = median(fresh.ms);
  console.log(
    `${scene}: ${count} frames; fresh ${freshMs.toFixed(1)} ms${ofPeer(freshMs)}${pass ? ` ${median(peer).toFixed(1)} ms` : ''}, AP50 ${ap(fresh.matches)}`,
  );
  for (const { hold, deadZone, ms, spikes, changed, sops, matches } of streams) {
    const sent = mean(spikes.reduce((sum, each) => sum + each, 0));
    const time = median(ms);
    console.log(
      `  hold ${hold}, dead zone ${deadZone}: ${sent.toFixed(3)} spikes a neuron, ${(100 * mean(changed)).toFixed(1)} % of words, ${((100 * sops) / fresh.sops).toFixed(1)} % of operations, ${time.toFixed(1)} ms (${(time / freshMs).toFixed(2)} of fresh${ofPeer(time)}), AP50 ${ap(matches)}`,
    );
  }
  if (given.svg) {
    const values = streams.flatMap(({ hold, deadZone, spikes }) =>
      spikes.map((sent, i) => ({
        seconds: (i + 1) / fps,
        spikes: Math.max(sent, 1e-4),
        stream: `hold ${hold}${deadZone > 0 ? `, dead zone ${deadZone}` : ''}`,
      })),
    );
    const chart = {
      ...{ width: 640, height: 240, data: { values }, mark: { type: 'line', strokeWidth: 1 } },
      encoding: {
        x: { field: 'seconds', type: 'quantitative' },
        y: { field: 'spikes', type: 'quantitative', scale: { type: 'log' }, title: 'spikes a neuron' },
        color: { field: 'stream', type: 'nominal', title: null },
      },
    };
    writeFileSync(given.svg, await drawChart(chart));
  }
  await Promise.all(streams.map(({ stream }) => stream.close()));
}
await detector.close();
