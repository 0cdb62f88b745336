/** COCO's 80 classes in the order of every network trained on them, and the numbers that COCO itself gives them. */
import { canonicalClassName } from '../evaluation/class-names.js';

const NAMES =
  'person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster sink refrigerator book clock vase scissors teddy_bear hair_drier toothbrush'
    .split(' ')
    .map((name) => name.replaceAll('_', ' '));
const CANONICAL = NAMES.map(canonicalClassName);

/** Of the numbers 1 to 90 these are classes that were left out. */
const LEFT_OUT = new Set([12, 26, 29, 30, 45, 66, 68, 69, 71, 83]);
const CATEGORY_IDS = Array.from({ length: 90 }, (_, i) => i + 1).filter((id) => !LEFT_OUT.has(id));

/** True if classes have COCO's names, in either spelling, at COCO's places. */
export const areCocos = (names: ReadonlyMap<number, string>): boolean =>
  names.size > 0 && [...names].every(([classId, name]) => CANONICAL[classId] === canonicalClassName(name));

/** COCO's own number of a class. */
export const cocoCategoryId = (classId: number): number => CATEGORY_IDS[classId]!;

/** A class by COCO's spelling, where COCO has it: `motorcycle` for `motorbike`; any other as it is. */
export const cocoClassName = (name: string): string =>
  NAMES[CANONICAL.indexOf(canonicalClassName(name))] ?? name;
