// Changes of registered models and versions, made in the page. What the server refuses is said where it was asked for.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import { get, modelPath, send } from "./api.js";
import { html } from "./html.js";
import { Markdown } from "./markdown.js";
import { Problem } from "./parts.js";
import { Chip, STAGES, StageMark } from "./registered.js";
import { plain } from "./text.js";

/** @typedef {import("./api.js").ModelVersion} ModelVersion */
/** @typedef {import("./api.js").Stage} Stage */

const MOST_NAME = 250, MOST_TEXT = 65_536; // characters, as the server has it
const LONG = 900, MANY_LINES = 9; // of a description: characters and lines from which on it is folded
const AUTHOR = "autotrack.author";

/** Who makes the changes, as he says: the audit log has it. It is kept in this browser. */
const author = signal(localStorage.getItem(AUTHOR) ?? "");

/** The field for the name that the audit log is told. */
export function Author() {
  const tell = (/** @type {any} */ event) => {
    author.value = event.currentTarget.value.trim();
    localStorage.setItem(AUTHOR, author.value);
  };
  return html`<label class="author"><span class="dim">changes are by</span>
    <input value=${author.value} maxlength=${MOST_NAME} placeholder="your name" autocomplete="username" spellcheck=${false} onChange=${tell} /></label>`;
}

/** Work that may be refused: whether it is under way, and what was said. */
function useVerb() {
  const busy = useSignal(false), error = useSignal(/** @type {Error | undefined} */ (undefined));
  /** Whether it was done. @param {() => Promise<unknown>} work */
  const act = async (work) => {
    busy.value = true;
    error.value = undefined;
    try {
      await work();
      return true;
    } catch (caught) {
      error.value = /** @type {Error} */ (caught);
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy: busy.value, error: error.value, act };
}

/** A fact that can be changed: shown, or in its form. @param {{title: string, open: import("@preact/signals").Signal<boolean>, children: any, closing?: string}} props */
function Line({ title, open, children, closing = "done" }) {
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const wasOpen = useRef(false);
  useEffect(() => {
    const isNowhere = document.activeElement === document.body; // nor where the user went while it was saved
    if (wasOpen.current && !open.value && isNowhere) button.current?.focus(); // where the form was opened from
    wasOpen.current = open.value;
  }, [open.value]);
  return html`<div class="editable" onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && (open.value = false)}>
    <span class="dim label">${title}</span>
    <button ref=${button} class="quiet" aria-expanded=${open.value} aria-label=${`Edit ${title}`}
      onClick=${() => (open.value = !open.value)}>${open.value ? closing : "edit"}</button>
    <div class="said">${children}</div>
  </div>`;
}

// --- description ----------------------------------------------------------------------------------

/** @param {{path: string, text: string}} props `path`: of the model or the version */
export function Description({ path, text }) {
  const open = useSignal(false), isWhole = useSignal(false);
  const isLong = text.length > LONG || text.split("\n").length > MANY_LINES;
  return html`<${Line} title="about" open=${open} closing="cancel">
    ${open.value ? html`<${DescriptionForm} path=${path} text=${text} close=${() => (open.value = false)} />` : html`
      ${text ? html`<div class=${isLong && !isWhole.value ? "folded" : ""}><${Markdown} text=${text} /></div>` : html`<span class="dim">nothing said yet</span>`}
      ${isLong && html`<button class="quiet" aria-expanded=${isWhole.value} onClick=${() => (isWhole.value = !isWhole.value)}>${isWhole.value ? "show less" : "show all"}</button>`}`}
  <//>`;
}

/** @param {{path: string, text: string, close: () => void}} props */
function DescriptionForm({ path, text, close }) {
  const began = useRef(text);
  const draft = useSignal(text);
  const verb = useVerb();
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  const save = async () => {
    if (await verb.act(() => send("PATCH", path, { description: draft.value, author: author.value }))) close();
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
  };
  return html`<form class="description" onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), save())}>
    <textarea ref=${field} aria-label="Description, in Markdown" rows="12" maxlength=${MOST_TEXT} value=${draft.value} onKeyDown=${press}
      onInput=${(/** @type {any} */ event) => (draft.value = event.currentTarget.value)}></textarea>
    <div class="preview" role="region" aria-label="Preview" tabindex="0"><${Markdown} text=${draft.value} /></div>
    <div class="buttons">
      <button disabled=${verb.busy}>save</button>
      <span class="dim">Markdown; ctrl-enter saves, escape leaves it as it was</span>
      ${began.current !== text && html`<span class="loud" role="status">It was changed meanwhile: saving replaces what is there now.</span>`}
    </div>
    <${Problem} error=${verb.error} />
  </form>`;
}

// --- tags -----------------------------------------------------------------------------------------

/** @param {{path: string, tags: Record<string, string>}} props */
export function Tags({ path, tags }) {
  const open = useSignal(false);
  const verb = useVerb();
  const set = (/** @type {Record<string, string | null>} */ changes) => verb.act(() => send("PATCH", path, { tags: changes, author: author.value }));
  const add = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const told = new FormData(form);
    if (!(await set({ [String(told.get("name"))]: String(told.get("value")) }))) return;
    form.reset();
    /** @type {HTMLElement} */ (form.elements[0]).focus();
  };
  const names = Object.keys(tags).sort();
  return html`<${Line} title="tags" open=${open}>
    ${names.map((name) => html`<span key=${name} class="tag" title=${`${plain(name)}: ${plain(tags[name])}`}><span class="dim">${plain(name)}</span> ${plain(tags[name])}
      ${open.value && html`<button class="quiet remove" disabled=${verb.busy} aria-label=${`Take away tag ${plain(name)}`} onClick=${() => set({ [name]: null })}>×</button>`}</span>`)}
    ${!names.length && !open.value && html`<span class="dim">none</span>`}
    ${open.value && html`<form onSubmit=${add}>
      <input name="name" aria-label="Tag" placeholder="tag" required maxlength=${MOST_NAME} autocomplete="off" />
      <input name="value" aria-label="Value" placeholder="value" maxlength=${MOST_TEXT} autocomplete="off" />
      <button disabled=${verb.busy}>set</button>
    </form>`}
    <${Problem} error=${verb.error} />
  <//>`;
}

// --- aliases --------------------------------------------------------------------------------------

/**
 * A model's aliases, or with `here` those of one version. Each change says where the alias pointed when the form showed it:
 * if somebody else has moved it since, the server refuses, and what it says is shown.
 * @param {{model: string, aliases: Record<string, number>, versions: number[], here?: number}} props `aliases`: all of the model's
 */
export function Aliases({ model, aliases, versions, here }) {
  const open = useSignal(false);
  const seen = useSignal(aliases);
  const verb = useVerb();
  useLayoutEffect(() => void (seen.value = aliases), [open.value]);
  const known = open.value ? seen.value : aliases;
  const shown = Object.keys(known).filter((alias) => here === undefined || known[alias] === here).sort();

  /** @param {string} alias @param {number | null} to */
  const point = (alias, to) => verb.act(async () => {
    const path = modelPath(model, "aliases", alias), expected = known[alias] ?? 0;
    try {
      if (to === null) await send("DELETE", path, undefined, { expected, author: author.value });
      else await send("PUT", path, { version: to, expected, author: author.value });
    } catch (error) {
      seen.value = (await get(modelPath(model))).aliases;
      throw error;
    }
    const { [alias]: _, ...others } = seen.value;
    seen.value = to === null ? others : { ...others, [alias]: to };
  });

  return html`<${Line} title="aliases" open=${open}>
    ${!open.value && shown.map((alias) => html`<${Chip} key=${alias} model=${model} alias=${alias} version=${here === undefined ? known[alias] : undefined} />`)}
    ${!open.value && !shown.length && html`<span class="dim">none</span>`}
    ${open.value && html`<div class="forms">
      ${shown.map((alias) => html`<${AliasForm} key=${`${alias} ${known[alias]}`} alias=${alias} at=${known[alias]}
        versions=${versions} isFixed=${here !== undefined} busy=${verb.busy} point=${point} />`)}
      <${NewAlias} known=${known} versions=${versions} here=${here} busy=${verb.busy} point=${point} />
    </div>`}
    <${Problem} error=${verb.error} />
  <//>`;
}

/** @typedef {(alias: string, to: number | null) => Promise<boolean>} Point */

/** @param {{alias: string, at: number, versions: number[], isFixed: boolean, busy: boolean, point: Point}} props */
function AliasForm({ alias, at, versions, isFixed, busy, point }) {
  const to = useSignal(at);
  const move = (/** @type {Event} */ event) => {
    event.preventDefault();
    point(alias, to.value);
  };
  return html`<form onSubmit=${move}>
    <${Chip} model="" alias=${alias} />
    ${!isFixed && html`<span class="dim" aria-hidden="true">→</span>
      <${Versions} label=${`Version of ${plain(alias)}`} versions=${versions} at=${at} to=${to} />
      <button disabled=${busy || to.value === at} aria-label=${`Move ${plain(alias)}`}>move</button>`}
    <button type="button" class="quiet" disabled=${busy} aria-label=${`Remove ${plain(alias)}`} onClick=${() => point(alias, null)}>remove</button>
  </form>`;
}

/** @param {{known: Record<string, number>, versions: number[], here?: number, busy: boolean, point: Point}} props */
function NewAlias({ known, versions, here, busy, point }) {
  const name = useSignal(""), to = useSignal(here ?? versions[0]);
  if (!versions.length) return html`<span class="dim">an alias points at a version; there is none yet</span>`;
  const at = known[name.value.trim()];
  const set = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await point(name.value.trim(), to.value)) name.value = "";
  };
  return html`<form onSubmit=${set}>
    <input list="aliases" aria-label="Alias" placeholder=${here === undefined ? "new alias" : "alias"} required maxlength=${MOST_NAME} autocomplete="off" spellcheck=${false}
      value=${name.value} onInput=${(/** @type {any} */ event) => (name.value = event.currentTarget.value)} />
    <datalist id="aliases">${Object.keys(known).map((alias) => html`<option key=${alias} value=${alias}></option>`)}</datalist>
    ${here === undefined && html`<span class="dim" aria-hidden="true">→</span><${Versions} label="Version of the new alias" versions=${versions} at=${to.value} to=${to} />`}
    <button disabled=${busy || at === to.value}>${at ? `move from ${at}` : here === undefined ? "set" : "point here"}</button>
  </form>`;
}

/** A choice of versions. @param {{label: string, versions: number[], at: number, to: import("@preact/signals").Signal<number>}} props */
function Versions({ label, versions, at, to }) {
  const all = versions.includes(at) ? versions : [at, ...versions];
  return html`<select aria-label=${label} value=${String(to.value)} onChange=${(/** @type {any} */ event) => (to.value = Number(event.currentTarget.value))}>
    ${all.map((number) => html`<option key=${number} value=${String(number)}>${number}</option>`)}
  </select>`;
}

// --- stage ----------------------------------------------------------------------------------------

/** @param {{version: ModelVersion}} props */
export function StageLine({ version }) {
  const open = useSignal(false);
  const to = useSignal(/** @type {Stage} */ (version.stage)), archive = useSignal(false);
  const verb = useVerb();
  useLayoutEffect(() => void (to.value = version.stage), [open.value, version.stage]);
  const makesRoom = to.value === "Staging" || to.value === "Production";
  const move = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const told = { stage: to.value, archive: makesRoom && archive.value, author: author.value };
    if (await verb.act(() => send("PUT", modelPath(version.name, "versions", version.version, "stage"), told))) open.value = false;
  };
  return html`<${Line} title="stage" open=${open}>
    ${!open.value && (version.stage === "None" ? html`<span class="dim">None</span>` : html`<${StageMark} stage=${version.stage} />`)}
    ${open.value && html`<form onSubmit=${move}>
      <select aria-label="Stage" value=${to.value} onChange=${(/** @type {any} */ event) => (to.value = event.currentTarget.value)}>
        ${STAGES.map((stage) => html`<option key=${stage} value=${stage}>${stage}</option>`)}
      </select>
      ${makesRoom && html`<label><input type="checkbox" checked=${archive.value} onChange=${(/** @type {any} */ event) => (archive.value = event.currentTarget.checked)} /> archive those that are in ${to.value}</label>`}
      <button disabled=${verb.busy || to.value === version.stage}>move</button>
    </form>`}
    <${Problem} error=${verb.error} />
  <//>`;
}
