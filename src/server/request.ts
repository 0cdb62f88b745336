import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';

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
export const isKey = (given: string | undefined, key: string): boolean =>
  timingSafeEqual(sha(given ?? ''), sha(key)) && given !== undefined;

/** The key that a request brings in its headers, or among its fields. */
export function keyOf({ headers }: FastifyRequest, fields: Record<string, string>): string | undefined {
  const { authorization } = headers;
  const header = headers['x-api-key'];
  if (typeof header === 'string') return header;
  if (authorization?.startsWith('Bearer ')) return authorization.slice('Bearer '.length);
  return fields.api_key;
}

/** Fields of the query: the last of each name. */
export const queryOf = (request: FastifyRequest): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.query as Record<string, string | string[]>).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.at(-1)! : value,
    ]),
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
  for await (const part of request.parts()) {
    if (part.type === 'field') {
      if (part.valueTruncated || part.fieldnameTruncated)
        throw new Refusal(400, 'a field of the form is too long');
      fields[part.fieldname] = String(part.value);
      continue;
    }
    const bytes = await part.toBuffer();
    if (part.fieldname !== 'image') continue;
    if (image) throw new Refusal(400, 'the form has two pictures; send one a request');
    image = bytes;
  }
  if (!image) throw new Refusal(400, 'the form has no field "image"');
  if (image.length === 0) throw new Refusal(400, 'the picture is empty');
  return { image, fields };
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
