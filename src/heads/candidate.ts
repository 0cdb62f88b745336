/** A box in units of the network's input, centre and extent as parts of its width and height. */
export interface Candidate {
  x: number;
  y: number;
  width: number;
  height: number;
  objectness: number;
  /** objectness × class probability, (classes). */
  scores: Float64Array;
}

export const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
