// One registered model: what it is for, where its aliases point, and its versions.
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { get, modelPath } from "./api.js";
import { Changes } from "./changes.js";
import { Aliases, Author, Description, Tags } from "./editing.js";
import { html } from "./html.js";
import { modelId, useLoaded } from "./live.js";
import { Ago, Problem, useKeys } from "./parts.js";
import { Chip, Class, StageMark, signatureOf, sizeOf, useCursor } from "./registered.js";
import { ranked } from "./telling.js";
import { aligned, count, float, moment, number, plain, shortId, size } from "./text.js";
import { change, follow, go, ids, link, toggled, view } from "./view.js";

/** @typedef {import("./api.js").ModelVersion} ModelVersion */
/** @typedef {import("./api.js").Lineage} Lineage */

const PAGE = 100, MOST = 1000;
const MOST_METRICS = 2;

/** @param {{model: string}} props */
export function ModelPage({ model: name }) {
  const { value: model, error } = useLoaded(`model ${name}`, (signal) => get(modelPath(name), {}, signal), { id: modelId(name) });
  if (!model) {
    return error
      ? html`<h1>${plain(name)}</h1><${Problem} error=${error} /><p class="empty"><a href=${link({ models: "all" })} onClick=${follow}>See all models</a></p>`
      : html`<p class="wait" role="status">…</p>`;
  }
  return html`<${Model} model=${model} error=${error} />`;
}

/** @param {{model: import("./api.js").RegisteredModel, error?: Error}} props */
function Model({ model, error }) {
  const most = useSignal(PAGE);
  const { value, error: ofVersions } = useLoaded(
    `versions ${model.name} ${most.value}`, (signal) => versionsOf(model.name, most.value, signal), { id: modelId(model.name) },
  );
  const last = useRef(/** @type {{versions: ModelVersion[], lineage: Map<number, Lineage>} | undefined} */ (undefined));
  if (value) last.current = value; // while more of them are fetched
  const found = last.current;
  document.title = `${plain(model.name)} · autotrack`;
  return html`<article class="run model">
    <header>
      <div class="heading"><h1>${plain(model.name)}</h1><${Author} /></div>
      <p class="facts">
        <span><span class="dim">registered</span> ${moment(model.created)}${model.author && ` by ${plain(model.author)}`}</span>
        <span><span class="dim">changed</span> <${Ago} ns=${model.updated} /></span>
        <span><span class="dim">load</span> <code>${addressOf(model)}</code></span>
      </p>
    </header>
    <${Problem} error=${error} />
    <${Aliases} model=${model.name} aliases=${model.aliases} versions=${found?.versions.map(({ version }) => version) ?? []} />
    <${Tags} path=${modelPath(model.name)} tags=${model.tags} />
    <${Description} path=${modelPath(model.name)} text=${model.description} />
    <section id="versions">
      <div class="over"><h2>Versions <span class="dim">${model.versions.toLocaleString("en")}</span></h2><${Marked} model=${model.name} /></div>
      <${Problem} error=${ofVersions} />
      ${!found && !ofVersions && html`<p class="wait" role="status">…</p>`}
      ${found && (found.versions.length ? html`<${Versions} ...${found} />` : html`<${Nothing} name=${model.name} />`)}
      ${found && model.versions > found.versions.length && found.versions.length < MOST && html`<button class="quiet" onClick=${() => (most.value = MOST)}>
        show ${count(model.versions - found.versions.length, "earlier version")}</button>`}
      ${found && found.versions.length === MOST && html`<p class="dim">The latest ${MOST.toLocaleString("en")} are shown.</p>`}
    </section>
    <${Changes} model=${model.name} />
  </article>`;
}

/** @param {string} name @param {number} limit @param {AbortSignal} signal */
async function versionsOf(name, limit, signal) {
  const [{ versions }, { lineage }] = await Promise.all([
    get(modelPath(name, "versions"), { limit }, signal), get(modelPath(name, "lineage"), { limit }, signal),
  ]);
  return {
    versions: /** @type {ModelVersion[]} */ (versions),
    lineage: new Map(lineage.map((/** @type {Lineage} */ one) => [one.version, one])),
  };
}

/** What `autotrack.load_model` takes: by an alias, where there is one. @param {import("./api.js").RegisteredModel} model */
function addressOf({ name, aliases }) {
  const alias = "champion" in aliases ? "champion" : Object.keys(aliases)[0];
  return plain(alias ? `models:/${name}@${alias}` : `models:/${name}/latest`);
}

/** @param {{model: string}} props */
function Marked({ model }) {
  const { selected } = view.value;
  const marked = ids(selected);
  if (!marked.length) return html`<span class="dim hint">mark two to compare them</span>`;
  return html`<span class="marked" role="status">
    ${marked.length > 1 ? html`<a href=${link({ model, compare: marked.join(",") })} onClick=${follow}>compare ${marked.length}</a>` : html`<span class="dim">1 marked</span>`}
    <button class="quiet" onClick=${() => change({ selected: "" })}>unmark</button>
  </span>`;
}

/** @param {{name: string}} props */
function Nothing({ name }) {
  return html`<div class="empty">
    <p>No versions yet. This makes the model of a run the first one:</p>
    <pre tabindex="0">import autotrack
autotrack.register_model("runs:/RUN_ID/model", ${JSON.stringify(name)}, alias="champion")</pre>
  </div>`;
}

const mark = (/** @type {string} */ version) => change({ selected: toggled(view.value.selected, version) });

/** @param {{versions: ModelVersion[], lineage: Map<number, Lineage>}} props */
function Versions({ versions, lineage }) {
  const { model = "", selected } = view.value;
  const table = useRef(/** @type {HTMLElement | null} */ (null));
  const cursor = useCursor(versions.map(({ version }) => String(version)), {
    open: (version) => go({ model, version }),
    mark,
    reveal: (index) => table.current?.querySelectorAll("tbody tr")[index]?.scrollIntoView({ block: "nearest" }),
  });
  useKeys((key, event) => {
    if (key !== "c" || ids(view.value.selected).length < 2) return;
    event.preventDefault();
    go({ model, compare: view.value.selected });
  });
  const marked = new Set(ids(selected));
  const columns = columnsOf(versions, lineage);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Versions"><table class="plain versions" ref=${table}>
    <thead><tr><td></td>${columns.map(({ title, kind = "" }) => html`<th key=${title} scope="col" class=${kind}>${title}</th>`)}</tr></thead>
    <tbody>${versions.map((one, i) => {
      const { version } = one, key = String(version);
      return html`<tr key=${key} data-version=${key} class=${key === cursor ? "current" : ""} aria-current=${key === cursor ? "true" : undefined}>
        <td class="check"><input type="checkbox" checked=${marked.has(key)} aria-label=${`Mark version ${key}`} onClick=${() => mark(key)} /></td>
        ${columns.map(({ title, kind = "", cell }, j) => (j ? html`<td key=${title} class=${kind.replace("metric ", "")}>${cell(one, i)}</td>` : html`<th key=${title} scope="row" class=${kind}>${cell(one, i)}</th>`))}
      </tr>`;
    })}</tbody>
  </table></div>`;
}

/** @typedef {{title: string, kind?: string, isShown?: boolean, cell: (version: ModelVersion, index: number) => any}} Column */

/** Those that say something of one of them. @param {ModelVersion[]} versions @param {Map<number, Lineage>} lineage */
function columnsOf(versions, lineage) {
  const run = (/** @type {ModelVersion} */ one) => lineage.get(one.version)?.run;
  const made = (/** @type {ModelVersion} */ one) => lineage.get(one.version)?.model;
  const runs = versions.flatMap((one) => run(one) ?? []);
  const names = ranked(runs.map(({ metrics }) => metrics), true).slice(0, MOST_METRICS);
  /** @type {Column[]} */
  const metrics = names.map((name) => {
    const texts = aligned(versions.map((one) => (run(one)?.metrics[name] ? number(float(run(one)?.metrics[name].last)) : "")));
    return { title: plain(name), kind: "metric number", cell: (_, i) => texts[i] };
  });
  /** @type {Column[]} */
  const columns = [
    { title: "version", kind: "number", cell: ({ name, version }) => html`<a href=${link({ model: name, version: String(version) })} onClick=${follow}>${version}</a>` },
    { title: "aliases", kind: "aliases", isShown: versions.some(({ aliases }) => aliases.length), cell: ({ name, aliases }) => aliases.map((alias) => html`<${Chip} key=${alias} model=${name} alias=${alias} />`) },
    { title: "stage", isShown: versions.some(({ stage }) => stage !== "None"), cell: ({ stage }) => html`<${StageMark} stage=${stage} />` },
    ...metrics,
    { title: "run", kind: "run", cell: (one) => html`<a href=${link({ run: one.run_id })} onClick=${follow} title=${plain(one.source)}>${plain(run(one)?.name ?? "") || shortId(one.run_id)}</a>` },
    { title: "class", kind: "class", cell: (one) => html`<${Class} kind=${made(one)?.kind ?? ""} />` },
    { title: "flavor", cell: (one) => plain(made(one)?.flavor ?? "") },
    { title: "signature", kind: "signature", isShown: versions.some((one) => signatureOf(made(one)?.facts)), cell: (one) => html`<span title=${plain(signatureOf(made(one)?.facts))}>${plain(signatureOf(made(one)?.facts))}</span>` },
    { title: "size", kind: "number", cell: (one) => size(sizeOf(one)) },
    { title: "created", kind: "number", cell: ({ created }) => html`<${Ago} ns=${created} />` },
    { title: "author", isShown: versions.some(({ author }) => author), cell: ({ author }) => plain(author) },
  ];
  return columns.filter(({ isShown = true }) => isShown);
}
