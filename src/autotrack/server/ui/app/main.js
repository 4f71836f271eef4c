// The page: its bar, and the view that the URL asks for.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import { html } from "./html.js";
import { listen } from "./live.js";
import { Connection, Problem, useKeys } from "./parts.js";
import { Runs } from "./runs.js";
import { follow, go, ids, link, view } from "./view.js";

const KEYS = [
  ["j  k", "the next row, the one before"],
  ["enter", "open it: a run, a model, a version"],
  ["x", "mark it"],
  ["c", "compare the marked ones"],
  ["o", "show or hide the run's children"],
  ["/", "to the filter, or the search for a name"],
  ["u", "up, to the table it stands in"],
  ["?", "this help"],
];
const FILTERS = [
  "metrics.acc > 0.9 and params.lr = 0.1",
  "state = 'failed' or error.type = 'ValueError'",
  "tags.team = 'vision' and started > '-2d'",
  "metrics.`val/loss` < 0.2 and name like 'mlp%'",
];
const THEMES = ["system", "light", "dark"];

const help = signal(false);
const theme = signal(document.documentElement.dataset.theme ?? "system");

/** What is shown, of what the view asks for: a module's own page, or null for the table of runs. @returns {any} */
function shown() {
  const { run, compare, models, model, version } = view.value;
  if (run) return html`<${Later} key=${`run ${run}`} name="run" id=${run} />`;
  if (model && compare) return html`<${Later} key="versions" name="versions" model=${model} wanted=${ids(compare)} />`;
  if (model && version) return html`<${Later} key=${`version ${model}/${version}`} name="version" model=${model} which=${version} />`;
  if (model) return html`<${Later} key=${`model ${model}`} name="model" model=${model} />`;
  if (compare) return html`<${Later} key="compare" name="compare" wanted=${ids(compare)} />`;
  return models ? html`<${Later} key="models" name="models" />` : null;
}

function Page() {
  const { run, compare, models, model } = view.value;
  const page = shown(), isTable = !page || (models && !model);
  useKeys((key, event) => {
    if (key === "?") help.value = true;
    else if (key === "u" && page) goUp();
    else return;
    event.preventDefault();
  });
  if (!page) document.title = "autotrack";
  const isOfModels = Boolean(models || model);
  return html`
    <header class="bar">
      <a class="brand" href="./" onClick=${follow}>autotrack</a>
      <nav class="places" aria-label="Places">
        <a href=${link({})} onClick=${follow} aria-current=${isOfModels ? undefined : page ? "true" : "page"}>runs</a>
        <a href=${link({ models: "all" })} onClick=${follow} aria-current=${isOfModels ? (isTable ? "page" : "true") : undefined}>models</a>
      </nav>
      <span class="space"></span>
      <${Connection} />
      <button class="quiet" onClick=${nextTheme} title="light, dark, or as the system has it">${theme.value}</button>
      <button class="quiet" onClick=${() => (help.value = true)} aria-label="Help">?</button>
    </header>
    <main class=${isTable ? "table" : "page"}>${page ?? html`<${Runs} />`}</main>
    ${help.value && html`<${Help} />`}`;
}

/** @type {Record<string, () => Promise<any>>} */
const LATER = {
  run: async () => (await import("./run.js")).RunPage,
  compare: async () => (await import("./compare.js")).Compare,
  models: async () => (await import("./models.js")).Models,
  model: async () => (await import("./model.js")).ModelPage,
  version: async () => (await import("./version.js")).VersionPage,
  versions: async () => (await import("./versions.js")).CompareVersions,
};
/** @type {Record<string, {value: any}>} */
const later = Object.fromEntries(Object.keys(LATER).map((name) => [name, signal(null)]));

/** A view that is fetched when it is asked for. @param {any} props */
function Later({ name, ...props }) {
  const found = later[name];
  const error = useSignal(/** @type {Error | undefined} */ (undefined));
  useEffect(() => {
    error.value = undefined;
    LATER[name]().then((page) => (found.value = page), () => (error.value = new Error("This view could not be loaded.")));
  }, [name]);
  if (found.value) return html`<${found.value} ...${props} />`;
  if (error.value) return html`<${Problem} error=${error.value} retry=${() => location.reload()} />`;
  return html`<p class="wait">…</p>`;
}

function Help() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => dialog.current?.showModal(), []);
  return html`<dialog ref=${dialog} aria-labelledby="help" onClose=${() => (help.value = false)}
    onClick=${(/** @type {Event} */ event) => event.target === dialog.current && dialog.current?.close()}>
    <div class="help">
      <h2 id="help">Keys</h2>
      <dl>${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <h2>Filters</h2>
      <pre tabindex="0">${FILTERS.join("\n")}</pre>
      <p class="dim">A click on a column's title sorts by it. The address holds the whole view.</p>
      <form method="dialog"><button autofocus>close</button></form>
    </div>
  </dialog>`;
}

/** Back to the table of runs as it was left; from below a model to the model, from that to all of them. */
function goUp() {
  const { model, version, compare } = view.value;
  if (model) go(version || compare ? { model } : { models: "all" });
  else if (history.length > 1 && cameFromTable) history.back();
  else go({});
}
let cameFromTable = false;
addEventListener("click", () => (cameFromTable ||= !shown()), true);
addEventListener("keydown", () => (cameFromTable ||= !shown()), true);

function nextTheme() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  if (theme.value === "system") {
    localStorage.removeItem("autotrack.theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("autotrack.theme", theme.value);
    document.documentElement.dataset.theme = theme.value;
  }
  dispatchEvent(new Event("autotrack:theme"));
}

render(html`<${Page} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
listen();
