// Several runs side by side: their curves on the same charts, and the params that differ.
import { get } from "./api.js";
import { Chart } from "./chart.js";
import { MOST_LOOKS, looks } from "./colour.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { Problem, StateMark } from "./parts.js";
import { Scales, useScales } from "./run.js";
import { direction, isOfMachine } from "./telling.js";
import { count, float, number, plain, scalar } from "./text.js";
import { change, follow, link, toggled } from "./view.js";

/** @typedef {import("./api.js").Run} Run */
/** @typedef {{key: string, run: Run, title: string, to: import("./view.js").View}} Side a column: a run, or what was made by it */
/** @typedef {{title: string, cells: any[], isSame?: boolean}} Fact a row above the params; `isSame`: dimmed, as it tells nothing apart */

const HEIGHT = 260;

/** @param {{wanted: string[]}} props */
export function Compare({ wanted }) {
  const asked = wanted.slice(0, MOST_LOOKS);
  const { value, error } = useLoaded(
    asked.join(","), (signal) => Promise.all(asked.map((id) => get(`runs/${encodeURIComponent(id)}`, {}, signal))), { isLive: true },
  );
  if (!value) return error ? html`<${Problem} error=${error} />` : html`<p class="wait" role="status">…</p>`;
  document.title = `${count(value.length, "run")} · autotrack`;
  const sides = value.map((run) => ({ key: run.id, run, title: plain(run.name) || "-", to: { run: run.id } }));
  const state = { title: "state", cells: value.map((run) => html`<${StateMark} state=${run.state} />`) };
  return html`<article class="run">
    <h1>${count(value.length, "run")} side by side</h1>
    ${wanted.length > asked.length && html`<p class="dim">The first ${asked.length} of ${wanted.length}: more could not be told apart.</p>`}
    <${Problem} error=${error} />
    <${Sides} sides=${sides} facts=${[state]} leave=${(/** @type {string} */ id) => change({ compare: toggled(asked.join(","), id) })} />
  </article>`;
}

/** @param {{sides: Side[], facts: Fact[], leave: (key: string) => void}} props */
export function Sides({ sides, facts, leave }) {
  const { over, log } = useScales();
  const runs = sides.map(({ run }) => run);
  const seen = looks(sides.map(({ key }) => key));
  const series = sides.map(({ key, run, title }) => ({ run, look: seen.get(key), label: title }));
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))].filter((name) => !isOfMachine(name));
  const curves = names.filter((name) => runs.some((run) => run.metrics[name]?.count > 1)).sort(byTelling);
  const params = [...new Set(runs.flatMap((run) => Object.keys(run.params)))];
  const differ = params.filter((name) => new Set(runs.map((run) => scalar(run.params[name], 17))).size > 1);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Values"><table class="plain sides">
      <thead><tr><td></td>${sides.map(({ key, title, to }) => html`<th key=${key} scope="col">
        <${Swatch} look=${seen.get(key)} /> <a href=${link(to)} onClick=${follow}>${title}</a>
        <button class="quiet" aria-label=${`Leave out ${title}`} onClick=${() => leave(key)}>×</button>
      </th>`)}</tr></thead>
      <tbody>
        ${facts.map(({ title, cells, isSame }) => html`<tr key=${`f ${title}`} class=${isSame ? "dim" : ""}><th scope="row">${plain(title)}</th>
          ${cells.map((cell, i) => html`<td key=${sides[i].key}>${cell}</td>`)}</tr>`)}
        ${differ.map((name) => html`<tr key=${`p ${name}`}><th scope="row" class="param">${plain(name)}</th>
          ${sides.map(({ key, run }) => html`<td key=${key}>${scalar(run.params[name])}</td>`)}</tr>`)}
        ${names.sort(byTelling).map((name) => html`<tr key=${`m ${name}`}><th scope="row" class="metric">${plain(name)}</th>
          ${bestOf(name, runs).map(({ text, isBest }, i) => html`<td key=${sides[i].key} class=${isBest ? "strong" : ""}>${text}</td>`)}</tr>`)}
      </tbody>
    </table></div>
    <p class="dim">${params.length > differ.length ? `${count(params.length - differ.length, "param")} the same in all are left out. ` : ""}The best of each metric is bold.</p>
    ${curves.length > 0 && html`<h2>Curves <span class="dim">${curves.length}</span></h2><${Scales} />
      <div class="charts wide">${curves.map((name) => html`<${Chart} key=${name} name=${name} series=${series} over=${over} log=${log} height=${HEIGHT} />`)}</div>`}`;
}

/** @param {{look: import("./colour.js").Look}} props */
function Swatch({ look }) {
  return html`<svg class="line" width="28" height="8" aria-hidden="true"><line x1="0" y1="4" x2="28" y2="4" stroke=${look.colour}
    stroke-width="2" stroke-dasharray=${look.dash.join(" ")} /></svg>`;
}

/** @param {string} name @param {Run[]} runs */
function bestOf(name, runs) {
  const sign = direction(name);
  const values = runs.map((run) => (name in run.metrics ? float(run.metrics[name].last) : NaN));
  const known = values.filter((value) => !Number.isNaN(value));
  const best = sign && known.length > 1 ? Math.max(...known.map((value) => sign * value)) : NaN;
  return runs.map((run, i) => ({ text: name in run.metrics ? number(values[i]) : "", isBest: sign * values[i] === best }));
}

const byTelling = (/** @type {string} */ a, /** @type {string} */ b) => Number(!direction(a)) - Number(!direction(b)) || (a < b ? -1 : 1);
