import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { usageError } from '../errors.js';

const folder = fileURLToPath(new URL('../../models/', import.meta.url));

interface Registry {
  default: string;
  /** `repositoryOnly`: too large for the package. */
  models: Record<string, { file: string; about: string; repositoryOnly?: true }>;
}

const registry: Registry = JSON.parse(readFileSync(`${folder}registry.json`, 'utf8'));

/** The model that is used if none is named. */
export const DEFAULT_MODEL = registry.default;
/** The model that `--preset paper` uses if none is named. */
export const DEFAULT_PAPER_MODEL = 'tiny-yolo-lite-voc-paper';

/** A model by its name in `models/registry.json`. */
export interface RegisteredModel {
  name: string;
  path: string;
  about: string;
}

/**
 * Models that came with the package; those of the repository only are left out where they are not.
 *
 * @example
 * ```ts
 * import { listModels } from 'spiking-yolo';
 *
 * console.log(listModels()[0].name); // tiny-yolo-plus
 * ```
 */
export function listModels(): RegisteredModel[] {
  return Object.entries(registry.models)
    .map(([name, { file, about }]) => ({ name, path: folder + file, about }))
    .filter(({ path }) => existsSync(path));
}

/** The file that a name or path stands for; throws `USAGE` if it is neither. */
export function resolveModel(nameOrPath: string): { name: string; path: string } {
  const registered = listModels().find(({ name }) => name === nameOrPath);
  if (registered) return registered;
  if (existsSync(nameOrPath)) return { name: nameOrPath, path: nameOrPath };
  const absent = Object.hasOwn(registry.models, nameOrPath) ? registry.models[nameOrPath] : undefined;
  if (absent?.repositoryOnly)
    throw usageError(
      `model "${nameOrPath}" is not in the package for its size: take models/${absent.file} from the repository and give its path`,
    );
  const names = listModels().map(({ name }) => name);
  throw usageError(`model "${nameOrPath}" is neither a file nor one of ${names.join(', ')}`);
}

/** The `-paper` variant of a model, beside its file or in the registry; the model itself if there is none. */
export function paperVariant(nameOrPath: string): string {
  if (/-paper(\.safetensors)?$/.test(nameOrPath)) return nameOrPath;
  const base = nameOrPath.replace(/\.safetensors$/, '');
  const variant = base === nameOrPath ? `${base}-paper` : `${base}-paper.safetensors`;
  return existsSync(variant) || listModels().some(({ name }) => name === variant) ? variant : nameOrPath;
}
