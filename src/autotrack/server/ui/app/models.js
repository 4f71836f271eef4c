// The table of registered models.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { get } from "./api.js";
import { html } from "./html.js";
import { ANY_MODEL, useLoaded } from "./live.js";
import { firstLine } from "./markdown.js";
import { Ago, Problem, reveal, useKeys, useWindow } from "./parts.js";
import { Chip, StageMark, useCursor } from "./registered.js";
import { count, plain } from "./text.js";
import { change, follow, go, link, view } from "./view.js";

/** @typedef {import("./api.js").RegisteredModel} RegisteredModel */
/** @typedef {{title: string, width?: string, isNumber?: boolean, kind?: string, key?: string, downFirst?: boolean}} Column */

const ROW = 24; // px, as in page.css
const PAGE = 200, MOST = 1000;
const SEARCH_PAUSE_MS = 200;
/** @type {Column[]} */
const COLUMNS = [
  { title: "model", width: "22%", key: "name" },
  { title: "latest", width: "56px", isNumber: true },
  { title: "versions", width: "76px", isNumber: true },
  { title: "aliases", width: "21%" },
  { title: "stages", width: "180px" },
  { title: "description", kind: "what" },
  { title: "author", width: "80px", kind: "by" },
  { title: "updated", width: "96px", isNumber: true, key: "updated", downFirst: true },
];

export function Models() {
  const { name, order } = view.value;
  const most = useSignal(PAGE);
  useEffect(() => void (most.value = PAGE), [name, order]);
  const { value, error } = useLoaded(
    JSON.stringify(["models", name, order, most.value]), (signal) => search(name, order, most.value, signal), { id: ANY_MODEL },
  );
  const shown = useRef(/** @type {{models: RegisteredModel[], isAll: boolean} | undefined} */ (undefined));
  if (value) shown.current = value; // what was found for the letters before stays until there is an answer
  const found = shown.current;
  document.title = "models · autotrack";
  return html`
    <h1 class="unseen">Registered models</h1>
    <${Toolbar} found=${found} />
    <${Problem} error=${error} />
    ${!found && !error && html`<p class="wait" role="status">…</p>`}
    ${found && (found.models.length ? html`<${Table} models=${found.models} isStale=${!value}
      more=${() => !found.isAll && (most.value = found.models.length + PAGE)} />` : html`<${Nothing} />`)}`;
}

/** The first models, however many pages they take. @param {string | undefined} name @param {string | undefined} order @param {number} most @param {AbortSignal} signal */
async function search(name, order, most, signal) {
  /** @type {RegisteredModel[]} */
  const models = [];
  let after = "";
  do {
    const limit = Math.min(most - models.length, MOST);
    const page = await get("models", { name, order_by: order, limit, after }, signal);
    models.push(...page.models);
    after = page.next;
  } while (after && models.length < most);
  return { models, isAll: !after };
}

/** @param {{found?: {models: RegisteredModel[], isAll: boolean}}} props */
function Toolbar({ found }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const pause = useRef(0);
  const { name = "" } = view.value;
  useKeys((key, event) => {
    if (key !== "/") return;
    event.preventDefault();
    field.current?.focus();
  });
  useEffect(() => {
    if (field.current && field.current !== document.activeElement) field.current.value = name;
    return () => clearTimeout(pause.current);
  }, [name]);
  const apply = (/** @type {Event} */ event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.currentTarget);
    clearTimeout(pause.current);
    pause.current = setTimeout(() => change({ name: value.trim() }), SEARCH_PAUSE_MS);
  };
  return html`<div class="toolbar">
    <div class="field"><input ref=${field} class="filter" type="search" aria-label="Name" spellcheck=${false} autocomplete="off"
      placeholder="part of a name, or a pattern: churn-%" maxlength="250" onInput=${apply} /></div>
    <span class="count" role="status">${found && `${count(found.models.length, "model")}${found.isAll ? "" : " or more"}`}</span>
  </div>`;
}

function Nothing() {
  if (view.value.name) {
    return html`<p class="empty">No model has ${plain(view.value.name)} in its name. <a href=${link({ models: "all" })} onClick=${follow}>See all</a></p>`;
  }
  return html`<div class="empty">
    <p>No registered models yet. This makes the model of a run the first version of one:</p>
    <pre tabindex="0">import autotrack
autotrack.register_model("runs:/RUN_ID/model", "churn", alias="champion")</pre>
    <p>and this loads it, wherever it is needed: <code>autotrack.load_model("models:/churn@champion")</code></p>
  </div>`;
}

/** @param {{models: RegisteredModel[], isStale: boolean, more: () => void}} props */
function Table({ models, isStale, more }) {
  const { ref, first, end } = useWindow(models.length, ROW);
  const cursor = useCursor(models.map(({ name }) => name), {
    open: (model) => go({ model }),
    reveal: (index) => reveal(ref.current, index, ROW),
  });
  useEffect(() => {
    if (end >= models.length) more();
  }, [end, models.length]);
  return html`<div class="frame"><div class="rows" ref=${ref} tabindex="0" role="region" aria-label="Registered models" aria-busy=${isStale}>
    <table class="runs models" aria-rowcount=${models.length + 1}>
      <colgroup>${COLUMNS.map(({ title, width, kind }) => html`<col key=${title} class=${kind} style=${width && { width }} />`)}</colgroup>
      <thead><tr>${COLUMNS.map((column) => html`<${Title} key=${column.title} column=${column} />`)}</tr></thead>
      <tbody>
        ${first > 0 && html`<tr aria-hidden="true" style=${{ height: `${first * ROW}px` }}></tr>`}
        ${models.slice(first, end).map((model, i) => html`<${Row} key=${model.name} model=${model} index=${first + i + 2} isCurrent=${model.name === cursor} />`)}
        ${end < models.length && html`<tr aria-hidden="true" style=${{ height: `${(models.length - end) * ROW}px` }}></tr>`}
      </tbody>
    </table>
  </div></div>`;
}

/** @param {{column: Column}} props */
function Title({ column: { title, key, isNumber, kind, downFirst } }) {
  const classes = isNumber ? "number" : kind;
  if (!key) return html`<th scope="col" class=${classes}>${title}</th>`;
  const order = view.value.order ?? "updated desc";
  const is = order === key ? "ascending" : order === `${key} desc` ? "descending" : "none";
  const next = is === "none" ? (downFirst ? `${key} desc` : key) : is === "ascending" ? `${key} desc` : key;
  return html`<th scope="col" class=${classes} aria-sort=${is}>
    <button title=${`sort by ${title}`} onClick=${() => change({ order: next })}>${title}<span class="arrow" aria-hidden="true">${{ ascending: "↑", descending: "↓", none: "" }[is]}</span></button>
  </th>`;
}

/** @param {{model: RegisteredModel, index: number, isCurrent: boolean}} props */
function Row({ model, index, isCurrent }) {
  const name = plain(model.name), said = plain(firstLine(model.description));
  const stages = /** @type {[import("./api.js").Stage, number][]} */ (Object.entries(model.stages)).filter(([stage]) => stage === "Production" || stage === "Staging");
  return html`<tr data-model=${model.name} class=${isCurrent ? "current" : ""} aria-current=${isCurrent ? "true" : undefined} aria-rowindex=${index}>
    <th scope="row"><a href=${link({ model: model.name })} onClick=${follow} title=${name}>${name}</a></th>
    <td class="number">${model.latest ?? ""}</td>
    <td class="number">${model.versions.toLocaleString("en")}</td>
    <td>${Object.entries(model.aliases).map(([alias, version]) => html`<${Chip} key=${alias} model=${model.name} alias=${alias} version=${version} />`)}</td>
    <td>${stages.map(([stage, version]) => html`<${StageMark} key=${stage} stage=${stage} version=${version} />`)}</td>
    <td class="what" title=${said}>${said}</td>
    <td class="by" title=${plain(model.author)}>${plain(model.author)}</td>
    <td class="number"><${Ago} ns=${model.updated} /></td>
  </tr>`;
}
