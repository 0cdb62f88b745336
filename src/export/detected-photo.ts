import type { Detection } from '../heads/nms.js';

/** What an export needs of a photo. */
export interface DetectedPhoto {
  path: string;
  absolutePath?: string | undefined;
  width: number;
  height: number;
  detections: Detection[];
}

/** Which photo a record is of: its absolute path, where the record has one. */
export const photoOf = ({
  path,
  absolutePath,
}: {
  path: string;
  absolutePath?: string | undefined;
}): string => absolutePath ?? path;
