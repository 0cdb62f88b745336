import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Backend, EngineInstance, FloatConvolution, FloatKernels } from '../engine/backend.js';
import type { EnginePlan } from '../engine/plan.js';
import { backendError, reasonOf, usageError } from '../errors.js';
import { selfTest } from './self-test.js';

/** An instruction set that the addon was compiled for, best first. */
export interface InstructionSet {
  name: string;
  supported: boolean;
  /** Why it is not supported here; empty if it is. */
  reason: string;
}

/** The addon as TypeScript sees it (native/addon.cpp). */
interface Addon {
  instructionSets(): InstructionSet[];
  Engine: new (plan: EnginePlan, isa: string, threads: number) => EngineInstance;
  FloatEngine: new (convolutions: readonly FloatConvolution[], isa: string) => FloatKernels;
}

const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** Where the addon is looked for, in order. */
export const addonPaths = [
  `${packageRoot}prebuilds/${process.platform}-${process.arch}/spiking_yolo.node`,
  `${packageRoot}build/Release/spiking_yolo.node`,
];

/** The addons that load here, best first; throws `BACKEND` if none does. */
function loadAddons(): { addon: Addon; path: string }[] {
  const require = createRequire(import.meta.url);
  const loaded: { addon: Addon; path: string }[] = [];
  const failures: string[] = [];
  for (const path of addonPaths) {
    if (!existsSync(path)) continue;
    try {
      loaded.push({ addon: require(path) as Addon, path });
    } catch (error) {
      failures.push(`${path}: ${reasonOf(error)}`);
    }
  }
  if (loaded.length > 0) return loaded;
  throw backendError(
    failures.length > 0
      ? `the native addon does not load: ${failures.join('; ')}; to build one for this system, install g++ and make (or cmake), then run: npm rebuild spiking-yolo`
      : 'the native addon is not built; install g++ and make (or cmake), then run: npm rebuild spiking-yolo (in a checkout: npm run build:native)',
  );
}

/** The native back-end, with where it came from and what it can use. */
export interface NativeBackend {
  backend: Backend;
  path: string;
  instructionSets: InstructionSet[];
}

/**
 * Loads the addon and picks the best instruction set that this CPU has and that passes the self-test, or the one
 * asked for; throws `BACKEND` if there is none.
 */
export function loadNative(isa?: string): NativeBackend {
  const failures: string[] = [];
  for (const { addon, path } of loadAddons()) {
    const instructionSets = addon.instructionSets();
    const wanted =
      isa === undefined ? instructionSets.filter((set) => set.supported) : [requested(instructionSets, isa)];
    for (const { name } of wanted) {
      const backend: Backend = {
        name: 'native',
        isa: name,
        floatKernels: (convolutions) => new addon.FloatEngine(convolutions, name),
        instantiate: (plan, threads = 1) => new addon.Engine(plan, name, threads),
      };
      const failure = selfTest(backend);
      if (failure === undefined) return { backend, path, instructionSets };
      failures.push(`${name}: ${failure}`);
    }
  }
  throw backendError(`the native addon fails its self-test: ${failures.join('; ')}`);
}

function requested(sets: readonly InstructionSet[], isa: string): InstructionSet {
  const set = sets.find(({ name }) => name === isa);
  if (!set) {
    throw usageError(
      `the instruction set "${isa}" is not in this addon; it has ${sets.map(({ name }) => name).join(', ')}`,
    );
  }
  if (!set.supported) throw backendError(`the instruction set "${isa}" cannot be used here: ${set.reason}`);
  return set;
}
