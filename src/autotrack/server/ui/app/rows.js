// The runs of the table: page after page as one scrolls, renewed as the store changes.
import { batch, signal } from "@preact/signals";
import { get } from "./api.js";

/** @typedef {import("./api.js").Run} Run */
/** @typedef {{run: Run, depth: number, folds: boolean, isOpen: boolean}} Line a row of the table */
/** @typedef {{filter?: string, order?: string, experiment?: string}} Question */

const PAGE = 100;
const LATER_PAGE = 500;

/** @type {{value: Run[]}} in order, as far as they have come */
export const runs = signal([]);
/** The first page: what columns are chosen from. @type {{value: Run[]}} */
export const head = signal([]);
/** How many there are; null until that is known. @type {{value: number | null}} */
export const total = signal(null);
/** @type {{value: Error | null}} */
export const failure = signal(null);
/** Whether there is an answer to show. */
export const isThere = signal(false);
/** Whether it is the answer to an earlier question. */
export const isStale = signal(false);
/** Children that have been asked for, by their parent. @type {{value: Map<string, Run[]>}} */
export const children = signal(new Map());

/** @type {Question} */
let question = {};
/** @type {string | null} */
let next = null;
let loading = false;
let asked = 0; // answers to earlier questions are not looked at

/** Show the runs of another question. @param {Question} wanted */
export async function ask(wanted) {
  question = wanted;
  asked++;
  batch(() => {
    isStale.value = isThere.value;
    failure.value = null;
    total.value = null;
  });
  await renew();
}

/** The first page and the total as they are now; runs beyond that stay as they were. */
export async function renew() {
  const mine = asked;
  try {
    const page = await get("runs", { ...which(question), order_by: question.order, limit: PAGE });
    if (mine !== asked) return;
    const onPage = new Set(page.runs.map((/** @type {Run} */ run) => run.id));
    const beyond = isThere.value && !isStale.value && page.next ? runs.value.slice(PAGE).filter((run) => !onPage.has(run.id)) : [];
    batch(() => {
      if (!beyond.length) next = page.next;
      head.value = page.runs;
      runs.value = [...page.runs, ...beyond];
      isThere.value = true;
      isStale.value = false;
      failure.value = null;
      if (!page.next) total.value = page.runs.length;
    });
    if (page.next) total.value = (await get("runs/count", which(question))).count;
  } catch (error) {
    if (mine !== asked) return;
    batch(() => {
      failure.value = /** @type {Error} */ (error);
      if (isStale.value) isThere.value = isStale.value = false;
    });
  }
}

/** The next page, if there is one and it is not on its way. */
export async function more() {
  if (!next || loading) return;
  const mine = asked;
  loading = true;
  try {
    const page = await get("runs", { ...which(question), order_by: question.order, limit: LATER_PAGE, after: next });
    if (mine !== asked) return;
    const had = new Set(runs.value.map((run) => run.id));
    next = page.next;
    runs.value = [...runs.value, ...page.runs.filter((/** @type {Run} */ run) => !had.has(run.id))];
  } catch (error) {
    failure.value = /** @type {Error} */ (error);
  } finally {
    loading = false;
  }
}

/** The run as it is now, wherever it stands. @param {string} id */
export async function renewOne(id) {
  const run = await get(`runs/${id}`);
  const renewed = (/** @type {Run[]} */ list) => list.map((old) => (old.id === id ? run : old));
  runs.value = renewed(runs.value);
  children.value = new Map([...children.value].map(([parent, list]) => [parent, renewed(list)]));
}

/** Fetch a run's children. @param {string} id */
export async function unfold(id) {
  const quoted = id.replaceAll("'", "''");
  const page = await get("runs", { filter: `run.parent = '${quoted}'`, order_by: "started", limit: LATER_PAGE });
  children.value = new Map(children.value).set(id, page.runs);
}

/** The rows from top to bottom, children below those that are open. @param {Set<string>} open @returns {Line[]} */
export function lines(open) {
  /** @type {Line[]} */
  const found = [];
  const seen = new Set();
  const put = (/** @type {Run} */ run, /** @type {number} */ depth) => {
    if (seen.has(run.id)) return; // whatever the parents say, each is there once
    seen.add(run.id);
    const isOpen = open.has(run.id);
    found.push({ run, depth, folds: run.children.length > 0, isOpen });
    if (isOpen) for (const child of children.value.get(run.id) ?? []) put(child, depth + 1);
  };
  for (const run of runs.value) put(run, 0);
  return found;
}

/** A filter looks at children too; without one they stand below their parents. @param {Question} question */
function which({ filter, experiment }) {
  return { filter, experiment, roots: filter ? undefined : "true" };
}
