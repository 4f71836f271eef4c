// One version of a registered model: what it is, what it was made of, how good it was.
import { get, modelPath, partOf } from "./api.js";
import { Aliases, Author, Description, StageLine, Tags } from "./editing.js";
import { html } from "./html.js";
import { ANY_RUN, goesOn, modelId, useLoaded } from "./live.js";
import { Ago, Problem, StateMark } from "./parts.js";
import { signatureOf, sizeOf } from "./registered.js";
import { Pairs, Plain, unsetLast } from "./run.js";
import { direction, isOfMachine } from "./telling.js";
import { digest, float, moment, number, plain, printed, shape, shortId, size } from "./text.js";
import { follow, link } from "./view.js";

/** @typedef {import("./api.js").ModelVersion} ModelVersion */
/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./api.js").Run} Run */
/** @typedef {{run: Run, models: Model[], datasets: import("./api.js").Dataset[]}} Source */

/** @param {{model: string, which: string}} props `which`: its number, or what else points at it */
export function VersionPage({ model: name, which }) {
  const { value, error } = useLoaded(`version ${name} ${which}`, async (signal) => {
    const [model, version] = await Promise.all([get(modelPath(name), {}, signal), get(modelPath(name, "versions", which), {}, signal)]);
    return { model, version };
  }, { id: modelId(name) });
  if (!value) {
    return error
      ? html`<h1>${plain(name)} ${plain(which)}</h1><${Problem} error=${error} /><p class="empty"><a href=${link({ model: name })} onClick=${follow}>See all versions of ${plain(name)}</a></p>`
      : html`<p class="wait" role="status">…</p>`;
  }
  return html`<${Version} ...${value} error=${error} />`;
}

/** @param {string} run @param {AbortSignal} [signal] @returns {Promise<Source>} */
export async function sourceOf(run, signal) {
  const [told, models, datasets] = await Promise.all([
    get(`runs/${encodeURIComponent(run)}`, {}, signal), partOf(run, "models", signal), partOf(run, "datasets", signal),
  ]);
  return { run: told, models, datasets };
}

/** @param {{model: import("./api.js").RegisteredModel, version: ModelVersion, error?: Error}} props */
function Version({ model, version, error }) {
  const { value: source, error: ofRun } = useLoaded(`source ${version.run_id}`, (signal) => sourceOf(version.run_id, signal), { id: version.run_id });
  const made = source?.models.find(({ path }) => path === version.path);
  const path = modelPath(model.name, "versions", version.version);
  document.title = `${plain(model.name)} ${version.version} · autotrack`;
  return html`<article class="run model">
    <header>
      <div class="heading">
        <h1><a href=${link({ model: model.name })} onClick=${follow}>${plain(model.name)}</a> <span class="dim">version</span> ${version.version}</h1>
        <${Author} />
      </div>
      <p class="facts">
        <span><span class="dim">registered</span> ${moment(version.created)} (<${Ago} ns=${version.created} />)${version.author && ` by ${plain(version.author)}`}</span>
        <span><span class="dim">size</span> ${size(sizeOf(version))}</span>
        <span><span class="dim">load</span> <code>${plain(`models:/${model.name}/${version.version}`)}</code></span>
      </p>
    </header>
    <${Problem} error=${error} />
    <${Aliases} model=${model.name} aliases=${model.aliases} versions=${[version.version]} here=${version.version} />
    <${StageLine} version=${version} />
    <${Tags} path=${path} tags=${version.tags} />
    <${Description} path=${path} text=${version.description} />
    <${Problem} error=${ofRun} />
    ${made?.facts.id && html`<${Evaluations} of=${String(made.facts.id)} />`}
    <div class="halves">
      <div>
        <section class="single"><h2>Model</h2>
          <${Pairs} pairs=${factsOf(version, made).filter(([title]) => title !== "signature")} />
          ${signatureOf(made?.facts) && html`<pre class="signature" tabindex="0" aria-label="Signature">${printed(signatureOf(made?.facts))}</pre>`}
        </section>
        ${source && html`<${Metrics} metrics=${source.run.metrics} />`}
        <section><h2>Files <span class="dim">${version.files.length}</span></h2><${Files} version=${version} /></section>
      </div>
      ${source && html`<${Origin} version=${version} ...${source} />`}
    </div>
  </article>`;
}

/** @param {ModelVersion} version @param {Model | undefined} made @returns {[string, string][]} */
export function factsOf(version, made) {
  const versions = Object.entries(made?.facts.versions ?? {}).map(([name, told]) => [name, String(told)]);
  const facts = [["class", made?.kind ?? ""], ["flavor", made?.flavor ?? ""], ["signature", signatureOf(made?.facts)], ["path", version.path], ...versions];
  return /** @type {[string, string][]} */ (facts).filter(([, value]) => value);
}

const EVALUATIONS = 10; // shown at first
const MEASURES = 5; // a column each

/** Where it was held against the truth, the latest first. @param {{of: string}} props `of`: the model's own id, whatever it is called */
function Evaluations({ of }) {
  const filter = `tags.evaluated_model_id = '${of.replaceAll("'", "''")}'`;
  const { value, error } = useLoaded(`evaluations ${of}`, (signal) => get("runs", { filter, limit: EVALUATIONS }, signal), { id: ANY_RUN });
  if (error) return html`<${Problem} error=${error} />`;
  if (!value?.runs.length) return null;
  /** @type {Map<string, string>[]} */
  const told = value.runs.map((/** @type {Run} */ run) => new Map(measures(run.metrics)));
  const names = [...new Set(told.flatMap((one) => [...one.keys()]))].filter((name) => !name.includes("/")).slice(0, MEASURES);
  const rows = value.runs.map((/** @type {Run} */ run, /** @type {number} */ i) => [
    html`<a href=${link({ run: run.id })} onClick=${follow}>${plain(run.name) || shortId(run.id)}</a>`,
    html`<${StateMark} state=${run.state} />`, html`<${Verdict} run=${run} />`,
    ...names.map((name) => told[i].get(name) ?? ""), html`<${Ago} ns=${run.started} />`,
  ]);
  return html`<section><h2>Evaluations ${value.next ? html`<a href=${link({ filter })} onClick=${follow}>all of them</a>` : html`<span class="dim">${rows.length}</span>`}</h2>
    <${Plain} label="Evaluations" titles=${["run", "state", "thresholds", ...names.map(plain), "started"]} rows=${rows} /></section>`;
}

/** Whether it reached its thresholds: said of one that came to its end, as the tag is "false" from the beginning. @param {{run: Run}} props */
function Verdict({ run }) {
  const told = run.tags.evaluation_passed;
  if (!told) return html`<span class="dim">none</span>`;
  if (run.state !== "finished") return html`<span class="dim">${goesOn(run) ? "…" : "not measured"}</span>`;
  return told === "true"
    ? html`<span class="state finished"><span class="sign" aria-hidden="true">✓</span> passed</span>`
    : html`<span class="state failed"><span class="sign" aria-hidden="true">✗</span> fell short</span>`;
}

/** A run's metrics, those first whose names say what is better. @param {Record<string, import("./api.js").Summary>} metrics @returns {[string, string][]} */
function measures(metrics) {
  const names = Object.keys(metrics).filter((name) => !isOfMachine(name)).sort((a, b) => Number(!direction(a)) - Number(!direction(b)) || (a < b ? -1 : 1));
  return names.map((name) => [name, number(float(metrics[name].last))]);
}

/** @param {{metrics: Record<string, import("./api.js").Summary>}} props */
function Metrics({ metrics }) {
  const pairs = measures(metrics);
  if (!pairs.length) return null;
  return html`<section><h2>Metrics <span class="dim">of its run</span></h2><${Pairs} pairs=${pairs} kind="metric" /></section>`;
}

/** @param {{version: ModelVersion}} props */
function Files({ version }) {
  const rows = version.files.map((file) => [plain(file.path), size(file.size), html`<code>${file.sha256.slice(0, 8)}</code>`]);
  return html`<${Plain} label="Files" titles=${["file", "size", "sha256"]} rows=${rows} />`;
}

/** The run, its data and its params. @param {{version: ModelVersion} & Source} props */
function Origin({ version, run, datasets }) {
  const rows = datasets.map((one) => [plain(one.name), plain(one.role), shape(one.shape), html`<code>${digest(one.digest)}</code>`]);
  const isCopy = !version.source.startsWith("runs:/");
  return html`<div>
    <section>
      <h2>Made by</h2>
      <dl class="pairs">
        <div><dt>run</dt><dd><a href=${link({ run: run.id })} onClick=${follow}>${plain(run.name) || shortId(run.id)}</a></dd></div>
        <div><dt>experiment</dt><dd><a href=${link({ experiment: run.experiment })} onClick=${follow}>${plain(run.experiment)}</a></dd></div>
        <div><dt>started</dt><dd>${moment(run.started)}</dd></div>
        ${isCopy && html`<div><dt>a copy of</dt><dd>${plain(version.source)}</dd></div>`}
      </dl>
    </section>
    ${rows.length > 0 && html`<section><h2>Datasets <span class="dim">${rows.length}</span></h2>
      <${Plain} label="Datasets" titles=${["dataset", "role", "shape", "digest"]} rows=${rows} /></section>`}
    ${Object.keys(run.params).length > 0 && html`<section><h2>Params <span class="dim">of its run</span></h2><${Pairs} pairs=${unsetLast(run.params)} kind="param" /></section>`}
  </div>`;
}
