// Markdown as elements: paragraphs, headings, lists, quotes, code, emphasis and links. Nothing of it is ever HTML, and
// nothing is fetched: an image is a link to it, and what is no address of the web is no link.
import { html } from "./html.js";
import { printed } from "./text.js";

/** @typedef {any} Element what Preact draws */

const DEEPEST = 8; // quotes in quotes, emphasis in emphasis
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}#{1,6} +(\S.*)$/;
const RULE = /^ {0,3}([-*_])\s*(\1\s*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const INLINE = new RegExp(
  [
    /(?<escaped>\\[!-/:-@[-`{-~])/,
    /(?<tick>`+)(?<code>[^`]|[^`][^]{0,2000}?[^`])\k<tick>(?!`)/,
    /!?\[(?<label>[^[\]\n]{0,1000})\]\((?<target>[^()\s]{1,2000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?)(?:\s+"[^"\n]{0,300}")?\)/,
    /<(?<auto>https?:\/\/[^\s<>]{1,2000})>/,
    /(?<bare>\bhttps?:\/\/[^\s<>()]{1,2000}[^\s<>().,;:!?'"*_\]])/,
    /(?<=^|[^*])\*\*(?<strong>[^\s*](?:[^*\n]*[^\s*])?)\*\*/,
    /(?<![\w])__(?<strong2>[^\s_](?:[^_\n]*[^\s_])?)__(?![\w])/,
    /\*(?<em>[^\s*](?:[^*\n]*[^\s*])?)\*/,
    /(?<![\w])_(?<em2>[^\s_](?:[^_\n]*[^\s_])?)_(?![\w])/,
    /~~(?<gone>[^\s~](?:[^~\n]*[^\s~])?)~~/,
  ].map(({ source }) => source).join("|"),
  "g",
);

/** @param {{text: string}} props */
export function Markdown({ text }) {
  return html`<div class="markdown">${blocks(text.split(/\r?\n/), 0)}</div>`;
}

/** The first line that says something, as text. @param {string} text */
export function firstLine(text) {
  const line = text.slice(0, 2000).split("\n").find((one) => one.trim() && !FENCE.test(one) && !RULE.test(one)) ?? "";
  const said = line.replace(HEADING, "$1").replace(ITEM, "$3").replace(QUOTE, "");
  return said.replace(INLINE, (whole, ...rest) => {
    const found = rest.at(-1);
    return found.code ?? found.label ?? found.strong ?? found.strong2 ?? found.em ?? found.em2 ?? found.gone ?? found.escaped?.slice(1) ?? whole;
  });
}

/** @param {string[]} lines @param {number} depth @returns {Element[]} */
function blocks(lines, depth) {
  const found = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    const heading = HEADING.exec(line);
    const fence = FENCE.exec(line)?.[1];
    if (!line.trim()) at++;
    else if (fence) {
      const end = endOf(lines, at + 1, (one) => !one.trimStart().startsWith(fence));
      found.push(html`<pre tabindex="0">${printed(lines.slice(at + 1, end).join("\n"))}</pre>`);
      at = end + 1;
    } else if (heading) {
      // all of one level, below the page's own: levels that somebody left out would mislead who goes by headings
      found.push(html`<p class="heading" role="heading" aria-level="2">${inline(heading[1].replace(/ #+$/, ""), depth)}</p>`);
      at++;
    } else if (RULE.test(line)) {
      found.push(html`<hr />`);
      at++;
    } else if (QUOTE.test(line) && depth < DEEPEST) {
      const end = endOf(lines, at, (one) => QUOTE.test(one));
      found.push(html`<blockquote>${blocks(lines.slice(at, end).map((one) => one.replace(QUOTE, "")), depth + 1)}</blockquote>`);
      at = end;
    } else if (ITEM.test(line) && depth < DEEPEST) {
      const end = endOf(lines, at, (one) => ITEM.test(one) || /^\s+\S/.test(one));
      found.push(list(lines.slice(at, end), depth));
      at = end;
    } else {
      const end = endOf(lines, at + 1, (one) => one.trim() !== "" && !startsBlock(one));
      found.push(html`<p>${inline(lines.slice(at, end).join("\n"), depth)}</p>`);
      at = end;
    }
  }
  return found;
}

const startsBlock = (/** @type {string} */ line) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(line));

/** Where lines end that go on as `goesOn` says. @param {string[]} lines @param {number} from @param {(line: string) => boolean} goesOn */
function endOf(lines, from, goesOn) {
  let end = from;
  while (end < lines.length && goesOn(lines[end])) end++;
  return end;
}

/** Items, each with the lines that are indented below it. @param {string[]} lines @param {number} depth */
function list(lines, depth) {
  const [, indent, mark] = /** @type {RegExpExecArray} */ (ITEM.exec(lines[0]));
  /** @type {{first: string, rest: string[]}[]} */
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent.length + 1) items.push({ first: item[3], rest: [] });
    else items.at(-1)?.rest.push(line.replace(new RegExp(`^ {0,${indent.length + mark.length + 1}}`), ""));
  }
  const drawn = items.map(({ first, rest }) => html`<li>${inline(first, depth)}${rest.length > 0 && blocks(rest, depth + 1)}</li>`);
  return /\d/.test(mark) ? html`<ol start=${parseInt(mark)}>${drawn}</ol>` : html`<ul>${drawn}</ul>`;
}

/** @param {string} text @param {number} depth @returns {Element[]} */
function inline(text, depth) {
  if (depth >= DEEPEST) return [printed(text)];
  const found = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) found.push(printed(text.slice(at, match.index)));
    found.push(piece(match, depth + 1));
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push(printed(text.slice(at)));
  return found;
}

/** @param {RegExpMatchArray} match @param {number} depth @returns {Element} */
function piece(match, depth) {
  const { escaped, code, label, target, auto, bare, strong, strong2, em, em2, gone } = /** @type {Record<string, string>} */ (match.groups);
  if (escaped) return escaped.slice(1);
  if (code) return html`<code>${printed(code)}</code>`;
  const address = target ?? auto ?? bare;
  if (address) {
    const said = target ? inline(label || target, depth) : printed(address);
    return /^(https?:\/\/|mailto:)/i.test(address)
      ? html`<a href=${address} target="_blank" rel="noopener noreferrer nofollow">${said}</a>`
      : printed(match[0]);
  }
  if (strong ?? strong2) return html`<strong>${inline(strong ?? strong2, depth)}</strong>`;
  if (em ?? em2) return html`<em>${inline(em ?? em2, depth)}</em>`;
  return html`<s>${inline(gone, depth)}</s>`;
}
