// The WASM kernels; src/backend/wasm.ts owns the memory and calls them.
export { begin, observe, observeSilence, outputPotential, present, run, settle } from './convolution';
export { convolveFloat, convolveFloatChannels } from './float';
export { runGather } from './gather';
export { runPool } from './pool';
export { compareImage, endQuietRow, streamConvolution, streamGather, streamIsland, streamPool } from './stream';
