import { XMLParser } from 'fast-xml-parser';
import { fileError, reasonOf } from '../errors.js';
import type { GroundTruth } from './mean-average-precision.js';

/** All values are text as written, entities decoded. */
const parser = new XMLParser({
  isArray: (name) => name === 'object',
  parseTagValue: false,
  processEntities: true,
  htmlEntities: true,
});

const isTrue = (text: unknown) => typeof text === 'string' && /^(1|true)$/i.test(text);

/**
 * Objects of a PASCAL VOC annotation (XML); throws `FILE` unless every box has a class and four numbers.
 *
 * @example
 * ```ts
 * import { parseVocAnnotation } from 'spiking-yolo';
 *
 * const [cat] = parseVocAnnotation(
 *   '<annotation><object><name>cat</name><bndbox><xmin>48</xmin><ymin>60</ymin><xmax>420</xmax><ymax>299</ymax></bndbox></object></annotation>',
 * );
 * console.log(cat.class, cat.box.x1, cat.difficult); // cat 48 false
 * ```
 */
export function parseVocAnnotation(xml: string): GroundTruth[] {
  let root: { annotation?: { object?: Record<string, unknown>[] } | '' };
  try {
    root = parser.parse(xml, true);
  } catch (error) {
    throw fileError(`the annotation is not well-formed XML: ${reasonOf(error)}`, error);
  }
  // an element without content is an empty text
  if (root.annotation === '') return [];
  if (typeof root.annotation !== 'object') throw fileError('the annotation has no <annotation> element');
  return (root.annotation.object ?? []).map((object, i) => {
    const bounds = (object.bndbox ?? {}) as Record<string, unknown>;
    const [x1, y1, x2, y2] = ['xmin', 'ymin', 'xmax', 'ymax'].map((key) =>
      bounds[key] === '' ? Number.NaN : Number(bounds[key]),
    ) as [number, number, number, number];
    if (typeof object.name !== 'string' || object.name === '' || ![x1, y1, x2, y2].every(Number.isFinite)) {
      throw fileError(`object ${i + 1} of the annotation lacks a name or a box`);
    }
    if (x2 < x1 || y2 < y1)
      throw fileError(`object ${i + 1} of the annotation has a box that ends before it begins`);
    return { class: object.name, box: { x1, y1, x2, y2 }, difficult: isTrue(object.difficult) };
  });
}
