// What is looked at. All of it is in the URL's query, so that a link shows the same.
import { computed, signal } from "@preact/signals";

/**
 * @typedef {object} View
 * @property {string} [run] the run that is shown, else the table
 * @property {string} [compare] ids of runs side by side, by commas
 * @property {string} [models] "all": the registered models
 * @property {string} [model] the registered model that is shown; `compare` and `selected` are versions of it then
 * @property {string} [version] the version of it that is shown
 * @property {string} [name] part of the names of the registered models that are shown
 * @property {string} [experiment]
 * @property {string} [filter]
 * @property {string} [order] what the table is sorted by, as the API takes it
 * @property {string} [open] ids of runs whose children are shown
 * @property {string} [selected] ids of marked runs
 * @property {string} [columns] "all": every column, not only those that fit
 * @property {string} [x] what curves are drawn over: step (if absent), time or wall
 * @property {string} [log] "1": a logarithmic scale
 * @property {string} [stream] the only stream whose lines are shown
 */

const query = signal(location.search);

/** @type {{value: View}} */
export const view = computed(() => Object.fromEntries(new URLSearchParams(query.value)));

/** The link to another view. @param {View} to */
export function link(to) {
  const wanted = Object.entries(to).filter(([, value]) => value);
  // commas and slashes mean nothing in a query: left as they are a person can read it
  const text = wanted.map(([name, value]) => `${name}=${readable(encodeURIComponent(value))}`).join("&");
  return text ? `?${text}` : "./";
}

/** Look at something else. @param {View} to */
export function go(to) {
  history.pushState(null, "", link(to));
  query.value = location.search;
}

/** Look at the same a little differently: no new step in the browser's history. @param {View} changes */
export function change(changes) {
  history.replaceState(null, "", link({ ...view.value, ...changes }));
  query.value = location.search;
}

/** The ids in a list of the view. @param {string | undefined} list */
export const ids = (list) => (list ? list.split(",") : []);

/** The list with an id put in, or taken out. @param {string | undefined} list @param {string} id */
export function toggled(list, id) {
  const had = ids(list);
  return (had.includes(id) ? had.filter((other) => other !== id) : [...had, id]).join(",");
}

/** For a link inside the page: a plain click changes the view, any other click is the browser's. @param {MouseEvent} event */
export function follow(event) {
  const anchor = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(Object.fromEntries(new URL(anchor.href).searchParams));
}

addEventListener("popstate", () => (query.value = location.search));

function readable(/** @type {string} */ text) {
  return text.replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%20", "+");
}
