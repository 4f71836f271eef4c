// Values as people read them: the same words as the terminal's (autotrack/display/text.py).

/** @typedef {import("./api.js").Num} Num */
/** @typedef {import("./api.js").Scalar} Scalar */

/** @type {Record<import("./api.js").State, string>} */
export const SIGNS = { finished: "✓", failed: "✗", killed: "■", lost: "?", running: "●", idle: "○" };

const LONGEST = 400;
const MINUTE = 60, HOUR = 3600, DAY = 86400;
const UNSEEN = /(?!\u200d)[\p{C}\p{Zl}\p{Zp}]/gu; // the joiner holds emoji together
const ANSI = /\x1b\[[0-9;?]*[ -/]*[@-~]/g;
const SHORTEST_DIGEST = 20;

/** On one line, what is no glyph as an escape: nothing a name contains may act on what stands around it. */
export function plain(/** @type {string} */ text) {
  return visible(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}

/** Lines of output as they were meant: without colours, other controls visible. */
export function printed(/** @type {string} */ text) {
  return text.replace(ANSI, "").split("\n").map((line) => line.split("\t").map(visible).join("\t")).join("\n");
}

function visible(/** @type {string} */ text) {
  return text.replace(UNSEEN, (c) => {
    const code = /** @type {number} */ (c.codePointAt(0));
    return { 9: "\\t", 10: "\\n", 13: "\\r" }[code] ?? `\\u{${code.toString(16)}}`;
  });
}

/** A number as JSON has it, or as a param has it, as a number. @param {Scalar | undefined} value */
export function float(value) {
  if (typeof value === "object" && value) return Number(value.float);
  return typeof value === "number" ? value : Number(value);
}

/** Four significant digits, whole numbers whole. @param {Num | number} value */
export function number(value, digits = 4) {
  const x = Number(value);
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  const size = Math.abs(x);
  if ((Number.isInteger(x) && size < 1e9) || (size >= 1e4 && size < 1e6)) return x.toFixed(0);
  if (size < 1e-4 || size >= 1e6) return exponential(x, digits);
  return String(Number(x.toPrecision(digits)));
}

function exponential(/** @type {number} */ x, /** @type {number} */ digits) {
  const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** A number on an axis: "2.85M". @param {number} value */
export const tick = (value) => (Math.abs(value) >= 1e5 && Math.abs(value) < 1e15 ? COMPACT.format(value) : number(value));

/** A param or fact; text on one line. @param {Scalar | undefined} value */
export function scalar(value, digits = 4) {
  if (typeof value === "number" || (typeof value === "object" && value)) return number(float(value), digits);
  if (typeof value === "boolean") return value ? "True" : "False";
  return value === null || value === undefined ? "" : plain(String(value));
}

/**
 * Numbers padded so that their points stand below each other, at the right of a column. What is no plain
 * number ("1e-5", "NaN") stays as it is.
 * @param {string[]} texts
 */
export function aligned(texts, most = Math.max(0, ...texts.map(places))) {
  return texts.map((text) => {
    if (!most || !/^-?[\d.]+$/.test(text)) return text;
    const after = places(text);
    const point = after ? "" : "\u2008"; // as wide as a point
    return text + point + "\u2007".repeat(most - after); // as wide as a digit
  });
}

/** Digits after the point. @param {string} text */
export const places = (text) => (/^-?\d+\.\d+$/.test(text) ? text.length - text.indexOf(".") - 1 : 0);

/** Bytes. @param {number} count */
export function size(count) {
  let amount = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (amount < 999.5) return `${amount.toFixed(unit === "B" || amount >= 99.5 ? 0 : 1)} ${unit}`;
    amount /= 1000;
  }
  return `${amount.toFixed(1)} TB`;
}

/** Two units at most. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 0.0009995) return `${(Math.max(seconds, 0) * 1e6).toFixed(0)} µs`;
  if (seconds < 0.9995) return `${(seconds * 1e3).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < MINUTE - 0.05) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${whole % MINUTE} s`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`;
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

/** How long ago; the date when it is long, or in the future. @param {number} ns @param {number} now ms */
export function ago(ns, now) {
  const seconds = Math.floor(now / 1000 - ns / 1e9);
  if (seconds <= -MINUTE || seconds >= 30 * DAY) return moment(ns).slice(0, 10);
  if (seconds < 5) return "just now";
  const [unit, name] = seconds >= DAY ? [DAY, "d"] : seconds >= HOUR ? [HOUR, "h"] : seconds >= MINUTE ? [MINUTE, "min"] : [1, "s"];
  return `${Math.floor(seconds / unit)} ${name} ago`;
}

/** Local date and time, to the second. @param {number} ns */
export function moment(ns) {
  const at = new Date(ns / 1e6);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${clockTime(ns)}`;
}

/** Local time, to the second. @param {number} ns */
export function clockTime(ns) {
  return new Date(ns / 1e6).toTimeString().slice(0, 8);
}

/** "1 run", "1,234 runs". @param {number} n @param {string} noun */
export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** The random end of an id: it tells runs apart, and `autotrack show` takes it. @param {string} id */
export const shortId = (id) => plain(id.slice(-8));

/** A commit or digest ("kind:hex" too) by its beginning. @param {string} value */
export function digest(value) {
  const at = value.lastIndexOf(":") + 1;
  const hex = value.slice(at);
  return hex.length >= SHORTEST_DIGEST && /^[0-9a-f]+$/.test(hex) ? value.slice(0, at) + hex.slice(0, 8) : plain(value);
}

/** The lengths of data along its axes. @param {number[]} lengths */
export const shape = (lengths) => lengths.map((length) => length.toLocaleString("en")).join(" × ");
