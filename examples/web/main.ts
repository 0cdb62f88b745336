/** The page: a model, a picture or the camera, and what neurons make of it. */
import {
  annEnergyOf,
  type Detection,
  energyOf,
  type FixedWork,
  type FrameResult,
  SpikingYoloError,
  type StepResult,
  videoFrames,
  WebDetector,
} from 'spiking-yolo/web';
import astronautUrl from '../../samples/astronaut.jpg?url';
import catUrl from '../../samples/cat.jpg?url';
import { drawLine, drawRaster } from './charts.js';
import { type Drawable, drawPicture } from './picture.js';

const MODELS = [
  {
    name: 'Tiny YOLO lite (2.7 MB)',
    url: new URL('../../models/tiny-yolo-lite-voc.safetensors', import.meta.url),
  },
  { name: 'Tiny YOLO plus (5 MB)', url: new URL('../../models/tiny-yolo-plus.safetensors', import.meta.url) },
];
const OWN = 'your own';
const SAMPLES = [
  { name: 'cat', url: catUrl },
  { name: 'astronaut', url: astronautUrl },
];
/** T of a run step by step. */
const STEPS = 32;
/** Frames that the charts look back. */
const HISTORY = 120;
/** How long a step is shown when they are played. */
const PLAY_MS = 150;

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const page = {
  error: element('error'),
  model: element<HTMLSelectElement>('model'),
  own: element('own'),
  modelFile: element<HTMLInputElement>('model-file'),
  samples: element('samples'),
  photo: element<HTMLInputElement>('photo'),
  camera: element<HTMLButtonElement>('camera'),
  picture: element<HTMLCanvasElement>('picture'),
  progress: element<HTMLProgressElement>('progress'),
  status: element('status'),
  time: element('time'),
  play: element<HTMLButtonElement>('play'),
  step: element<HTMLInputElement>('step'),
  stepShown: element<HTMLOutputElement>('step-shown'),
  live: element('live'),
  heat: element<HTMLInputElement>('heat'),
  found: element('found'),
  rasterFigure: element('raster-figure'),
  rateTitle: element('rate-title'),
  energyTitle: element('energy-title'),
  raster: element<HTMLCanvasElement>('raster'),
  rate: element<HTMLCanvasElement>('rate'),
  energy: element<HTMLCanvasElement>('energy'),
};

/** The network that is chosen, and how far it is loaded. */
let chosen: URL | File = MODELS[0]!.url;
let loading: { network: Promise<WebDetector>; controller: AbortController } | undefined;
/** What is looked at ends when something else is. */
let current = new AbortController();
/** Looks at the same again, with another network. */
let look: () => Promise<void> = () => showPhoto(catUrl);
/** The photo that is gone back to where the camera ends or fails. */
let lookAtPhoto = look;
/** Draws the charts again, when the page's extent or colours change. */
let redraw = () => {};

const percent = (part: number) => `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)} %`;

/** The network that is chosen; one that failed to load is loaded again. */
function network(): Promise<WebDetector> {
  if (loading) return loading.network;
  const controller = new AbortController();
  page.progress.hidden = false;
  page.progress.removeAttribute('value');
  const load = WebDetector.load({
    model: chosen,
    signal: controller.signal,
    onProgress: (bytes, total) => {
      if (total && !controller.signal.aborted) page.progress.value = bytes / total;
    },
  });
  const begun = { network: load, controller };
  loading = begun;
  load
    .catch(() => {
      if (loading === begun) loading = undefined;
    })
    .finally(() => {
      if (loading === begun || !loading) page.progress.hidden = true;
    });
  return load;
}

/** Takes another network for what is looked at. */
function useModel(source: URL | File): void {
  loading?.controller.abort();
  void loading?.network.then(
    (detector) => detector.close(),
    () => {},
  );
  loading = undefined;
  chosen = source;
  void look();
}

/** An empty page: nothing of what was seen before stays. */
function clear(): void {
  redraw = () => {};
  for (const part of [page.error, page.time, page.live]) part.hidden = true;
  for (const chart of [page.raster, page.rate, page.energy]) chart.width = 0;
  page.picture.getContext('2d')!.clearRect(0, 0, page.picture.width, page.picture.height);
  page.picture.ariaLabel = 'no picture yet';
  page.rateTitle.textContent = 'Spikes per neuron';
  page.energyTitle.textContent = 'Energy, float network = 1';
  page.camera.ariaPressed = 'false';
  page.status.ariaLive = 'polite';
  showFound([]);
}

/** Looks at something in place of what was looked at; tells what goes wrong, unless something else is looked at by then. */
async function attempt(work: (detector: WebDetector, signal: AbortSignal) => Promise<void>): Promise<void> {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  clear();
  try {
    if (!loading) page.status.textContent = 'Loading the network …';
    const detector = await network();
    if (!signal.aborted) await work(detector, signal);
  } catch (error) {
    if (signal.aborted) return;
    clear();
    page.status.textContent = '';
    page.error.hidden = false;
    page.error.textContent = error instanceof Error ? error.message : String(error);
  }
}

/** The energy of a run with so many synaptic operations, in that of the float network. */
const energyShare = (work: FixedWork, sops: number) =>
  energyOf(work, sops).energyPicojoules / annEnergyOf(work).energyPicojoules;

function showFound(detections: readonly Detection[]): void {
  page.found.replaceChildren(
    ...detections.map(({ class: name, score }) => {
      const [item, left, right] = [
        document.createElement('li'),
        new Text(name),
        document.createElement('span'),
      ];
      right.textContent = percent(score);
      item.append(left, right);
      return item;
    }),
  );
}

/** The steps of a picture that have been simulated, and the one that is shown. */
class Timeline {
  private readonly picture: Drawable;
  private readonly work: FixedWork;
  private readonly results: StepResult[] = [];
  private shown = 0;
  private playing: ReturnType<typeof setInterval> | undefined;

  constructor(picture: Drawable, work: FixedWork, signal: AbortSignal) {
    this.picture = picture;
    this.work = work;
    page.step.max = String(STEPS);
    page.play.textContent = 'Play';
    page.step.addEventListener('input', () => this.pick(Number(page.step.value)), { signal });
    page.play.addEventListener('click', () => (this.playing === undefined ? this.play() : this.pause()), {
      signal,
    });
    signal.addEventListener('abort', () => this.pause());
    redraw = () => this.draw();
  }

  add(result: StepResult): void {
    this.results.push(result);
    // boxes sharpen as they come, until someone picks a step
    if (this.shown === this.results.length - 1) this.show(this.results.length);
    else this.draw();
  }

  private pick(step: number): void {
    this.pause();
    this.show(step);
  }

  private show(step: number): void {
    this.shown = Math.min(step, this.results.length);
    page.step.value = String(this.shown);
    page.step.ariaValueText = page.stepShown.value = `${this.shown} of ${STEPS}`;
    const result = this.results[this.shown - 1];
    if (!result) return;
    drawPicture(page.picture, this.picture, result.detections);
    showFound(result.detections);
    this.draw();
  }

  private play(): void {
    page.play.textContent = 'Pause';
    this.show(this.shown >= this.results.length ? 1 : this.shown);
    this.playing = setInterval(() => {
      if (this.shown >= this.results.length) this.pause();
      else this.show(this.shown + 1);
    }, PLAY_MS);
  }

  private pause(): void {
    clearInterval(this.playing);
    this.playing = undefined;
    page.play.textContent = 'Play';
  }

  private draw(): void {
    const { results, shown } = this;
    const firing = results[0]?.layers.filter(({ neurons }) => neurons > 0).map(({ name }) => name) ?? [];
    const rates = results.map(({ layers }, i) =>
      firing.map((name) => {
        const { spikes, neurons } = layers.find((layer) => layer.name === name)!;
        const before = results[i - 1]?.layers.find((layer) => layer.name === name)?.spikes ?? 0;
        return (spikes - before) / neurons;
      }),
    );
    drawRaster(page.raster, firing, rates, STEPS, shown);
    const spikes = results.map(({ spikesPerNeuron }) => spikesPerNeuron);
    drawLine(page.rate, spikes, { length: STEPS, shown, unit: 'steps' });
    const energy = results.map(({ sops }) => energyShare(this.work, sops));
    drawLine(page.energy, energy, { length: STEPS, shown, mark: 1, unit: 'steps' });
    const at = results[shown - 1];
    if (!at) return;
    page.rateTitle.textContent = `Spikes per neuron: ${at.spikesPerNeuron.toFixed(2)} after ${at.step} steps`;
    page.energyTitle.textContent = `Energy, float network = 1: ${energyShare(this.work, at.sops).toFixed(2)}`;
  }
}

/** A file of this page; a Blob is what it is. */
async function blobOf(source: Blob | string, signal: AbortSignal): Promise<Blob> {
  if (source instanceof Blob) return source;
  const response = await fetch(source, { signal }).catch(() => undefined);
  if (!response?.ok) throw new Error('The sample cannot be loaded: this page’s host does not answer.');
  return response.blob();
}

/** A photo: all layers once, then step by step, if the network can. */
function showPhoto(source: Blob | string): Promise<void> {
  look = lookAtPhoto = () => showPhoto(source);
  return attempt(async (detector, signal) => {
    page.status.textContent = 'Looking …';
    const photo = await blobOf(source, signal);
    // what cannot be looked at is not shown
    const result = await detector.detect(photo);
    const picture = await createImageBitmap(photo);
    if (signal.aborted) return;
    drawPicture(page.picture, picture, result.detections);
    showFound(result.detections);
    const { work, schedules } = detector;
    const ms = result.elapsedMs.network + result.elapsedMs.resize + result.elapsedMs.postprocess;
    const found = `${result.detections.length || 'no'} object${result.detections.length === 1 ? '' : 's'}`;
    const energy = energyShare(work, result.sops);
    const summary = `Layer by layer: ${found} in ${ms.toFixed(0)} ms, ${result.spikesPerNeuron.toFixed(1)} spikes a neuron, ${energy.toFixed(1)} × the float network’s energy.`;
    const bySteps = schedules.includes('steps');
    page.rasterFigure.hidden = !bySteps;
    if (!bySteps) {
      page.status.textContent = `${summary} This network runs layer by layer only: it has no time steps to show.`;
      const rate = result.spikesPerNeuron;
      redraw = () => {
        drawLine(page.rate, [rate], { length: 1, unit: 'one picture' });
        drawLine(page.energy, [energy], { length: 1, mark: 1, unit: 'one picture' });
        page.rateTitle.textContent = `Spikes per neuron: ${rate.toFixed(2)}`;
        page.energyTitle.textContent = `Energy, float network = 1: ${energy.toFixed(2)}`;
      };
      return redraw();
    }
    page.status.textContent = `${summary} Now step by step …`;
    page.time.hidden = false;
    const timeline = new Timeline(picture, work, signal);
    for await (const step of detector.steps(photo, { steps: STEPS })) {
      if (signal.aborted) return;
      timeline.add(step);
    }
    page.status.textContent = summary;
  });
}

/** Why there is no camera, for people. */
function cameraError(error: unknown): Error {
  if (!(error instanceof DOMException)) return error as Error;
  const reasons: Record<string, string> = {
    NotAllowedError: 'The camera may not be used: permission was refused.',
    NotFoundError: 'No camera was found.',
    NotReadableError: 'The camera is used by another program, or does not answer.',
  };
  return new Error(reasons[error.name] ?? error.message);
}

/** The camera, as a stream: only what changes goes through the network. */
async function showCamera(): Promise<void> {
  look = lookAtPhoto;
  await attempt(async (detector, signal) => {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new SpikingYoloError('USAGE', 'Browsers give the camera to pages from https or localhost only.');
    const media = await navigator.mediaDevices
      .getUserMedia({ video: { facingMode: 'environment', width: { ideal: 640 } } })
      .catch((error) => {
        throw cameraError(error);
      });
    const video = document.createElement('video');
    const stop = () => {
      for (const track of media.getTracks()) track.stop();
      video.srcObject = null;
    };
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop);
    look = showCamera;
    page.camera.ariaPressed = 'true';
    page.live.hidden = false;
    // a new line many times a second is not to be read out
    page.status.ariaLive = 'off';
    page.rasterFigure.hidden = true;
    page.status.textContent = 'Waiting for the camera …';
    video.muted = true;
    video.playsInline = true;
    video.srcObject = media;
    const stream = detector.stream({ changeMap: true });
    try {
      await video.play();
      const history: FrameResult[] = [];
      for await (const frame of stream.frames(videoFrames(video, { signal }), { signal })) {
        if (signal.aborted) return;
        history.push(frame);
        if (history.length > HISTORY) history.shift();
        showFrame(video, history, detector);
      }
    } finally {
      stop();
      await stream.close();
    }
  });
}

function showFrame(
  video: HTMLVideoElement,
  history: readonly FrameResult[],
  { input, work }: WebDetector,
): void {
  const frame = history.at(-1)!;
  const { detections, changeMap: grid, elapsedMs, changed, spikesPerNeuron = 0 } = frame;
  drawPicture(
    page.picture,
    video,
    detections,
    page.heat.checked && grid ? { grid, input, resize: frame.resize } : undefined,
  );
  showFound(detections);
  const ms = elapsedMs.network + elapsedMs.resize + elapsedMs.postprocess + (elapsedMs.decode ?? 0);
  page.status.textContent = `Frame ${frame.frame + 1}: ${ms.toFixed(0)} ms, ${percent(changed)} of the neurons’ words changed.`;
  const energy = history.map(({ sops = 0 }) => energyShare(work, sops));
  redraw = () => {
    const rates = history.map((each) => each.spikesPerNeuron ?? 0);
    drawLine(page.rate, rates, { length: HISTORY, unit: 'frames' });
    drawLine(page.energy, energy, { length: HISTORY, mark: 1, unit: 'frames' });
    page.rateTitle.textContent = `Spikes per neuron and frame: ${spikesPerNeuron.toFixed(3)}`;
    page.energyTitle.textContent = `Energy of a frame, float network = 1: ${energy.at(-1)!.toFixed(3)}`;
  };
  redraw();
}

for (const { name } of MODELS) page.model.add(new Option(name));
page.model.add(new Option('your own …', OWN));

/** Takes a model of one's own; the list says so, too. */
function useFile(file: File): void {
  page.model.value = OWN;
  page.own.hidden = false;
  useModel(file);
}

page.model.addEventListener('change', () => {
  page.own.hidden = page.model.value !== OWN;
  const known = MODELS[page.model.selectedIndex];
  if (known) useModel(known.url);
});
page.modelFile.addEventListener('change', () => {
  const [file] = page.modelFile.files!;
  if (file) useFile(file);
  // the same file again is a choice, too
  page.modelFile.value = '';
});
for (const { name, url } of SAMPLES) {
  const [button, image] = [document.createElement('button'), new Image()];
  button.type = 'button';
  [image.src, image.alt] = [url, name];
  button.append(image);
  button.addEventListener('click', () => showPhoto(url));
  page.samples.append(button);
}
page.photo.addEventListener('change', () => {
  const [file] = page.photo.files!;
  if (file) void showPhoto(file);
  page.photo.value = '';
});
page.camera.addEventListener('click', () => {
  if (page.camera.ariaPressed !== 'true') return showCamera();
  current.abort();
  clear();
  look = lookAtPhoto;
  page.status.textContent = 'The camera is off.';
  return undefined;
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dropping');
});
addEventListener('dragleave', () => document.body.classList.remove('dropping'));
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  if (/\.safetensors$/i.test(file.name)) useFile(file);
  else void showPhoto(file);
});
new ResizeObserver(() => redraw()).observe(page.rate);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => redraw());

void look();
