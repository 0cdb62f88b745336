/** How a photo lies: 1 upright, 2 mirrored, 3 upside down … 8, as EXIF's tag 0x0112 counts them. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const ORIENTATION_TAG = 0x0112;
const BYTE = 1;
const SHORT = 3;
const LONG = 4;

/**
 * Orientation of an EXIF block (a TIFF file: byte order, 42, offset of the first image directory). Only that directory's
 * own tag counts, whatever else stands there: other tags are not followed, a thumbnail's directory is not looked at. 1 for a
 * block that is damaged or says nothing. EXIF 2.32, section 4.6.4.
 *
 * @param tiff the block from its byte order on
 */
export function exifOrientation(tiff: Uint8Array): Orientation {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (tiff.length < 8) return 1;
  const order = view.getUint16(0);
  const little = order === 0x4949;
  if (!little && order !== 0x4d4d) return 1;
  if (view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (at + 12 > tiff.length) return 1;
    if (view.getUint16(at, little) !== ORIENTATION_TAG) continue;
    const type = view.getUint16(at + 2, little);
    const value =
      type === SHORT
        ? view.getUint16(at + 8, little)
        : type === LONG
          ? view.getUint32(at + 8, little)
          : type === BYTE
            ? view.getUint8(at + 8)
            : 1;
    return value >= 1 && value <= 8 ? (value as Orientation) : 1;
  }
  return 1;
}
