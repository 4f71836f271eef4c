// The server's JSON API, as functions.

/**
 * @typedef {number | "NaN" | "Infinity" | "-Infinity"} Num a float; JSON has no other way
 * @typedef {string | number | boolean | null | {float: Num}} Scalar
 * @typedef {{last: Num, min: Num, max: Num, count: number, non_finite: number}} Summary
 * @typedef {"running" | "finished" | "failed" | "killed" | "lost" | "idle"} State
 *
 * @typedef {object} Run times in ns, durations in seconds
 * @property {string} id
 * @property {string} name
 * @property {string} experiment
 * @property {State} state
 * @property {number} started
 * @property {number | null} ended
 * @property {number} duration
 * @property {string | null} parent
 * @property {string[]} children
 * @property {Record<string, Scalar>} params
 * @property {Record<string, string>} tags
 * @property {Record<string, Summary>} metrics
 * @property {{type: string, message: string, traceback: string} | null} error
 * @property {string} host
 * @property {number} beat_interval between two signs of life
 * @property {number | null} silence since its last sign of life, where it has not ended
 *
 * @typedef {{name: string, runs: number, latest: number}} Experiment
 * @typedef {{path: string, sha256: string, size: number, media_type: string}} Artifact
 * @typedef {{name: string, role: string, digest: string, kind: string, shape: number[], size: number | null}} Dataset
 * @typedef {{path: string, flavor: string, kind: string, facts: Record<string, any>}} Model
 * @typedef {{time: number, stream: string, number: number, text: string, level: string | null, logger: string | null}} LogLine
 * @typedef {{id: string, parent: string | null, name: string, started: number, duration: number, params: Record<string, Scalar>, error: string | null}} Fit
 * @typedef {{rank: number, count: number, host: string, writer: string, state: State, last_seen: number, received: number | null, error: string | null}} Rank
 * @typedef {"None" | "Staging" | "Production" | "Archived"} Stage
 * @typedef {object} RegisteredModel
 * @property {string} name
 * @property {string} description Markdown
 * @property {Record<string, string>} tags
 * @property {Record<string, number>} aliases the version that each points at
 * @property {Record<string, number>} stages the latest version in each
 * @property {number | null} latest
 * @property {number} versions how many
 * @property {string} author
 * @property {number} created
 * @property {number} updated
 *
 * @typedef {object} ModelVersion
 * @property {string} name
 * @property {number} version
 * @property {string} run_id
 * @property {string} path
 * @property {string} source
 * @property {string} description Markdown
 * @property {Record<string, string>} tags
 * @property {string[]} aliases
 * @property {Stage} stage
 * @property {Artifact[]} files
 * @property {string} author
 * @property {number} created
 * @property {number} updated
 *
 * @typedef {{version: number, run: Run | null, model: Model | null, datasets: {name: string, role: string, digest: string}[]}} Lineage what a version is made of
 * @typedef {{number: number, time: number, author: string, verb: string, model: string, version: number | null, detail: Record<string, any>}} AuditEntry
 * @typedef {{step: Float64Array, time: Float64Array, value: Float64Array}} Points times in ns
 */

const ROOT = "./api/v1/";

/** What the server refuses, or that it does not answer; `column` is the filter's, from 1. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status 0: no answer @param {number} [column] */
  constructor(message, status, column) {
    super(message);
    this.status = status;
    this.column = column;
  }
}

/**
 * GET as JSON. Raises `ApiError`; an aborted one raises what `fetch` raises.
 * @param {string} path @param {Record<string, string | number | undefined>} [query] @param {AbortSignal} [signal]
 */
export async function get(path, query = {}, signal) {
  const answer = await asked(path, query, { accept: "application/json", signal });
  return answer.json();
}

/**
 * Change something: the answer is what it is then. Raises `ApiError`.
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method @param {string} path @param {object} [told] @param {Record<string, string | number | undefined>} [query]
 */
export async function send(method, path, told, query = {}) {
  const body = told && JSON.stringify(told);
  const answer = await asked(path, query, { accept: "application/json", method, body });
  return answer.json();
}

/** The path of a registered model, or of what is below it. @param {string} name @param {(string | number)[]} below */
export const modelPath = (name, ...below) => ["models", name, ...below].map(encodeURIComponent).join("/");

/** A part of a run: `artifacts`, `logs`, … @param {string} run @param {string} part @param {AbortSignal} [signal] */
export async function partOf(run, part, signal) {
  return (await get(`runs/${encodeURIComponent(run)}/${part}`, {}, signal))[part];
}

/**
 * A metric's curve; `most` leaves out points that a chart could not show.
 * @param {string} run @param {string} name @param {number | undefined} most @param {AbortSignal} [signal]
 * @returns {Promise<Points>}
 */
export async function points(run, name, most, signal) {
  const path = `runs/${encodeURIComponent(run)}/points`;
  const answer = await asked(path, { name, max_points: most }, { accept: "application/octet-stream", signal });
  const bytes = await answer.arrayBuffer();
  const n = bytes.byteLength / 24;
  return {
    step: integers(bytes, 0, n),
    time: integers(bytes, n * 8, n),
    value: new Float64Array(bytes, n * 16, n),
  };
}

/** Where an artifact is downloaded from. @param {string} run @param {string} path */
export function fileLink(run, path) {
  return `${ROOT}runs/${encodeURIComponent(run)}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** The stream of commits. */
export const events = () => new EventSource(`${ROOT}events`);

/** @param {string} path @param {Record<string, any>} query @param {{accept: string, method?: string, body?: string, signal?: AbortSignal}} how */
async function asked(path, query, { accept, method = "GET", body, signal }) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  let answer;
  try {
    answer = await fetch(ROOT + path + (text && `?${text}`), { method, body, headers: { accept, ...(body && { "content-type": "application/json" }) }, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The server does not answer.", 0);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** @param {Response} answer */
async function refusal(answer) {
  const said = (await answer.json().catch(() => null))?.error;
  const message = said?.message ?? `The server answers ${answer.status} ${answer.statusText}`.trimEnd();
  return new ApiError(message, answer.status, said?.what === "order" ? undefined : said?.column);
}

/** int64 as floats: exact for steps up to 2^53, to 0.3 µs for times. @param {ArrayBuffer} bytes @param {number} offset @param {number} n */
function integers(bytes, offset, n) {
  const halves = new DataView(bytes, offset, n * 8);
  const found = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    found[i] = halves.getInt32(8 * i + 4, true) * 4294967296 + halves.getUint32(8 * i, true);
  }
  return found;
}
