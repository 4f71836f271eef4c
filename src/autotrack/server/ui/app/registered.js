// What the views of registered models share.
import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { useKeys } from "./parts.js";
import { plain } from "./text.js";
import { follow, link } from "./view.js";

/** @typedef {import("./api.js").Stage} Stage */

/** @type {Stage[]} */
export const STAGES = ["None", "Staging", "Production", "Archived"];
const STAGE_SIGNS = { None: "", Staging: "◐", Production: "●", Archived: "▢" };

/** A stage by sign, colour and word; the latest version in it, if that is told. @param {{stage: Stage, version?: number}} props */
export function StageMark({ stage, version }) {
  if (stage === "None") return null;
  return html`<span class="stage ${stage.toLowerCase()}"><span class="sign" aria-hidden="true">${STAGE_SIGNS[stage]}</span> ${stage}${version !== undefined && html` <span class="dim">${version}</span>`}</span>`;
}

/** An alias; with `version` it leads there. @param {{model: string, alias: string, version?: number}} props */
export function Chip({ model, alias, version }) {
  const name = `@${plain(alias)}`;
  if (version === undefined) return html`<span class="chip" title=${name}>${name}</span>`;
  return html`<a class="chip" href=${link({ model, version: String(version) })} onClick=${follow} title=${`${name} is version ${version}`}>${name} <span class="points">${version}</span></a>`;
}

/** The last word of a class, its full name when pointed at. @param {{kind: string}} props */
export function Class({ kind }) {
  return html`<span title=${plain(kind)}>${plain(kind.split(".").at(-1) ?? "")}</span>`;
}

/** A model's signature in one line, as its run tells it. @param {Record<string, any> | undefined} facts */
export function signatureOf(facts) {
  const told = facts?.signature;
  return told === undefined || told === null ? "" : typeof told === "string" ? told : JSON.stringify(told);
}

/** Bytes of all its files. @param {import("./api.js").ModelVersion} version */
export const sizeOf = (version) => version.files.reduce((sum, file) => sum + file.size, 0);

/**
 * The row that keys act on: j and k move it, enter opens, x marks. Which one it is, by its key.
 * @param {string[]} rows their keys, in order
 * @param {{open: (key: string) => void, mark?: (key: string) => void, reveal?: (index: number) => void}} verbs
 */
export function useCursor(rows, { open, mark, reveal }) {
  const cursor = useSignal("");
  useKeys((key, event) => {
    const at = rows.indexOf(cursor.value);
    const to = { j: at + 1, ArrowDown: at + 1, k: Math.max(at - 1, 0), ArrowUp: Math.max(at - 1, 0), g: 0 }[key];
    const isOnControl = /** @type {HTMLElement} */ (event.target).matches?.("a, button, input, summary");
    if (to !== undefined && to < rows.length) {
      cursor.value = rows[to];
      reveal?.(to);
    } else if (key === "x" && mark && at >= 0) mark(rows[at]);
    else if (key === "Enter" && at >= 0 && !isOnControl) open(rows[at]);
    else return;
    event.preventDefault();
  });
  return cursor.value;
}
