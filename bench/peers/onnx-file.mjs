// ONNX Runtime's passes of an ONNX file as it is, and of the same file in int8 (int8.mjs).
// Imported by src/bench/model-benchmark.ts.
import ort from 'onnxruntime-node';
import { quantise } from './int8.mjs';

const tensorOf = ({ data, dims }) => new ort.Tensor('float32', data, dims);

/**
 * A session of a file's bytes, taking images {data, dims} of float32.
 *
 * @returns run(image), its outputs as {dims, data} by their order; close()
 */
export async function openSession(bytes, threads) {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const [input] = session.inputNames;
  return {
    async run(image) {
      const found = await session.run({ [input]: tensorOf(image) });
      return session.outputNames.map((name) => ({ dims: [...found[name].dims], data: found[name].data }));
    },
    close: () => session.release(),
  };
}

/** The bytes of the file in int8, its activations' ranges from images (async). @param recipe of int8.mjs */
export function quantiseFile(bytes, images, recipe) {
  async function* tensors() {
    for await (const image of images) yield tensorOf(image);
  }
  return quantise(bytes, ort, tensors(), recipe);
}
