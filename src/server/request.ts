import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { reasonOf } from '../errors.js';

/** What a client sent: its picture and its fields, of query and form together. */
export interface Asked {
  image: Uint8Array;
  fields: Record<string, string>;
}

/** A request that is answered with a status and a reason instead of a result. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const sha = (text: string) => createHash('sha256').update(text).digest();

/** True if a key is the right one, in a time that does not tell how much of it is. */
export const isKey = (given: string, key: string): boolean => timingSafeEqual(sha(given), sha(key));

/** The keys that a request brings: in its headers, and among its fields. */
export function keysOf({ headers }: FastifyRequest, fields: Record<string, string>): string[] {
  const bearer = /^Bearer +(.*)$/i.exec(headers.authorization ?? '')?.[1];
  const header = headers['x-api-key'];
  return [header, bearer, fields.api_key].filter(
    (key): key is string => typeof key === 'string' && key !== '',
  );
}

/** Fields of the query: the last of each name. */
export const queryOf = (request: FastifyRequest): Record<string, string> =>
  Object.assign(
    Object.create(null),
    Object.fromEntries(
      Object.entries(request.query as Record<string, string | string[]>).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.at(-1)! : value,
      ]),
    ),
  );

/** The picture and the fields of a form, or the picture that is the body. Throws a {@link Refusal} for anything else. */
export async function readAsked(request: FastifyRequest): Promise<Asked> {
  const fields = queryOf(request);
  if (!request.isMultipart()) {
    if (!(request.body instanceof Uint8Array) || request.body.length === 0)
      throw new Refusal(
        400,
        'send a picture: as the field "image" of a form (multipart/form-data), or as the body',
      );
    return { image: request.body, fields };
  }
  let image: Uint8Array | undefined;
  await readForm(request, fields, (bytes) => {
    if (image) throw new Refusal(400, 'the form has two pictures; send one a request');
    image = bytes;
  });
  if (!image) throw new Refusal(400, 'the form has no field "image"');
  if (image.length === 0) throw new Refusal(400, 'the picture is empty');
  return { image, fields };
}

/**
 * Reads a form: its fields into `fields`, each picture to `onImage`; without that, pictures are passed over. Throws a
 * {@link Refusal} for a form that is damaged, or not within its limits.
 */
export async function readForm(
  request: FastifyRequest,
  fields: Record<string, string>,
  onImage?: (bytes: Uint8Array) => void,
): Promise<void> {
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') {
        if (part.valueTruncated || part.fieldnameTruncated)
          throw new Refusal(400, 'a field of the form is too long');
        fields[part.fieldname] = String(part.value);
      } else if (onImage && part.fieldname === 'image') {
        onImage(await part.toBuffer());
      } else {
        part.file.resume();
      }
    }
  } catch (error) {
    if (error instanceof Refusal || typeof (error as { statusCode?: unknown })?.statusCode === 'number')
      throw error;
    throw new Refusal(400, `the form is damaged: ${reasonOf(error)}`);
  }
}

/** A number among the fields, from `least` to `most`; undefined if there is none. Throws a {@link Refusal} for another. */
export function numberOf(
  fields: Record<string, string>,
  name: string,
  least: number,
  most: number,
): number | undefined {
  const text = fields[name];
  if (text === undefined || text.trim() === '') return undefined;
  const value = Number(text);
  if (!(value >= least && value <= most))
    throw new Refusal(400, `${name} is not a number from ${least} to ${most}`);
  return value;
}
