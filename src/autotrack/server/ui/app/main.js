// The page: its bar, and the view that the URL asks for.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { listen } from "./live.js";
import { Connection, useKeys } from "./parts.js";
import { Runs } from "./runs.js";
import { follow, go, ids, link, view } from "./view.js";

const KEYS = [
  ["j  k", "the next run, the one before"],
  ["enter", "open the run"],
  ["x", "mark the run"],
  ["c", "compare the marked ones"],
  ["o", "show or hide the run's children"],
  ["/", "to the filter"],
  ["u", "up, to the table"],
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

function Page() {
  const { run, compare } = view.value;
  useKeys((key, event) => {
    if (key === "?") help.value = true;
    else if (key === "u" && (run || compare)) goUp();
    else return;
    event.preventDefault();
  });
  if (!run && !compare) document.title = "autotrack";
  return html`
    <header class="bar">
      <a class="brand" href="./" onClick=${follow}>autotrack</a>
      ${(run || compare) && html`<a href=${link({})} onClick=${follow}>runs</a>`}
      <span class="space"></span>
      <${Connection} />
      <button class="quiet" onClick=${nextTheme} title="light, dark, or as the system has it">${theme.value}</button>
      <button class="quiet" onClick=${() => (help.value = true)} aria-label="Help">?</button>
    </header>
    <main class=${run || compare ? "page" : "table"}>${run ? html`<${Later} key=${run} name="run" id=${run} />`
      : compare ? html`<${Later} key="compare" name="compare" wanted=${ids(compare)} />` : html`<${Runs} />`}</main>
    ${help.value && html`<${Help} />`}`;
}

const later = { run: signal(/** @type {any} */ (null)), compare: signal(/** @type {any} */ (null)) };

/** A view that is fetched when it is asked for. @param {any} props */
function Later({ name, ...props }) {
  const found = later[/** @type {"run" | "compare"} */ (name)];
  useEffect(() => {
    if (name === "run") import("./run.js").then(({ RunPage }) => (found.value = RunPage));
    else import("./compare.js").then(({ Compare }) => (found.value = Compare));
  }, [name]);
  return found.value ? html`<${found.value} ...${props} />` : html`<p class="wait">…</p>`;
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

function goUp() {
  if (history.length > 1 && cameFromTable) history.back();
  else go({});
}
let cameFromTable = false;
addEventListener("click", () => (cameFromTable ||= !view.value.run && !view.value.compare), true);
addEventListener("keydown", () => (cameFromTable ||= !view.value.run && !view.value.compare), true);

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
