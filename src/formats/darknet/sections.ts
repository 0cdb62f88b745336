import { cfgError } from '../../errors.js';

/** A key's value and where it stands. */
export interface Option {
  value: string;
  line: number;
  used: boolean;
}

/** A section of a cfg. */
export interface Section {
  name: string;
  line: number;
  options: Map<string, Option>;
}

/** Options that matter only while a network is trained, or that restate its default. */
const TRAINING_ONLY: Record<string, ReadonlySet<string>> = {
  net: new Set(
    'batch subdivisions momentum decay angle saturation exposure hue learning_rate burn_in max_batches policy steps scales max_crop min_crop flip power gamma step seq_scales time_steps adam B1 B2 eps max_epochs aspect random inputs max_ratio min_ratio center notruth clip'.split(
      ' ',
    ),
  ),
  convolutional: new Set(['dontload', 'dontloadscales', 'stopbackward', 'onlyforward', 'learning_rate']),
  maxpool: new Set(['stopbackward', 'onlyforward', 'dontload']),
  shortcut: new Set(['stopbackward', 'onlyforward']),
  route: new Set(['stopbackward', 'onlyforward']),
  upsample: new Set(['stopbackward', 'onlyforward']),
  dropout: new Set(['probability', 'dropblock', 'dropblock_size_rel', 'dropblock_size_abs']),
  yolo: new Set(
    'jitter ignore_thresh truth_thresh random iou_thresh cls_normalizer iou_normalizer obj_normalizer iou_loss iou_thresh_kind nms_kind beta_nms max_delta max resize objectness_smooth label_smooth_eps focal_loss map counters_per_class stopbackward onlyforward'.split(
      ' ',
    ),
  ),
  region: new Set(
    'bias_match jitter rescore object_scale noobject_scale class_scale coord_scale mask_scale absolute thresh random log sqrt max stopbackward onlyforward truth_thresh ignore_thresh'.split(
      ' ',
    ),
  ),
};

const ALIASES = new Map([
  ['network', 'net'],
  ['conv', 'convolutional'],
  ['max', 'maxpool'],
]);

/** The sections of a cfg; throws `CFG` for a line that is neither a header nor a key with its value. */
export function parseSections(text: string): Section[] {
  const sections: Section[] = [];
  const lines = text.split(/\r?\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const content = raw.replace(/\s+/g, '');
    if (content === '' || content.startsWith('#') || content.startsWith(';')) continue;
    if (content.startsWith('[')) {
      const name = /^\[(\w+)\]$/.exec(content)?.[1];
      if (!name)
        throw cfgError(
          `line ${line}: "${raw.trim().slice(0, 60)}" is not a section header like [convolutional]`,
        );
      sections.push({ name: ALIASES.get(name) ?? name, line, options: new Map() });
      continue;
    }
    const [key, ...rest] = content.split('=');
    const section = sections.at(-1);
    if (rest.length === 0 || key === '') {
      throw cfgError(`line ${line}: expected "key=value", found "${raw.trim().slice(0, 60)}"`);
    }
    if (!section) throw cfgError(`line ${line}: option "${key}" stands before the first [section]`);
    if (section.options.has(key!))
      throw cfgError(`[${section.name}] line ${line}: option "${key}" is given twice`);
    section.options.set(key!, { value: rest.join('='), line, used: false });
  }
  return sections;
}

/** An option, marked as understood. */
export function take(section: Section, key: string): Option | undefined {
  const option = section.options.get(key);
  if (option) option.used = true;
  return option;
}

/** A whole number, or its default; throws `CFG`. */
export function integer(
  section: Section,
  key: string,
  fallback: number | undefined,
  min: number,
  max: number,
): number {
  const option = take(section, key);
  if (!option) {
    if (fallback !== undefined) return fallback;
    throw cfgError(`[${section.name}] line ${section.line}: "${key}" is missing`);
  }
  const value = /^-?\d+$/.test(option.value) ? Number(option.value) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw cfgError(
      `[${section.name}] line ${option.line}: "${key}" is "${option.value.slice(0, 40)}"; expected a whole number from ${min} to ${max}`,
    );
  }
  return value;
}

/** Refuses an option whose only supported value is its default. */
export function requireValue(section: Section, key: string, value: number) {
  integer(section, key, value, value, value);
}

/** Throws `CFG` for an option that was not asked for and does not belong to training alone. */
export function refuseUnknown(section: Section) {
  for (const [key, option] of section.options) {
    if (!option.used && !TRAINING_ONLY[section.name]?.has(key)) {
      throw cfgError(`[${section.name}] line ${option.line}: option "${key}" is not supported`);
    }
  }
}

/** Numbers separated by commas, or the default; throws `CFG` unless each is one and passes. */
export function numbers(
  section: Section,
  key: string,
  fallback: number[] | undefined,
  passes: (value: number) => boolean,
  expected: string,
): number[] {
  const option = take(section, key);
  if (!option) {
    if (fallback) return fallback;
    throw cfgError(`[${section.name}] line ${section.line}: "${key}" is missing`);
  }
  const values = option.value.split(',').map((text) => (text === '' ? Number.NaN : Number(text)));
  if (values.every((value) => Number.isFinite(value) && passes(value))) return values;
  throw cfgError(
    `[${section.name}] line ${option.line}: "${key}" is "${option.value.slice(0, 60)}"; expected ${expected}`,
  );
}
