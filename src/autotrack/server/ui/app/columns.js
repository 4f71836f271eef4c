// The table's columns: which, how wide, in which order, and what stands in their cells.
import { direction, ranked } from "./telling.js";
import { aligned, duration, float, number, places, plain, scalar, shortId } from "./text.js";

/** @typedef {import("./api.js").Run} Run */
/**
 * @typedef {object} Column
 * @property {string} title
 * @property {string} group "params", "metrics" or ""
 * @property {string} key what the API sorts by; "" if by nothing
 * @property {boolean} isNumber right-aligned, the points below each other
 * @property {(run: Run) => string} text
 * @property {boolean} downFirst whether a first click sorts from high to low
 * @property {number} [width] px
 * @property {number} [places] digits after the point to make room for
 */

const MOST = 20; // params, and metrics, that are considered
const WIDEST = 170, WIDEST_NAME = 320, NARROWEST_NAME = 140;
const NAME_SHARE = 0.2; // of the room, at most
const PADDING = 16;
const SIGN = 14; // for the arrow of the order

/** @type {Column} */
export const NAME = {
  title: "name", group: "", key: "name", isNumber: false, downFirst: false, text: (run) => plain(run.name) || "-",
};
/** @type {Column[]} */
const FACTS = [
  { title: "state", group: "", key: "", isNumber: false, downFirst: false, text: (run) => `● ${run.state}` },
  { title: "started", group: "", key: "started", isNumber: true, downFirst: true, text: () => "59 min ago" },
  { title: "duration", group: "", key: "duration", isNumber: true, downFirst: true, text: (run) => duration(run.duration) },
  { title: "id", group: "", key: "id", isNumber: false, downFirst: false, text: (run) => shortId(run.id) },
];
/** @type {Column} */
const EXPERIMENT = {
  title: "experiment", group: "", key: "experiment", isNumber: false, downFirst: false, text: (run) => plain(run.experiment),
};

/**
 * The columns for these runs, and how many are `left` out: those that tell runs apart come
 * first, and as many are taken as fit into `room` px (all of them if that is no limit).
 * @param {Run[]} runs @param {number} room @param {string | undefined} order
 */
export function chosen(runs, room, order) {
  const params = ranked(runs.map((run) => run.params)).map((name) => param(name, runs));
  const metrics = ranked(runs.map((run) => run.metrics), true).map(metric);
  const experiments = new Set(runs.map((run) => run.experiment));
  const facts = [...(experiments.size > 1 ? [EXPERIMENT] : []), ...FACTS];
  for (const column of [NAME, ...facts, ...params, ...metrics]) measure(column, runs);
  NAME.width = Math.max(Math.min(NAME.width ?? 0, NAME_SHARE * room), NARROWEST_NAME);

  const sorted = [...params, ...metrics].filter((column) => order?.startsWith(column.key));
  const limit = Number.isFinite(room) ? MOST : Infinity;
  const turns = byTurns(metrics.slice(0, limit), params.slice(0, limit));
  const wanted = new Set([...sorted, ...turns]);
  let left = room - [NAME, ...facts].reduce((sum, column) => sum + (column.width ?? 0), 0);
  const taken = new Set();
  for (const column of wanted) {
    if ((column.width ?? 0) > left) continue;
    taken.add(column);
    left -= column.width ?? 0;
  }
  return {
    columns: [NAME, ...facts, ...[...params, ...metrics].filter((column) => taken.has(column))],
    left: params.length + metrics.length - taken.size,
  };
}

/** What a cell says, its point below those of its column's other numbers. @param {Column} column @param {Run} run */
export function cell(column, run) {
  return column.places ? aligned([column.text(run)], column.places)[0] : column.text(run);
}

/** The key of a metric, param or tag in the language of filters. @param {string} group @param {string} name */
export function keyOf(group, name) {
  return `${group}.${/^[\w$#@:/-]+$/.test(name) ? name : `\`${name.replaceAll("`", "``")}\``}`;
}

/** @param {string} name @param {Run[]} runs @returns {Column} */
function param(name, runs) {
  const isNumber = runs.every((run) => !(name in run.params) || isNumeric(run.params[name]));
  const text = (/** @type {Run} */ run) => scalar(run.params[name]);
  return { title: name, group: "params", key: keyOf("params", name), isNumber, downFirst: false, text };
}

/** @param {import("./api.js").Scalar} value */
const isNumeric = (value) => typeof value === "number" || (typeof value === "object" && value !== null);

/** @param {string} name @returns {Column} */
function metric(name) {
  const text = (/** @type {Run} */ run) => (name in run.metrics ? number(float(run.metrics[name].last)) : "");
  const downFirst = direction(name) >= 0;
  return { title: name, group: "metrics", key: keyOf("metrics", name), isNumber: true, downFirst, text };
}

function measure(/** @type {Column} */ column, /** @type {Run[]} */ runs) {
  const texts = runs.map(column.text);
  if (column.isNumber && column.group) column.places = Math.max(0, ...texts.map(places));
  const widest = Math.max(0, ...runs.map((run) => width(cell(column, run))));
  const head = width(plain(column.title)) + (column.key ? SIGN : 0);
  column.width = Math.ceil(Math.min(Math.max(widest, head), column === NAME ? WIDEST_NAME : WIDEST)) + PADDING;
  if (column === NAME) column.width += runs.some((run) => run.children.length) ? 40 : 0;
}

/** @type {CanvasRenderingContext2D | null} */
let pen = null;
/** @type {Map<string, number>} */
const widths = new Map();

/** px that a text takes up in the table. */
function width(/** @type {string} */ text) {
  let found = widths.get(text);
  if (found === undefined) {
    if (!pen) {
      pen = document.createElement("canvas").getContext("2d");
      if (pen) pen.font = getComputedStyle(document.body).font;
    }
    found = pen?.measureText(text).width ?? 7 * text.length;
    if (widths.size > 20_000) widths.clear();
    widths.set(text, found);
  }
  return found;
}

/** One of each after the other. @template T @param {T[][]} lists */
function byTurns(...lists) {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.map((list) => list[i])).flat().filter(Boolean);
}
