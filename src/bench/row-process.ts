// A process that holds one row of the benchmark, so that memory is its own and runs of different rows can alternate.
import { selectBackend } from '../backend/select.js';
import { withInputSize } from '../conversion/convert.js';
import { resolveSettings } from '../detection/settings.js';
import type { ConvolutionLoad } from '../engine/backend.js';
import { inputsOf, planEngine } from '../engine/plan.js';
import { Simulation } from '../engine/simulation.js';
import { reasonOf } from '../errors.js';
import { readModelBytes, readPhotoBytes } from '../files.js';
import { decodePhoto } from '../image/read-photo.js';
import { resizePhoto } from '../image/resize.js';
import { decodeModel } from '../model/model-file.js';
import { denseMultiplications } from '../network/shapes.js';
import { median } from './median.js';
import type { FromRow, RowFacts, RowSpec, RunTimes, ToRow } from './row.js';

const answer = (message: FromRow) => process.send!(message);

/** Peak resident memory of this process, in bytes. */
const peakRss = () => process.resourceUsage().maxRSS * 1024;

const scaled = ({ everyWord, dense, events, lists, ...blocks }: ConvolutionLoad, reached: number) => ({
  everyWord: everyWord * reached,
  dense: dense * reached,
  events: events * reached,
  lists: lists * reached,
  ...blocks,
});

class Row {
  private readonly spec: RowSpec;
  private readonly simulation: Simulation;
  private readonly pixels: Uint8Array;
  private readonly isa: string;
  private readonly importedRss: number;

  private constructor(
    spec: RowSpec,
    simulation: Simulation,
    pixels: Uint8Array,
    isa: string,
    importedRss: number,
  ) {
    this.spec = spec;
    this.simulation = simulation;
    this.pixels = pixels;
    this.isa = isa;
    this.importedRss = importedRss;
  }

  static async load(spec: RowSpec, photo: string): Promise<Row> {
    const importedRss = process.memoryUsage().rss;
    const { backend } = selectBackend(
      spec.backend === 'native' ? { isa: spec.isa } : { backend: spec.backend },
    );
    const picture = await decodePhoto(await readPhotoBytes(photo));
    const pixels = resizePhoto('stretch', picture, spec.size, spec.size);
    const model = withInputSize(decodeModel(await readModelBytes(spec.model)), spec.size);
    const { steps, schedule, preset, method } = spec;
    const settings = resolveSettings({ steps, schedule }, preset, model);
    const plan = planEngine(model, settings);
    const simulation = new Simulation({ ...plan, ...(method ? { method } : {}) }, backend, spec.threads);
    return new Row(spec, simulation, pixels, backend.isa, importedRss);
  }

  run(): RunTimes {
    const start = performance.now();
    this.simulation.begin(this.pixels);
    const begun = performance.now();
    this.simulation.advanceTo(this.spec.steps);
    return { beginMs: begun - start, stepsMs: performance.now() - begun };
  }

  facts(): RowFacts {
    const { simulation, spec } = this;
    const { stages } = simulation.plan;
    const peakRssBytes = peakRss();
    // of each stage, the middle of three runs
    const times = Array.from({ length: Math.min(spec.runs, 3) }, () => {
      simulation.stageMs = new Float64Array(stages.length);
      this.run();
      return simulation.stageMs;
    });
    const stageMs = stages.map((_, i) => median(times.map((each) => each[i]!)));
    const { perStage, synapticOperations } = simulation.statistics();
    const layers = perStage.flatMap(({ name, neurons, synapticOperations: sops }) => {
      const index = stages.findIndex((stage) => stage.name === name);
      const stage = stages[index]!;
      if (stage.kind !== 'convolution') return [];
      const multiplications = denseMultiplications(stage);
      const inputs = stage.height * stage.width * stage.channels;
      const reached = multiplications / inputs / stage.filters;
      const load = simulation.load(index);
      return {
        ...(load && load.blocks > 0 ? { load: scaled(load, reached) } : {}),
        neurons,
        name,
        msPerStep: stageMs[index]! / spec.steps,
        density: inputsOf(stage).length === 0 ? 1 : sops / multiplications / spec.steps,
        denseMultiplications: multiplications,
      };
    });
    const afterImage = layers.filter(({ name }) =>
      stages.some((stage) => stage.name === name && inputsOf(stage).length > 0),
    );
    return {
      isa: this.isa,
      spikeChecksum: simulation.checksum(),
      sops: synapticOperations,
      denseMultiplications: afterImage.reduce((sum, layer) => sum + layer.denseMultiplications, 0),
      peakRssBytes,
      addedRssBytes: peakRssBytes - this.importedRss,
      layers,
    };
  }
}

let row: Row | undefined;
process.on('message', async (message: ToRow) => {
  try {
    if ('spec' in message) {
      row = await Row.load(message.spec, message.photo);
      answer({ ready: true });
    } else if ('run' in message) {
      answer({ times: row!.run() });
    } else {
      answer({ facts: row!.facts() });
    }
  } catch (error) {
    answer({ error: reasonOf(error) });
  }
});
process.on('disconnect', () => process.exit(0));
