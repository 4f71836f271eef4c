// Versions of a registered model side by side: what they are, and the runs that they were made by.
import { get, modelPath } from "./api.js";
import { MOST_LOOKS } from "./colour.js";
import { Sides } from "./compare.js";
import { html } from "./html.js";
import { modelId, useLoaded } from "./live.js";
import { Problem } from "./parts.js";
import { Chip, StageMark, sizeOf } from "./registered.js";
import { count, plain, printed, size } from "./text.js";
import { change, follow, link, toggled, view } from "./view.js";
import { factsOf, sourceOf } from "./version.js";

/** @typedef {import("./api.js").ModelVersion} ModelVersion */
/** @typedef {{version: ModelVersion} & import("./version.js").Source} Made */

/** @param {{model: string, wanted: string[]}} props */
export function CompareVersions({ model, wanted }) {
  const asked = wanted.slice(0, MOST_LOOKS);
  const { value, error } = useLoaded(
    `${model} ${asked.join(",")}`, (signal) => Promise.all(asked.map((which) => made(model, which, signal))), { id: modelId(model) },
  );
  const up = html`<a href=${link({ model })} onClick=${follow}>${plain(model)}</a>`;
  if (!value) return error ? html`<h1>${up}</h1><${Problem} error=${error} />` : html`<p class="wait" role="status">…</p>`;
  document.title = `${plain(model)} ${asked.join(", ")} · autotrack`;
  const sides = value.map((one) => ({
    key: String(one.version.version),
    run: one.run,
    title: `version ${one.version.version}`,
    to: { model, version: String(one.version.version) },
  }));
  return html`<article class="run">
    <h1>${up}: ${count(value.length, "version")} side by side</h1>
    ${wanted.length > asked.length && html`<p class="dim">The first ${asked.length} of ${wanted.length}: more could not be told apart.</p>`}
    <${Problem} error=${error} />
    <${Sides} sides=${sides} facts=${factsSide(value)} leave=${(/** @type {string} */ key) => change({ compare: toggled(view.value.compare, key) })} />
  </article>`;
}

/** @param {string} model @param {string} which @param {AbortSignal} signal @returns {Promise<Made>} */
async function made(model, which, signal) {
  const version = await get(modelPath(model, "versions", which), {}, signal);
  return { version, ...(await sourceOf(version.run_id, signal)) };
}

/** The rows above the params: where each stands, and what it is. @param {Made[]} all */
function factsSide(all) {
  const told = all.map(({ version, models }) => Object.fromEntries(factsOf(version, models.find(({ path }) => path === version.path))));
  const names = [...new Set(told.flatMap(Object.keys))];
  return [
    { title: "aliases", cells: all.map(({ version: { aliases, name } }) => aliases.map((alias) => html`<${Chip} key=${alias} model=${name} alias=${alias} />`)) },
    { title: "stage", cells: all.map(({ version }) => html`<${StageMark} stage=${version.stage} />`) },
    { title: "run", cells: all.map(({ run }) => html`<a href=${link({ run: run.id })} onClick=${follow}>${plain(run.name) || "-"}</a>`) },
    { title: "size", cells: all.map(({ version }) => size(sizeOf(version))) },
    ...names.map((name) => {
      const texts = told.map((facts) => facts[name] ?? ""), isSame = new Set(texts).size === 1;
      // Two that differ may do so at their ends.
      return { title: name, isSame, cells: texts.map((text) => (isSame ? html`<span title=${plain(text)}>${plain(text)}</span>` : html`<div class="whole">${printed(text)}</div>`)) };
    }),
  ];
}
