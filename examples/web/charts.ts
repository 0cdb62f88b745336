/** Charts on canvases, in the page's colours. */

interface Area {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  colour: (name: 'ink' | 'soft' | 'line' | 'accent' | 'warn') => string;
}

/** A canvas as large as it is shown, in CSS pixels, empty. */
function begin(canvas: HTMLCanvasElement): Area {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = devicePixelRatio;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext('2d')!;
  context.scale(ratio, ratio);
  context.font = '12px system-ui, sans-serif';
  context.textBaseline = 'middle';
  const style = getComputedStyle(document.documentElement);
  return { context, width, height, colour: (name) => style.getPropertyValue(`--${name}`) };
}

const LEFT = 60;
const BOTTOM = 20;
const TOP = 6;
const RIGHT = 8;

/** What each layer has sent in each step, as a raster: a row a layer, a column a step, the stronger the more spikes a neuron. */
export function drawRaster(
  canvas: HTMLCanvasElement,
  layers: readonly string[],
  /** [step][layer] spikes a neuron in this step */
  rates: readonly (readonly number[])[],
  steps: number,
  shown: number,
): void {
  const { context, width, height, colour } = begin(canvas);
  const [cell, row] = [(width - LEFT - RIGHT) / steps, (height - TOP - BOTTOM) / Math.max(1, layers.length)];
  const most = Math.max(1e-9, ...rates.flat());
  for (const [i, name] of layers.entries()) {
    context.fillStyle = colour('soft');
    context.fillText(name, 0, TOP + (i + 0.5) * row, LEFT - 6);
    context.fillStyle = colour('accent');
    for (const [step, rate] of rates.entries()) {
      // the eye tells weak shades apart better than strong ones
      context.globalAlpha = Math.sqrt(rate[i]! / most);
      context.fillRect(LEFT + step * cell, TOP + i * row, Math.max(1, cell - 1), Math.max(1, row - 1));
    }
    context.globalAlpha = 1;
  }
  context.fillStyle = colour('soft');
  context.fillText('1', LEFT, height - BOTTOM / 2);
  context.textAlign = 'right';
  context.fillText(`${steps} steps`, width - RIGHT, height - BOTTOM / 2);
  if (shown > 0 && rates.length > 0) {
    context.strokeStyle = colour('ink');
    context.lineWidth = 2;
    context.strokeRect(LEFT + (shown - 1) * cell, TOP, Math.max(1, cell - 1), height - TOP - BOTTOM);
  }
}

/** A value over steps or frames as a line; `mark` is a level to compare with, `shown` the step that is looked at. */
export function drawLine(
  canvas: HTMLCanvasElement,
  values: readonly number[],
  { length, shown, mark, unit }: { length: number; shown?: number; mark?: number; unit: string },
): void {
  const { context, width, height, colour } = begin(canvas);
  const most = Math.max(mark ?? 0, ...values, 1e-6) * 1.05;
  const x = (i: number) => LEFT + (length < 2 ? 0 : (i / (length - 1)) * (width - LEFT - RIGHT));
  const y = (value: number) => height - BOTTOM - (value / most) * (height - TOP - BOTTOM);
  context.strokeStyle = colour('line');
  context.strokeRect(LEFT, TOP, width - LEFT - RIGHT, height - TOP - BOTTOM);
  context.fillStyle = colour('soft');
  context.textAlign = 'right';
  context.fillText(most.toPrecision(2), LEFT - 6, TOP + 6);
  context.fillText('0', LEFT - 6, height - BOTTOM);
  context.fillText(unit, width - RIGHT, height - BOTTOM / 2);
  if (mark !== undefined) {
    context.setLineDash([4, 4]);
    context.strokeStyle = colour('warn');
    context.beginPath();
    context.moveTo(LEFT, y(mark));
    context.lineTo(width - RIGHT, y(mark));
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colour('warn');
    context.textAlign = 'left';
    context.fillText('float network', LEFT + 4, y(mark) + (y(mark) > TOP + 16 ? -8 : 8));
  }
  context.strokeStyle = colour('accent');
  context.lineWidth = 2;
  context.beginPath();
  for (const [i, value] of values.entries()) context.lineTo(x(i), y(value));
  context.stroke();
  const at = shown === undefined ? values.length - 1 : shown - 1;
  if (values[at] === undefined) return;
  context.fillStyle = colour('accent');
  context.beginPath();
  context.arc(x(at), y(values[at]), 4, 0, 2 * Math.PI);
  context.fill();
}
