import { type Table, toMarkdownTable } from './tables.js';

/** A part of the report: what it shows, and under which settings. */
export interface Section {
  /** File name of its figure, and its anchor in the page. */
  id: string;
  title: string;
  /** Sentences below the title: what was measured, on how many photos. */
  caption: string[];
  svg?: string;
  tables?: { title?: string; table: Table }[];
  /** Findings, one a line. */
  findings?: string[];
}

export const escapeMarkup = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h2{margin-top:2.2em;border-bottom:1px solid #ddd}figure{margin:1em 0;overflow-x:auto}svg{max-width:100%;height:auto}
div{overflow-x:auto}table{border-collapse:collapse;font-size:13px;margin:.5em 0 1em}
td,th{border:1px solid #ccc;padding:2px 8px;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}p.caption{color:#555}`;

const htmlTable = ([header, ...rows]: Table) => {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeMarkup(cell)}</${tag}>`).join('')}</tr>`;
  return `<div><table>${row(header!, 'th')}${rows.map((cells) => row(cells, 'td')).join('\n')}</table></div>`;
};

/** One self-contained page: figures are in it, and nothing is loaded. */
export function toHtml(title: string, introduction: readonly string[], sections: readonly Section[]): string {
  const body = sections.map(
    ({ id, title: heading, caption, svg, tables = [], findings = [] }) =>
      `<h2 id="${id}">${escapeMarkup(heading)}</h2>
<p class="caption">${caption.map(escapeMarkup).join(' ')}</p>
${svg ? `<figure>${svg}</figure>` : ''}
${tables.map(({ title: name, table }) => `${name ? `<h3>${escapeMarkup(name)}</h3>` : ''}${htmlTable(table)}`).join('\n')}
${findings.length > 0 ? `<ul>${findings.map((line) => `<li>${escapeMarkup(line)}</li>`).join('')}</ul>` : ''}`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeMarkup(title)}</title><style>${STYLE}</style></head>
<body><h1>${escapeMarkup(title)}</h1>
${introduction.map((line) => `<p>${escapeMarkup(line)}</p>`).join('\n')}
${body.join('\n')}
</body></html>
`;
}

/** The same as Markdown, its figures beside it. */
export function toMarkdown(
  title: string,
  introduction: readonly string[],
  sections: readonly Section[],
): string {
  const blocks = sections.flatMap(({ id, title: heading, caption, svg, tables = [], findings = [] }) => [
    `## ${heading}`,
    caption.join(' '),
    ...(svg ? [`![${heading}](${id}.svg)`] : []),
    ...tables.flatMap(({ title: name, table }) => [...(name ? [`### ${name}`] : []), toMarkdownTable(table)]),
    ...(findings.length > 0 ? [findings.map((line) => `- ${line}`).join('\n')] : []),
  ]);
  return `${[`# ${title}`, ...introduction, ...blocks].join('\n\n')}\n`;
}
