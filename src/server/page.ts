/** What `GET /` shows: the state, and a picture to try. No script or style comes from elsewhere. @param example whether /web/ is there */
export const pageOf = (example: boolean): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Spiking-YOLO</title>
<style>
  :root { color-scheme: light dark; font-family: system-ui, sans-serif; }
  body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
  canvas { max-width: 100%; }
  pre { overflow-x: auto; }
</style>
<main>
<h1>Spiking-YOLO</h1>
<p id="state" role="status">asking for the state …</p>
<p><label>API key, if one is set: <input id="key" type="password" autocomplete="off"></label></p>
<p><label>A picture to try: <input id="file" type="file" accept="image/*"></label></p>
<canvas id="canvas" width="0" height="0" role="img" aria-label="the picture with its boxes"></canvas>
<pre id="found" aria-live="polite"></pre>
${example ? '<p><a href="web/">The same neurons in this browser: time steps, spikes, the camera</a></p>\n' : ''}</main>
<script>
const by = (id) => document.getElementById(id);
fetch('/healthz').then((r) => r.json()).then((s) => { by('state').textContent = JSON.stringify(s); },
  (error) => { by('state').textContent = String(error); });
by('file').addEventListener('change', async () => {
  const [file] = by('file').files;
  if (!file) return;
  const body = new FormData();
  body.append('image', file);
  if (by('key').value) body.append('api_key', by('key').value);
  const answer = await (await fetch('/v1/vision/detection', { method: 'POST', body })).json();
  if (!answer.success) { by('found').textContent = answer.error; return; }
  const picture = await createImageBitmap(file);
  const canvas = by('canvas');
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const draw = canvas.getContext('2d');
  draw.drawImage(picture, 0, 0);
  draw.strokeStyle = draw.fillStyle = 'red';
  draw.lineWidth = Math.max(2, picture.width / 200);
  draw.font = Math.max(14, picture.width / 40) + 'px sans-serif';
  for (const p of answer.predictions) {
    draw.strokeRect(p.x_min, p.y_min, p.x_max - p.x_min, p.y_max - p.y_min);
    draw.fillText(p.label + ' ' + p.confidence.toFixed(2), p.x_min + 4, p.y_min + 20);
  }
  by('found').textContent = answer.predictions.map((p) => p.label + ' ' + p.confidence.toFixed(2)).join('\\n')
    || 'nothing found';
});
</script>
</html>
`;
