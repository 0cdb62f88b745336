import { join } from 'node:path';
import { DEFAULT_CONVERSION } from '../conversion/convert.js';
import { FloatDetector } from '../detection/detector.js';
import type { EvaluationListener } from '../evaluation/annotated-photos.js';
import { runExperiment } from '../evaluation/experiment.js';
import { writeWhole } from '../files.js';
import { readPhotoFile } from '../image/read-resized.js';
import type { SpikingModel } from '../model/spiking-model.js';
import { drawChart, type Finished, loadVega } from './charts.js';
import {
  type PlannedExperiment,
  planExperiments,
  presetExperiment,
  TUNED_CONVERSION,
} from './experiments.js';
import { type Section, toHtml, toMarkdown } from './page.js';
import {
  activitySections,
  diagnosisSections,
  experimentSections,
  photoSection,
  type ReportOptions,
} from './sections.js';

/** What is told while the report is made. */
export interface ReportListener {
  onExperiment?(title: string, number: number, of: number, steps: number): EvaluationListener;
}

/** Makes the report: `report.html`, `report.md`, one SVG a figure, `results.json`. Returns the photos that failed. */
export async function makeReport(options: ReportOptions, listener: ReportListener = {}): Promise<number> {
  const { trained, photos, out, steps, resize, backend } = options;
  // what is missing is told of now, not after hours
  await loadVega();
  const photo = await readPhotoFile(options.photo);
  const models = new Map<string, Promise<SpikingModel>>();
  const modelOf = (choice: PlannedExperiment['conversion']) => {
    const key = JSON.stringify(choice);
    const model =
      models.get(key) ?? options.convert({ ...DEFAULT_CONVERSION, tune: 'none', ...choice, resize });
    models.set(key, model);
    return model;
  };
  const float = new FloatDetector(trained, 'trained', backend);
  const planned = planExperiments(steps);
  // a preset that it has not is told of before hours, too
  if (options.preset) planned.push(presetExperiment(options.preset, await modelOf(TUNED_CONVERSION)));
  const finished: Finished[] = [];
  for (const [i, experiment] of planned.entries()) {
    const { settings, decoders } = experiment;
    const report = await runExperiment(
      {
        model: await modelOf(experiment.conversion),
        float,
        floatWeights: trained.weightsSha256,
        settings,
        steps: experiment.steps,
        decoders,
        resize,
      },
      photos,
      join(out, 'state', `${experiment.id}.ndjson`),
      backend,
      options.threads,
      listener.onExperiment?.(experiment.label, i + 1, planned.length, settings.steps),
    );
    finished.push({ experiment, report });
  }
  const sections = [
    ...experimentSections(finished),
    ...(await activitySections(options, modelOf)),
    await photoSection(options, photo, modelOf, float),
    ...(await diagnosisSections(options, modelOf, float)),
  ];
  const drawn: Section[] = [];
  for (const { chart, ...section } of sections)
    drawn.push(chart ? { ...section, svg: await drawChart(chart) } : section);
  const title = `Spiking-YOLO's experiments on ${options.name}`;
  const { images, failures, settings } = finished[0]!.report;
  const introduction = [
    `${images} annotated photos${failures > 0 ? ` (${failures} more could not be read)` : ''}; photos resized by ${resize}; λ from ${(settings.conversion as { calibrationPhotos: number }).calibrationPhotos} other photos. mAP: PASCAL VOC, IoU ≥ 0.5, difficult objects ignored, score ≥ .005, NMS .45, 11-point unless it says otherwise; intervals: 95 %, over photos. Error: ‖spiking − float‖ / ‖float‖ of the output map. The float network is the trained one.`,
  ];
  for (const { id, svg } of drawn) if (svg) await writeWhole(join(out, `${id}.svg`), svg);
  await writeWhole(join(out, 'report.html'), toHtml(title, introduction, drawn));
  await writeWhole(join(out, 'report.md'), toMarkdown(title, introduction, drawn));
  await writeWhole(
    join(out, 'results.json'),
    `${JSON.stringify(
      finished.map(({ experiment: { id, label }, report }) => ({ id, label, ...report })),
      null,
      1,
    )}\n`,
  );
  return failures;
}
