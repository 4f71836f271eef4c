// The table of runs.
import { useEffect, useMemo, useRef } from "preact/hooks";
import { effect, signal, useSignal } from "@preact/signals";
import { ApiError } from "./api.js";
import { NAME, cell, chosen } from "./columns.js";
import { html } from "./html.js";
import { goesOn, nextLook, paced, useLoaded, watch } from "./live.js";
import { Ago, Problem, StateMark, reveal, useKeys, useWidth, useWindow } from "./parts.js";
import * as rows from "./rows.js";
import { count, plain } from "./text.js";
import { change, follow, go, ids, link, toggled, view } from "./view.js";
import { get } from "./api.js";

/** @typedef {import("./rows.js").Line} Line */
/** @typedef {import("./columns.js").Column} Column */

const ROW = 24; // px, as in page.css
const CHECK = 28, SPARE = 18; // px: the box that marks a run; a scrollbar
const ROWS_AHEAD = 60;
const FITS = 80; // characters of a filter
const REFRESH_MS = 1000;

/** How many columns there is no room for. */
const hidden = signal(0);
/** Where the cursor and the scrolling were when the table was left. */
const place = { key: "", top: 0, cursor: "" };

export function Runs() {
  const { filter, order, experiment } = view.value;
  const key = JSON.stringify([filter, order, experiment]);
  useEffect(() => void rows.ask({ filter, order, experiment }), [key]);
  useRenewal();
  return html`
    <h1 class="unseen">Runs</h1>
    <${Toolbar} />
    ${rows.failure.value && !isOfFilter(rows.failure.value)
      && html`<${Problem} error=${rows.failure.value} retry=${rows.renew} />`}
    ${!rows.isThere.value && !rows.failure.value && html`<p class="wait" role="status">…</p>`}
    ${rows.isThere.value && (rows.runs.value.length ? html`<${Table} questionKey=${key} />` : html`<${Nothing} />`)}`;
}

/** Keeps the rows as they are in the store. */
function useRenewal() {
  useEffect(() => {
    /** @type {Set<string>} */
    let changed = new Set();
    const refresh = paced(async () => {
      const ids = changed;
      changed = new Set();
      await rows.renew();
      const onPage = new Set(rows.head.value.map((run) => run.id));
      const others = [...document.querySelectorAll("tr[data-run]")].map((row) => row.getAttribute("data-run") ?? "");
      for (const id of others) if (ids.has(id) && !onPage.has(id)) await rows.renewOne(id).catch(() => {});
      for (const id of rows.children.value.keys()) if (ids.has(id)) await rows.unfold(id).catch(() => {});
    }, REFRESH_MS);
    const unwatch = watch((ids) => {
      for (const id of ids ?? []) changed.add(id);
      refresh();
    });
    const forget = effect(() => {
      const unfolded = [...rows.children.value.values()].flat();
      const going = rows.runs.value.filter(goesOn), goingBelow = unfolded.filter(goesOn);
      if (!going.length && !goingBelow.length && !rows.failure.value) return;
      const timer = setTimeout(() => {
        for (const { id } of going) changed.add(id);
        for (const { parent } of goingBelow) if (parent) changed.add(parent);
        refresh();
      }, nextLook([...rows.head.value, ...unfolded])); // what is beyond may have been silent for less than it says
      return () => clearTimeout(timer);
    });
    return () => {
      unwatch();
      forget();
    };
  }, []);
}

// --- above the table ------------------------------------------------------------------------------

function Toolbar() {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const { filter = "", selected, columns } = view.value;
  useKeys((key, event) => {
    if (key !== "/") return;
    event.preventDefault();
    field.current?.focus();
  });
  useEffect(() => {
    // not by its `value` attribute, which each drawing would set again under the typing hand
    if (field.current) field.current.value = filter;
  }, [filter]);
  const marked = ids(selected);
  const apply = (/** @type {Event} */ event) =>
    change({ filter: /** @type {HTMLInputElement} */ (event.currentTarget).value.trim() });
  return html`<div class="toolbar">
    <${Experiments} />
    <div class="field">
      <input ref=${field} class="filter" type="search" aria-label="Filter" spellcheck=${false}
        autocomplete="off" aria-invalid=${isOfFilter(rows.failure.value)} aria-describedby="filter-error"
        placeholder="filter: metrics.acc > 0.9 and params.lr = 0.1" onChange=${apply} onSearch=${apply} />
      <${FilterError} />
    </div>
    <span class="count" role="status">${total()}</span>
    ${marked.length > 0 && html`<span class="marked">
      <a href=${link({ compare: marked.join(",") })} onClick=${follow}>compare ${marked.length}</a>
      <button class="quiet" onClick=${() => change({ selected: "" })}>unmark</button>
    </span>`}
    ${(columns || hidden.value > 0) && html`<button class="quiet" aria-pressed=${columns === "all"}
      onClick=${() => change({ columns: columns ? "" : "all" })}>
      all columns${hidden.value > 0 && ` (+${hidden.value})`}
    </button>`}
  </div>`;
}

function total() {
  const n = rows.total.value;
  if (!rows.isThere.value) return "";
  return n === null ? "" : count(Math.max(n, rows.runs.value.length), "run");
}

function Experiments() {
  const { experiment = "" } = view.value;
  const { value = [] } = useLoaded("experiments", async (signal) => (await get("experiments", {}, signal)).experiments, {
    skip: !rows.isThere.value && !rows.failure.value, // the rows come first
  });
  /** @type {import("./api.js").Experiment[]} */
  const known = value;
  const isNew = experiment && !known.some((one) => one.name === experiment);
  return html`<select aria-label="Experiment" value=${experiment}
    onChange=${(/** @type {any} */ event) => change({ experiment: event.currentTarget.value, open: "" })}>
    <option value="">all experiments</option>
    ${isNew && html`<option value=${experiment}>${plain(experiment)}</option>`}
    ${known.map((one) => html`<option key=${one.name} value=${one.name}>${plain(one.name)} (${one.runs.toLocaleString("en")})</option>`)}
  </select>`;
}

/** @param {Error | null} error */
const isOfFilter = (error) => error instanceof ApiError && error.column !== undefined;

/** What is wrong with the filter, below the very column. */
function FilterError() {
  const error = /** @type {ApiError | null} */ (rows.failure.value);
  const { filter = "" } = view.value;
  if (!error || !isOfFilter(error)) return html`<div id="filter-error" hidden></div>`;
  const at = (error.column ?? 1) - 1;
  const from = at < FITS ? 0 : at - FITS / 2; // of a filter that does not fit into its field, the part around it
  const part = from ? `${plain(filter.slice(from, from + FITS))}\n` : "";
  const problem = plain(error.message.replace(/^the filter's column \d+: /, "")); // the ^ says so
  return html`<pre id="filter-error" class="problem filter-error" role="alert">${`${part}${" ".repeat(at - from)}^ ${problem}`}</pre>`;
}

function Nothing() {
  const { filter, experiment } = view.value;
  if (filter || experiment) {
    return html`<p class="empty">No runs ${filter ? "pass the filter" : `of ${plain(experiment ?? "")}`}.
      ${" "}<a href=${link({})} onClick=${follow}>See all</a></p>`;
  }
  return html`<div class="empty">
    <p>No runs yet. These two lines in a training script record every one:</p>
    <pre tabindex="0">import autotrack
autotrack.enable()</pre>
  </div>`;
}

// --- the table ------------------------------------------------------------------------------------

/** @param {{questionKey: string}} props */
function Table({ questionKey }) {
  const { order, open, selected, columns: which } = view.value;
  const [frame, width] = useWidth();
  const cursor = useSignal(place.key === questionKey ? place.cursor : "");
  const opened = useMemo(() => new Set(ids(open)), [open]);
  const lines = useMemo(() => rows.lines(opened), [opened, rows.runs.value, rows.children.value]);
  const room = which === "all" ? Infinity : (width || innerWidth) - CHECK - SPARE;
  const { columns, left } = useMemo(() => {
    const unfolded = [...opened].flatMap((id) => rows.children.value.get(id) ?? []);
    return chosen([...rows.head.value, ...unfolded], room, order);
  }, [rows.head.value, rows.children.value, opened, room, order]);
  useEffect(() => void (hidden.value = left), [left]);
  const { ref, first, end } = useWindow(lines.length, ROW);

  useScrollPlace(ref, questionKey, cursor);
  useStillness(ref, lines, first);
  useEffect(() => {
    for (const id of opened) if (!rows.children.value.has(id)) rows.unfold(id).catch(() => {});
  }, [opened, rows.runs.value]);
  useEffect(() => {
    if (end + ROWS_AHEAD > lines.length) rows.more();
  }, [end, lines.length]);
  useKeys((key, event) => act(key, event, lines, cursor, ref.current));

  const marked = new Set(ids(selected));
  const wide = CHECK + columns.reduce((sum, column) => sum + (column.width ?? 0), 0);
  return html`<div class="frame" ref=${frame}>
    <div class="rows" ref=${ref} tabindex="0" role="region" aria-label="Runs" aria-busy=${rows.isStale.value}>
      <table class="runs" style=${{ width: `${wide}px` }} aria-rowcount=${lines.length + 2}>
        <colgroup>
          <col style=${{ width: `${CHECK}px` }} />
          ${columns.map((column) => html`<col key=${column.key || column.title} style=${{ width: `${column.width}px` }} />`)}
        </colgroup>
        <${Head} columns=${columns} order=${order ?? ""} />
        <tbody>
          ${first > 0 && html`<tr aria-hidden="true" style=${{ height: `${first * ROW}px` }}></tr>`}
          ${lines.slice(first, end).map((line, i) => html`<${Row} key=${line.run.id} line=${line} index=${first + i + 3}
            columns=${columns} isMarked=${marked.has(line.run.id)} isCurrent=${line.run.id === cursor.value} />`)}
          ${end < lines.length && html`<tr aria-hidden="true" style=${{ height: `${(lines.length - end) * ROW}px` }}></tr>`}
        </tbody>
      </table>
    </div>
  </div>`;
}

/** @param {{columns: Column[], order: string}} props */
function Head({ columns, order }) {
  const groups = ["", "params", "metrics"].map((group) => ({ group, n: columns.filter((c) => c.group === group).length }));
  return html`<thead>
    <tr class="groups">
      <td></td>
      ${groups.filter(({ n }) => n).map(({ group, n }) => group
        ? html`<th key=${group} scope="colgroup" class=${group} colspan=${n}>${group}</th>`
        : html`<td key="facts" colspan=${n}></td>`)}
    </tr>
    <tr>
      <td></td>
      ${columns.map((column) => html`<${Title} key=${column.key || column.title} column=${column} order=${order} />`)}
    </tr>
  </thead>`;
}

/** @param {{column: Column, order: string}} props */
function Title({ column, order }) {
  const classes = [column.group, column.isNumber ? "number" : ""].join(" ");
  const title = plain(column.title);
  if (!column.key) return html`<th scope="col" class=${classes}>${title}</th>`;
  const is = order === column.key ? "ascending" : order === `${column.key} desc` ? "descending" : "none";
  const sign = { ascending: "↑", descending: "↓", none: "" }[is];
  return html`<th scope="col" class=${classes} aria-sort=${is}>
    <button title=${`sort by ${title}`} onClick=${() => change({ order: nextOrder(column, order) })}>
      ${title}<span class="arrow" aria-hidden="true">${sign}</span>
    </button>
  </th>`;
}

/** First the way that is asked for most, then the other, then as it was. @param {Column} column @param {string} order */
function nextOrder({ key, downFirst }, order) {
  const ways = downFirst ? [`${key} desc`, key, ""] : [key, `${key} desc`, ""];
  return ways[ways.indexOf(order) + 1] ?? ways[0];
}

/** @param {{line: Line, index: number, columns: Column[], isMarked: boolean, isCurrent: boolean}} props */
function Row({ line: { run, depth, folds, isOpen }, index, columns, isMarked, isCurrent }) {
  const name = plain(run.name) || "-";
  const cells = columns.map((column) => {
    if (column === NAME) {
      return html`<th key="name" scope="row" style=${{ paddingLeft: `${depth * 16 + 8}px` }}>
        ${folds && html`<button class="fold" aria-expanded=${isOpen} aria-label=${`${run.children.length} children of ${name}`}
          onClick=${() => fold(run.id)}>${isOpen ? "▾" : "▸"}${run.children.length}</button>`}
        <a href=${link({ run: run.id })} onClick=${follow} title=${name}>${name}</a>
      </th>`;
    }
    if (column.title === "state" && !column.group) return html`<td key="state"><${StateMark} state=${run.state} /></td>`;
    if (column.title === "id" && !column.group) return html`<td key="id"><code class="dim">${cell(column, run)}</code></td>`;
    if (column.title === "started" && !column.group) return html`<td key="started" class="number"><${Ago} ns=${run.started} /></td>`;
    const text = cell(column, run);
    return html`<td key=${column.key} class=${column.isNumber ? "number" : ""} title=${text.length > 20 ? text : undefined}>${text}</td>`;
  });
  return html`<tr data-run=${run.id} class=${isCurrent ? "current" : ""} aria-current=${isCurrent ? "true" : undefined}
    aria-rowindex=${index}>
    <td class="check"><input type="checkbox" checked=${isMarked} aria-label=${`Mark ${name}`} onClick=${() => mark(run.id)} /></td>
    ${cells}
  </tr>`;
}

const mark = (/** @type {string} */ id) => change({ selected: toggled(view.value.selected, id) });
const fold = (/** @type {string} */ id) => change({ open: toggled(view.value.open, id) });

/** @param {string} key @param {KeyboardEvent} event @param {Line[]} lines @param {{value: string}} cursor @param {HTMLElement | null} frame */
function act(key, event, lines, cursor, frame) {
  const at = lines.findIndex(({ run }) => run.id === cursor.value);
  const to = { j: at + 1, ArrowDown: at + 1, k: Math.max(at - 1, 0), ArrowUp: Math.max(at - 1, 0), g: 0 }[key];
  const run = lines[at]?.run;
  const isOnButton = /** @type {HTMLElement} */ (event.target).matches?.("a, button, input");
  if (to !== undefined && lines[to]) {
    cursor.value = lines[to].run.id;
    reveal(frame, to, ROW);
  } else if (key === "x" && run) mark(run.id);
  else if (key === "o" && run?.children.length) fold(run.id);
  else if (key === "Enter" && run && !isOnButton) go({ run: run.id });
  else if (key === "c" && view.value.selected) go({ compare: view.value.selected });
  else return;
  event.preventDefault();
}

/** Come back to where one was. @param {{current: HTMLElement | null}} ref @param {string} key @param {import("@preact/signals").Signal<string>} cursor */
function useScrollPlace(ref, key, cursor) {
  useEffect(() => {
    const frame = ref.current;
    if (!frame) return;
    frame.scrollTop = place.key === key ? place.top : 0;
    const remember = () => (place.top = frame.scrollTop);
    frame.addEventListener("scroll", remember, { passive: true });
    place.key = key;
    return () => {
      place.cursor = cursor.peek();
      frame.removeEventListener("scroll", remember);
    };
  }, [key]);
}

/** Rows that come in above do not move those that are read. @param {{current: HTMLElement | null}} ref @param {Line[]} lines @param {number} first */
function useStillness(ref, lines, first) {
  const before = useRef(lines);
  useEffect(() => {
    const was = before.current;
    before.current = lines;
    const frame = ref.current;
    if (!frame?.scrollTop || was === lines || first >= was.length) return;
    const now = lines.findIndex(({ run }) => run.id === was[first].run.id);
    if (now >= 0 && now !== first) frame.scrollTop += (now - first) * ROW;
  }, [lines]);
}
