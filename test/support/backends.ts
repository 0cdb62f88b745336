import { loadNative } from '../../src/backend/native.js';
import { selectBackend } from '../../src/backend/select.js';
import type { Backend } from '../../src/engine/backend.js';

/** True where the suite runs in an environment meant to have no compiler (`.ci/run` sets it). */
const expectNoNative = process.env.SPIKING_YOLO_TEST_WITHOUT_NATIVE === '1';

function nativeBackends(): Backend[] {
  if (expectNoNative) return [];
  const { instructionSets } = loadNative();
  return instructionSets.filter(({ supported }) => supported).map(({ name }) => loadNative(name).backend);
}

/** Every back-end and instruction set of this machine but the reference; a missing addon fails the suite. */
export const fastBackends: readonly Backend[] = [
  ...nativeBackends(),
  selectBackend({ backend: 'wasm' }).backend,
];

/** The fastest of them. */
export const best: Backend = fastBackends[0]!;
