/**
 * What a video costs, by dead zone: node bench/streams.mjs VIDEO [--model name] [--dead-zones 0,4,8] [--fps n] [--duration s].
 * Frames in which anything was computed, spikes per neuron and frame, mean milliseconds a frame (network, and all of it), and the
 * agreement of boxes (F1 at overlap .5) with a fresh run on each frame.
 */
import { parseArgs } from 'node:util';
import { Detector, readFrames } from '../dist/index.js';
import { foundTwice } from './agreement.mjs';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'tiny-yolo-voc' },
    'dead-zones': { type: 'string', default: '0,4,8,16,32' },
    fps: { type: 'string', default: '10' },
    duration: { type: 'string' },
  },
});
const [video] = positionals;
if (video === undefined) throw new Error('expected a video');
const detector = await Detector.load({ model: given.model });
const options = { fps: Number(given.fps), ...(given.duration && { duration: Number(given.duration) }) };
const zones = given['dead-zones'].split(',').map(Number);
const streams = zones.map((deadZone) => ({
  deadZone,
  stream: detector.stream({ deadZone }),
  computed: 0,
  spikes: 0,
  network: 0,
  all: 0,
  found: 0,
  boxes: 0,
}));

let frames = 0;
for await (const { photo } of readFrames(video, options)) {
  frames++;
  const { width, height, rgb: data } = photo;
  const frame = { data, width, height, channels: 3 };
  const fresh = await detector.detect(frame);
  for (const sums of streams) {
    const { changed, spikesPerNeuron, elapsedMs, detections } = await sums.stream.next(frame);
    if (changed > 0) sums.computed++;
    sums.spikes += spikesPerNeuron;
    sums.network += elapsedMs.network;
    sums.all += Object.values(elapsedMs).reduce((sum, ms) => sum + ms, 0);
    sums.found += foundTwice(detections, fresh.detections);
    sums.boxes += detections.length + fresh.detections.length;
  }
}
console.log(`${frames} frames`);
for (const { deadZone, computed, spikes, network, all, found, boxes } of streams)
  console.log(
    `dead zone ${deadZone}: ${computed} computed, ${(spikes / frames).toFixed(2)} spikes a neuron, ${(network / frames).toFixed(1)} ms network, ${(all / frames).toFixed(1)} ms in all, boxes ${boxes === 0 ? '-' : ((2 * found) / boxes).toFixed(3)}`,
  );
await detector.close();
