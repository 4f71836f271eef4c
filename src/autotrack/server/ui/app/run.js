// One run, from top to bottom: what came out, what went in, how it went, where.
import { useState } from "preact/hooks";
import { fileLink, get, partOf } from "./api.js";
import { Chart } from "./chart.js";
import { looks } from "./colour.js";
import { html } from "./html.js";
import { ANY_MODEL, useLoaded } from "./live.js";
import { Logs } from "./logs.js";
import { Ago, Problem, StateMark } from "./parts.js";
import { signatureOf } from "./registered.js";
import { NOT_SET, direction, isOfMachine, ranked } from "./telling.js";
import { aligned, count, digest, duration, float, moment, number, plain, printed, scalar, shape, shortId, size } from "./text.js";
import { change, follow, link, view } from "./view.js";
import { Waterfall } from "./waterfall.js";

/** @typedef {import("./api.js").Run} Run */
/** @typedef {import("./api.js").Scalar} Scalar */
/** @typedef {{title: string, n: number, body: () => any, error?: Error}} Part a section of the page */

const PACE = { run: 1000, logs: 2000, parts: 4000 }; // ms
const MOST_CHARTS = 12, MOST_CHILDREN = 200;
const LONG = 60; // characters of a fact that gets lines of its own

/** @param {{id: string}} props */
export function RunPage({ id }) {
  const { value: run, error } = useLoaded(id, (signal) => get(`runs/${encodeURIComponent(id)}`, {}, signal), {
    id, ms: PACE.run, isLive: true,
  });
  if (!run) {
    return error
      ? html`<${Problem} error=${error} /><p class="empty"><a href="./" onClick=${follow}>See all runs</a></p>`
      : html`<p class="wait" role="status">…</p>`;
  }
  document.title = `${plain(run.name) || shortId(run.id)} · autotrack`;
  return html`<article class="run">
    <${Header} run=${run} />
    <${Problem} error=${error} />
    <${Parts} run=${run} />
  </article>`;
}

/** @param {{run: Run}} props */
function Header({ run }) {
  const { value: parent } = useLoaded(`parent ${run.parent}`, (signal) => get(`runs/${run.parent}`, {}, signal), { skip: !run.parent });
  const isSilent = run.silence !== null && (run.state === "lost" || run.state === "idle");
  const silent = isSilent ? `, no sign of life for ${duration(run.silence ?? 0)}` : "";
  return html`<header>
    <h1>${plain(run.name) || "-"} <${StateMark} state=${run.state} /><span class="dim">${silent}</span></h1>
    <p class="facts">
      <span><span class="dim">experiment</span> <a href=${link({ experiment: run.experiment })} onClick=${follow}>${plain(run.experiment)}</a></span>
      ${parent && html`<span><span class="dim">child of</span> <a href=${link({ run: parent.id })} onClick=${follow}>${plain(parent.name)}</a></span>`}
      <span><span class="dim">started</span> ${moment(run.started)} (<${Ago} ns=${run.started} />)</span>
      <span><span class="dim">${run.ended ? "took" : "for"}</span> ${duration(run.duration)}</span>
      <span><span class="dim">id</span> <code>${plain(run.id)}</code></span>
    </p>
    ${run.error && html`<div class="error">
      <p><span class="failed">✗ ${plain(run.error.type)}</span> ${plain(run.error.message)}</p>
      ${run.error.traceback && html`<pre tabindex="0" aria-label="Traceback">${printed(run.error.traceback.trimEnd())}</pre>`}
    </div>`}
  </header>`;
}

/** @param {{run: Run}} props */
function Parts({ run }) {
  const names = Object.keys(run.metrics).sort(byTelling);
  const own = names.filter((name) => !isOfMachine(name));
  const system = names.filter(isOfMachine);
  const curves = own.filter((name) => run.metrics[name].count > 1);
  const ms = PACE.parts;
  const part = (/** @type {string} */ name, pace = ms) =>
    useLoaded(`${run.id} ${name}`, (signal) => partOf(run.id, name, signal), { id: run.id, ms: pace });
  const fits = part("fits"), datasets = part("datasets"), models = part("models");
  const versions = useLoaded(`versions of ${run.id}`, async (signal) => (await get("versions", { run_id: run.id }, signal)).versions, { id: ANY_MODEL });
  const artifacts = part("artifacts"), attributes = part("attributes"), logs = part("logs", PACE.logs);
  const ranks = part("ranks");
  const facts = Object.entries(attributes.value ?? {});
  /** @param {string} title @param {number} n @param {() => any} body @param {{error?: Error}} [from] @returns {Part} */
  const section = (title, n, body, from) => ({ title, n, body, error: from?.error });
  const isShown = (/** @type {Part} */ { n, error }) => n > 0 || error !== undefined;
  const results = [
    section("Metrics", own.length, () => html`<${Metrics} run=${run} names=${own} />`),
    section("Curves", curves.length, () => html`<${Curves} run=${run} names=${curves} />`),
  ].filter(isShown);
  const inputs = [
    section("Params", Object.keys(run.params).length, () => html`<${Pairs} pairs=${unsetLast(run.params)} kind="param" />`),
    section("Tags", Object.keys(run.tags).length, () => html`<${Pairs} pairs=${Object.entries(run.tags)} />`),
    section("Datasets", datasets.value?.length ?? 0, () => html`<${Datasets} datasets=${datasets.value} />`, datasets),
  ].filter(isShown);
  const others = [
    section("Models", models.value?.length ?? 0, () => html`<${Models} models=${models.value} versions=${versions.value ?? []} />`, models),
    section("Children", run.children.length, () => html`<${Children} run=${run} />`),
    section("Training calls", fits.value?.length ?? 0, () => html`<${Waterfall} run=${run} fits=${fits.value} />`, fits),
    section("Ranks", ranks.value?.length ?? 0, () => html`<${Ranks} ranks=${ranks.value} />`, ranks),
    section("Artifacts", artifacts.value?.length ?? 0, () => html`<${Artifacts} run=${run} artifacts=${artifacts.value} />`, artifacts),
    section("Logs", logs.value?.length ?? 0, () => html`<${Logs} logs=${logs.value} />`, logs),
    section("System", system.length, () => html`<${System} run=${run} names=${system} />`),
    section("Environment", facts.length, () => html`<${Pairs} pairs=${facts} />`, attributes),
  ].filter(isShown);
  return html`
    <nav class="contents" aria-label="Contents">${[...results, ...inputs, ...others].map(({ title, n }) => html`<a key=${title} href=${`#${anchor(title)}`}
      onClick=${jump}>${title} <span class="dim">${n.toLocaleString("en")}</span></a>`)}</nav>
    <div class=${results.length && inputs.length ? "halves" : ""}>
      <div>${results.map(drawn)}</div>
      <div>${inputs.map(drawn)}</div>
    </div>
    ${others.map(drawn)}`;
}

/** @param {Part} part */
const drawn = ({ title, n, body, error }) => html`<section key=${title} id=${anchor(title)}>
  <h2>${title} <span class="dim">${n.toLocaleString("en")}</span></h2>
  <${Problem} error=${error} />
  ${n > 0 && body()}
</section>`;

const anchor = (/** @type {string} */ title) => title.toLowerCase().replace(" ", "-");

/** The fragment is no part of the view. @param {MouseEvent} event */
function jump(event) {
  event.preventDefault();
  const id = /** @type {HTMLAnchorElement} */ (event.currentTarget).hash.slice(1);
  document.getElementById(id)?.scrollIntoView({ block: "start" });
}

const byTelling = (/** @type {string} */ a, /** @type {string} */ b) => Number(!direction(a)) - Number(!direction(b)) || (a < b ? -1 : 1);

export const unsetLast = (/** @type {Record<string, Scalar>} */ params) =>
  Object.entries(params).sort(([, a], [, b]) => Number(a === NOT_SET) - Number(b === NOT_SET));

// --- sections -------------------------------------------------------------------------------------

/** @param {{run: Run, names: string[]}} props */
function Metrics({ run, names }) {
  const summaries = names.map((name) => run.metrics[name]);
  const ranges = summaries.map(({ count, non_finite: odd }) => count > 1 && odd < count);
  const last = aligned(summaries.map((one) => number(float(one.last))));
  const min = aligned(summaries.map((one, i) => (ranges[i] ? number(float(one.min)) : "")));
  const max = aligned(summaries.map((one, i) => (ranges[i] ? number(float(one.max)) : "")));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Metrics"><table class="plain">
    <thead><tr>${["metric", "last", "min", "max", "points"].map((title, i) => html`<th key=${title} scope="col" class=${i ? "number" : ""}>${title}</th>`)}</tr></thead>
    <tbody>${names.map((name, i) => {
      const { count: n, non_finite: odd } = run.metrics[name];
      return html`<tr key=${name}>
        <th scope="row" class="metric" title=${plain(name)}>${plain(name)}</th>
        <td class="number strong">${last[i]}</td><td class="number">${min[i]}</td><td class="number">${max[i]}</td>
        <td class="number">${n.toLocaleString("en")}${odd > 0 && n > 1 && html` <span class="odd">(${odd.toLocaleString("en")} NaN/inf)</span>`}</td>
      </tr>`;
    })}</tbody>
  </table></div>`;
}

/** Names and values; what is long gets lines of its own. @param {{pairs: [string, Scalar][], kind?: string}} props */
export function Pairs({ pairs, kind = "" }) {
  const shown = pairs.map(([name, value]) => ({ name, value, text: typeof value === "string" ? value : scalar(value, 12) }));
  const isLong = (/** @type {{text: string}} */ { text }) => text.length > LONG || text.includes("\n");
  return html`
    <dl class="pairs">${shown.filter((pair) => !isLong(pair)).map(({ name, value, text }) => html`<div key=${name}>
      <dt class=${kind}>${plain(name)}</dt><dd class=${value === NOT_SET ? "dim" : ""}>${plain(text)}</dd>
    </div>`)}</dl>
    ${shown.filter(isLong).map(({ name, text }) => html`<details key=${name}>
      <summary><span class=${kind}>${plain(name)}</span> <span class="dim beginning">${plain(text.slice(0, 150))}</span></summary>
      <pre tabindex="0" aria-label=${plain(name)}>${printed(text)}</pre>
    </details>`)}`;
}

/** @param {{run: Run, names: string[]}} props */
function Curves({ run, names }) {
  const [all, setAll] = useState(false);
  const { over, log } = useScales();
  const look = looks([run.id]).get(run.id);
  const shown = all ? names : names.slice(0, MOST_CHARTS);
  return html`
    <${Scales} />
    <div class="charts">${shown.map((name) => html`<${Chart} key=${name} name=${name} series=${[{ run, look, label: run.name }]} over=${over} log=${log} />`)}</div>
    ${names.length > shown.length && html`<button class="quiet" onClick=${() => setAll(true)}>show ${count(names.length - MOST_CHARTS, "more curve")}</button>`}`;
}

/** Samples of the machine. @param {{run: Run, names: string[]}} props */
function System({ run, names }) {
  const curves = names.filter((name) => run.metrics[name].count > 1);
  return curves.length ? html`<${Curves} run=${run} names=${curves} />` : html`<${Metrics} run=${run} names=${names} />`;
}

/** How curves are drawn, from the view. @returns {{over: import("./curve.js").Over, log: boolean}} */
export function useScales() {
  const { x, log } = view.value;
  return { over: x === "time" || x === "wall" ? x : "step", log: log === "1" };
}

/** The choice of scales. */
export function Scales() {
  const { over, log } = useScales();
  const ways = [["step", "step"], ["time", "time since start"], ["wall", "time of day"]];
  return html`<div class="choices" role="group" aria-label="Scales">
    ${ways.map(([key, title]) => html`<button key=${key} class="quiet" aria-pressed=${over === key} onClick=${() => change({ x: key === "step" ? "" : key })}>${title}</button>`)}
    <span class="gap"></span>
    <button class="quiet" aria-pressed=${log} onClick=${() => change({ log: log ? "" : "1" })}>log scale</button>
    <span class="dim hint">drag to look closer, double click to go back</span>
  </div>`;
}

/** @param {{run: Run}} props */
function Children({ run }) {
  const { value, error } = useLoaded(`children ${run.id}`, async (signal) => (await get("runs", {
    filter: `run.parent = '${run.id}'`, order_by: "started", limit: MOST_CHILDREN,
  }, signal)).runs, { id: run.id, ms: PACE.parts });
  if (!value) return html`<${Problem} error=${error} />`;
  /** @type {Run[]} */
  const children = value;
  const params = ranked(children.map((child) => child.params)).slice(0, 5);
  const metrics = ranked(children.map((child) => child.metrics), true).slice(0, 5);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Children"><table class="plain">
    <thead><tr><th scope="col">name</th><th scope="col">state</th><th scope="col" class="number">duration</th>
      ${params.map((name) => html`<th key=${`p ${name}`} scope="col" class="param number">${plain(name)}</th>`)}
      ${metrics.map((name) => html`<th key=${`m ${name}`} scope="col" class="metric number">${plain(name)}</th>`)}</tr></thead>
    <tbody>${children.map((child) => html`<tr key=${child.id}>
      <th scope="row"><a href=${link({ run: child.id })} onClick=${follow}>${plain(child.name) || "-"}</a></th>
      <td><${StateMark} state=${child.state} /></td><td class="number">${duration(child.duration)}</td>
      ${params.map((name) => html`<td key=${`p ${name}`} class="number">${scalar(child.params[name])}</td>`)}
      ${metrics.map((name) => html`<td key=${`m ${name}`} class="number">${name in child.metrics ? number(float(child.metrics[name].last)) : ""}</td>`)}
    </tr>`)}</tbody>
  </table></div>
  ${run.children.length > children.length && html`<p class="dim">${children.length} of ${count(run.children.length, "child run")}</p>`}`;
}

/** @type {Record<string, string>} */
const CLASSES = { size: "number", signature: "signature" };

/** @param {{titles: string[], label: string, rows: any[][]}} props */
export function Plain({ titles, label, rows }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table class="plain">
    <thead><tr>${titles.map((title) => html`<th key=${title} scope="col" class=${CLASSES[title]}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map((cells, i) => html`<tr key=${i}>${cells.map((cell, j) => html`<td key=${j} class=${CLASSES[titles[j]]}
      title=${typeof cell === "string" && cell.length > LONG / 3 ? cell : undefined}>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** @param {{datasets: import("./api.js").Dataset[]}} props */
function Datasets({ datasets }) {
  const rows = datasets.map((one) => [
    plain(one.name), plain(one.role), shape(one.shape), plain(one.kind.split(".").at(-1) ?? ""),
    one.size === null ? "" : size(one.size), html`<code>${digest(one.digest)}</code>`,
  ]);
  return html`<${Plain} label="Datasets" titles=${["dataset", "role", "shape", "kind", "size", "digest"]} rows=${rows} />`;
}

/** @param {{models: import("./api.js").Model[], versions: import("./api.js").ModelVersion[]}} props `versions`: registered ones of them */
function Models({ models, versions }) {
  /** @type {any[][]} */
  const rows = models.map(({ path, flavor, kind, facts }) => [
    plain(path), plain(flavor), plain(kind.split(".").at(-1) ?? ""),
    typeof facts.size === "number" ? size(facts.size) : "",
    facts.reason ? `not kept: ${plain(String(facts.reason))}` : plain(String(facts.state ?? "")),
    plain(signatureOf(facts)),
  ]);
  const titles = ["model", "flavor", "kind", "size", "state", "signature"];
  if (!versions.length) return html`<${Plain} label="Models" titles=${titles} rows=${rows} />`;
  models.forEach(({ path }, i) => rows[i].splice(1, 0, versions.filter((one) => one.path === path).map(registered)));
  return html`<${Plain} label="Models" titles=${titles.toSpliced(1, 0, "registered as")} rows=${rows} />`;
}

/** @param {import("./api.js").ModelVersion} version */
const registered = ({ name, version }) => html`<a key=${`${name}/${version}`} class="registered"
  href=${link({ model: name, version: String(version) })} onClick=${follow}>${plain(name)} ${version}</a>`;

/** @param {{ranks: import("./api.js").Rank[]}} props */
function Ranks({ ranks }) {
  const rows = ranks.map(({ rank, state, host, received, last_seen, error }) => [
    String(rank), html`<${StateMark} state=${state} />`, plain(host), html`<${Ago} ns=${received ?? last_seen} />`, plain(error ?? ""),
  ]);
  const missing = Math.max(...ranks.map((one) => one.count)) - ranks.length;
  return html`<${Plain} label="Ranks" titles=${["rank", "state", "host", "last heard of", "error"]} rows=${rows} />
    ${missing > 0 && html`<p class="dim">${count(missing, "rank")} not heard of</p>`}`;
}

/** @param {{run: Run, artifacts: import("./api.js").Artifact[]}} props */
function Artifacts({ run, artifacts }) {
  const rows = artifacts.map((one) => [
    html`<a href=${fileLink(run.id, one.path)} download>${plain(one.path)}</a>`,
    size(one.size), plain(one.media_type), html`<code>${one.sha256.slice(0, 8)}</code>`,
  ]);
  return html`<${Plain} label="Artifacts" titles=${["file", "size", "type", "sha256"]} rows=${rows} />`;
}
