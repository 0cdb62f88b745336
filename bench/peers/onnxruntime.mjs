// A peer of the benchmark, in a process of its own: one dense float32 pass of the same convolutions and pools.
// Started by src/cli/bench.ts; takes {stages, threads} and then {run: true} messages, answers {ms}.
import ort from 'onnxruntime-node';
import { onnxModel } from './onnx-model.mjs';

let session;
let input;
process.on('message', async (message) => {
  if (message.stages) {
    const { stages, threads } = message;
    session = await ort.InferenceSession.create(onnxModel(stages), {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
    });
    const { channels, height, width } = stages[0];
    const values = Float32Array.from({ length: channels * height * width }, Math.random);
    input = new ort.Tensor('float32', values, [1, channels, height, width]);
    for (let warmUp = 0; warmUp < 3; warmUp++) await session.run({ x: input });
    process.send({ ready: true });
  } else {
    const start = performance.now();
    await session.run({ x: input });
    process.send({ ms: performance.now() - start });
  }
});
