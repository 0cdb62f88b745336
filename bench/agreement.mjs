import { intersectionOverUnion } from '../dist/index.js';

/** How many boxes are found twice, once by each of two runs: of one class, with an overlap of .5 at least, each once. */
export function foundTwice(ours, theirs) {
  const left = [...theirs];
  return ours.filter(({ classId, box }) => {
    const at = left.findIndex(
      (other) => other.classId === classId && intersectionOverUnion(other.box, box) >= 0.5,
    );
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  }).length;
}
