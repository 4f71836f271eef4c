// What changes while the page is open: the server tells of each commit, and a clock ticks.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { events } from "./api.js";

/** Whether the server tells us of changes. */
export const connection = signal(/** @type {"connecting" | "live" | "cut off"} */ ("connecting"));

/** Now, in ms; moves on every second. */
export const clock = signal(Date.now());
setInterval(() => (clock.value = Date.now()), 1000);

/**
 * @typedef {(ids: Set<string> | null) => void} Watcher told of what changed; null: anything may have. A run is
 * told of by its id, a registered model by its address, beside `ANY_RUN` and `ANY_MODEL`.
 */

/** What changes with any run. */
export const ANY_RUN = "runs:/";
/** What changes with any registered model. */
export const ANY_MODEL = "models:/";
/** What changes with one. @param {string} name */
export const modelId = (name) => ANY_MODEL + name;

/** @type {Set<Watcher>} */
const watchers = new Set();
const RETRY_MS = 3000;
const BEATS_MISSED = 3; // as in backend.py
const SHORTEST_SILENCE_MS = 1000, LONGEST_SILENCE_MS = 10_000;

/** Tell of changes until the function that is returned is called. @param {Watcher} watcher */
export function watch(watcher) {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** @type {EventSource | null} */
let source = null;
let hasMissed = false; // something may have changed that nobody told of

/**
 * Listen to the server while the page is seen; over and over again when it goes away. A browser has six
 * connections to a server: pages that nobody sees must not hold them.
 */
export function listen() {
  document.addEventListener("visibilitychange", () => (document.hidden ? hang() : open()));
  if (!document.hidden) open();
}

function open() {
  hang();
  const opened = (source = events());
  opened.addEventListener("open", () => {
    connection.value = "live";
    if (hasMissed) tell(null);
    hasMissed = false;
  });
  opened.addEventListener("commit", (event) => {
    const { runs, models } = JSON.parse(event.data);
    const any = [...(runs?.length ? [ANY_RUN] : []), ...(models?.length ? [ANY_MODEL] : [])];
    tell(runs && models && new Set([...runs, ...models.map(modelId), ...any]));
  });
  opened.addEventListener("error", () => {
    connection.value = "cut off";
    hasMissed = true;
    if (opened.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    setTimeout(() => opened === source && open(), RETRY_MS);
  });
}

function hang() {
  hasMissed ||= source?.readyState === EventSource.OPEN;
  source?.close();
  source = null;
}

/** Whether a run has not ended: it may be lost without a word. @param {import("./api.js").Run} run */
export const goesOn = ({ state }) => state === "running" || state === "idle";

/**
 * ms until these runs are asked for again though nobody tells of them: a lost one says nothing. What ran elsewhere is
 * lost three beats after the server heard of it last, what ran on the server's machine as soon as it is gone.
 * @param {import("./api.js").Run[]} runs
 */
export function nextLook(runs) {
  const waits = runs.filter(goesOn).map(({ silence, beat_interval: beat }) => {
    const left = BEATS_MISSED * beat - (silence ?? 0);
    return 1000 * (left > 0 ? Math.min(left, beat) : beat);
  });
  return Math.max(Math.min(...waits, LONGEST_SILENCE_MS), SHORTEST_SILENCE_MS);
}

/**
 * `work`, at most once in `ms`: what is asked for meanwhile is done once, afterwards.
 * @param {() => Promise<void> | void} work @param {number} ms
 */
export function paced(work, ms) {
  let busy = false, again = false;
  return async function run() {
    if (busy) return void (again = true);
    busy = true;
    await Promise.all([work(), new Promise((done) => setTimeout(done, ms))]);
    busy = false;
    if (again) {
      again = false;
      run();
    }
  };
}

/**
 * What `load` fetches; again when `key` changes, and when the run or model `id` does, at most once in `ms`.
 * The value of before is kept until the next one is there. `isLive`: it is a run or several, which may be lost.
 * @template T
 * @param {string} key @param {(signal: AbortSignal) => Promise<T>} load
 * @param {{id?: string, isLive?: boolean, ms?: number, skip?: boolean}} [when]
 * @returns {{value?: T, error?: Error}}
 */
export function useLoaded(key, load, { id, isLive = false, ms = 1000, skip = false } = {}) {
  const [state, setState] = useState(/** @type {{key?: string, value?: T, error?: Error}} */ ({}));
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    if (skip) return;
    const abort = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const refresh = paced(async () => {
      /** @type {any} */
      let runs = [];
      try {
        const value = await latest.current(abort.signal);
        if (!abort.signal.aborted) setState({ key, value });
        runs = value;
      } catch (caught) {
        const error = /** @type {Error} */ (caught);
        if (!abort.signal.aborted) setState((before) => ({ ...(before.key === key ? before : { key }), error }));
      }
      clearTimeout(timer);
      if (isLive && !abort.signal.aborted) timer = setTimeout(refresh, nextLook([runs].flat()));
    }, ms);
    refresh();
    const unwatch = watch((changed) => (!changed || (id && changed.has(id))) && refresh());
    return () => {
      abort.abort();
      unwatch();
      clearTimeout(timer);
    };
  }, [key, id, isLive, skip]);
  return state.key === key ? state : {};
}

function tell(/** @type {Set<string> | null} */ changed) {
  for (const watcher of [...watchers]) watcher(changed);
}
