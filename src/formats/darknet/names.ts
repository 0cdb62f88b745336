import { namesError } from '../../errors.js';

/**
 * Class names of a darknet `.names` file, one a line; throws `NAMES` if there are not exactly `classes`, where given.
 *
 * @example
 * ```ts
 * import { parseNames } from 'spiking-yolo';
 *
 * console.log(parseNames('cat\ndog\n', 2)); // [ 'cat', 'dog' ]
 * ```
 */
export function parseNames(text: string, classes?: number): string[] {
  const names = text.split(/\r?\n/).map((line) => line.trim());
  while (names.at(-1) === '') names.pop();
  if (classes !== undefined && names.length !== classes) {
    throw namesError(`the file names ${names.length} classes, the network's head has ${classes}`);
  }
  const empty = names.indexOf('');
  if (empty >= 0) throw namesError(`line ${empty + 1} is empty; expected a class name`);
  return names;
}
