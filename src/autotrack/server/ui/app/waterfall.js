// The training calls of a run over its time: a tree with a bar for each.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { count, duration, plain } from "./text.js";

/** @typedef {import("./api.js").Fit} Fit */
/** @typedef {{fit: Fit, depth: number}} Node */
/** @typedef {{name: string, depth: number, n: number, start: number, end: number, busy: number, error: string | null}} Call times in s of the run */

const ALIKE = 3; // calls alike in a row that are drawn one by one; more of them are one line
const MOST = 60;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

/** @param {{run: import("./api.js").Run, fits: Fit[]}} props */
export function Waterfall({ run, fits }) {
  const [all, setAll] = useState(false);
  const calls = grouped(tree(fits), run.started);
  const whole = Math.max(run.duration, ...calls.map(({ end }) => end)) || 1;
  const shown = all ? calls : calls.slice(0, MOST);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Training calls"><table class="plain waterfall">
    <thead><tr>
      <th scope="col">call</th><th scope="col" class="number">duration</th>
      <th scope="col"><div class="axis">${TICKS.map((tick) => html`<span key=${tick} style=${{ left: `${tick * 100}%` }}>${tick ? duration(tick * whole) : "0"}</span>`)}</div></th>
    </tr></thead>
    <tbody>${shown.map((call, i) => html`<tr key=${i}>
      <th scope="row" style=${{ paddingLeft: `${call.depth * 16}px` }}>${plain(call.name)}
        ${call.n > 1 && html` <span class="dim">${count(call.n, "call")}</span>`}
        ${call.error && html` <span class="failed">✗ ${plain(call.error)}</span>`}
      </th>
      <td class="number">${duration(call.busy)}</td>
      <td><div class="track" title=${`from ${duration(call.start)} to ${duration(call.end)}`}>
        <div class=${call.error ? "bar error" : "bar"} style=${{ left: `${(call.start / whole) * 100}%`, width: `${((call.end - call.start) / whole) * 100}%` }}></div>
      </div></td>
    </tr>`)}</tbody>
  </table></div>
  ${calls.length > shown.length && html`<button class="quiet" onClick=${() => setAll(true)}>show ${count(calls.length - MOST, "more line")}</button>`}`;
}

/** Children below their parents; whatever the parents say, each call is there once. @param {Fit[]} fits @returns {Node[]} */
function tree(fits) {
  const known = new Set(fits.map(({ id }) => id));
  /** @type {Map<string | null, Fit[]>} */
  const below = Map.groupBy(fits, ({ parent }) => (parent && known.has(parent) ? parent : null));
  /** @type {Node[]} */
  const drawn = [];
  const put = (/** @type {string | null} */ parent, /** @type {number} */ depth) => {
    const children = below.get(parent) ?? [];
    below.delete(parent);
    for (const fit of children) {
      drawn.push({ fit, depth });
      put(fit.id, depth + 1);
    }
  };
  put(null, 0);
  for (const circle of [...below.values()]) drawn.push(...circle.map((fit) => ({ fit, depth: 0 })));
  return drawn;
}

/** Calls that are alike as one line. @param {Node[]} nodes @param {number} started ns @returns {Call[]} */
function grouped(nodes, started) {
  /** @type {Node[][]} */
  const groups = [];
  for (const node of nodes) {
    const last = groups.at(-1);
    if (last && alike(last[0], node)) last.push(node);
    else groups.push([node]);
  }
  return groups
    .flatMap((group) => (group.length > ALIKE ? [group] : group.map((node) => [node])))
    .map((group) => lineOf(group, started));
}

const alike = (/** @type {Node} */ a, /** @type {Node} */ b) =>
  a.fit.parent === b.fit.parent && a.fit.name === b.fit.name && a.fit.error === b.fit.error;

function lineOf(/** @type {Node[]} */ nodes, /** @type {number} */ started) {
  const { fit: { name, error }, depth } = nodes[0];
  const spans = nodes.map(({ fit }) => ({ start: (fit.started - started) / 1e9, length: fit.duration }));
  return {
    name, error, depth, n: nodes.length,
    start: Math.max(spans[0].start, 0),
    end: Math.max(...spans.map(({ start, length }) => start + length)),
    busy: spans.reduce((sum, { length }) => sum + length, 0),
  };
}
