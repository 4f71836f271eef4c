// The audit log of a registered model: who changed what when.
import { useSignal } from "@preact/signals";
import { get } from "./api.js";
import { html } from "./html.js";
import { modelId, useLoaded } from "./live.js";
import { Ago, Problem } from "./parts.js";
import { moment, plain } from "./text.js";
import { follow, link } from "./view.js";

/** @typedef {import("./api.js").AuditEntry} AuditEntry */

const PAGE = 100, MOST = 1000;

/** Folded until somebody wants to know. @param {{model: string}} props */
export function Changes({ model }) {
  const isOpen = useSignal(false), most = useSignal(PAGE);
  const { value, error } = useLoaded(
    `audit ${model} ${most.value}`, async (signal) => (await get("audit", { model, limit: most.value }, signal)).entries,
    { id: modelId(model), skip: !isOpen.value },
  );
  /** @type {AuditEntry[]} */
  const entries = value ?? [];
  return html`<details class="changes" onToggle=${(/** @type {any} */ event) => (isOpen.value = event.currentTarget.open)}>
    <summary><h2>Changes</h2> <span class="dim">who did what when</span></summary>
    <${Problem} error=${error} />
    ${entries.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Changes"><table class="plain">
      <thead><tr>${["when", "", "who", "version", "what"].map((title, i) => (title ? html`<th key=${i} scope="col">${title}</th>` : html`<td key=${i}></td>`))}</tr></thead>
      <tbody>${entries.map((entry) => html`<tr key=${entry.number}>
        <td>${moment(entry.time)}</td><td class="dim"><${Ago} ns=${entry.time} /></td>
        <td>${plain(entry.author) || html`<span class="dim">-</span>`}</td>
        <td>${entry.version !== null && html`<a href=${link({ model, version: String(entry.version) })} onClick=${follow}>${entry.version}</a>`}</td>
        <td class="done">${plain(words(entry))}</td>
      </tr>`)}</tbody>
    </table></div>`}
    ${entries.length === most.value && most.value < MOST && html`<button class="quiet" onClick=${() => (most.value = MOST)}>show earlier ones</button>`}
  </details>`;
}

/** What was done: the same words as the terminal's (autotrack/cli/model_tables.py). @param {AuditEntry} entry */
function words({ verb, detail }) {
  switch (verb) {
    case "set_alias":
    case "delete_alias":
      return `@${moved(detail.alias)}`;
    case "register":
      return `registered from ${source(String(detail.source))}${detail.alias ? `, @${moved(detail.alias)}` : ""}`;
    case "set_stage":
      return `stage ${fromTo(detail.stage)}${detail.archived?.length ? `; archived ${detail.archived.join(", ")}` : ""}`;
    case "rename":
      return `renamed to ${detail.name?.to}`;
    case "update":
    case "update_version": {
      const tags = Object.entries(detail.tags ?? {}).map(([name, change]) => `tag ${name} ${fromTo(change)}`);
      return [..."description" in detail ? ["description"] : [], ...tags].join(", ") || "nothing";
    }
    case "create":
      return "created";
    case "delete":
    case "delete_version":
      return "deleted";
    default:
      return verb;
  }
}

/** An address; of a run's id what `autotrack show` takes. @param {string} address */
const source = (address) => address.replace(/^runs:\/[0-9a-f]{24}([0-9a-f]{8})\//, "runs:/$1/");

const moved = (/** @type {any} */ change) => `${change?.name} ${fromTo(change)}`;

const fromTo = (/** @type {any} */ change) => `${said(change?.from)} → ${said(change?.to)}`;

const said = (/** @type {any} */ value) => (value === null || value === undefined ? "-" : String(value));
