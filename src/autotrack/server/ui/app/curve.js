// A curve's points made ready to be drawn.

/** @typedef {import("./api.js").Points} Points */
/** @typedef {"step" | "time" | "wall"} Over step, seconds since the run's start, time of day */
/**
 * @typedef {object} Curve
 * @property {Float64Array | number[]} x
 * @property {(number | null)[]} y null where there is no number to draw
 * @property {{x: number, value: number}[]} odd NaN and infinities
 * @property {number} hidden points at or below zero, which a logarithmic scale has no place for
 */

/**
 * @param {Points} points @param {Over} over @param {boolean} log @param {number} started ns
 * @returns {Curve}
 */
export function curve(points, over, log, started) {
  const x = over === "step" ? points.step : points.time.map((ns) => (over === "time" ? ns - started : ns) / 1e9);
  const kept = notOverwritten(x);
  /** @type {Curve} */
  const curve = { x: new Float64Array(kept.length), y: new Array(kept.length), odd: [], hidden: 0 };
  kept.forEach((index, i) => {
    const value = points.value[index];
    curve.x[i] = x[index];
    curve.y[i] = value;
    if (!Number.isFinite(value)) {
      curve.odd.push({ x: x[index], value });
      curve.y[i] = null;
    } else if (log && value <= 0) {
      curve.hidden++;
      curve.y[i] = null;
    }
  });
  return curve;
}

/** Indices in ascending x: where a resumed run went back, what it did then stands for what it did before. @param {Float64Array} x */
function notOverwritten(x) {
  const kept = [];
  let least = Infinity;
  for (let i = x.length - 1; i >= 0; i--) {
    if (x[i] < least) {
      kept.push(i);
      least = x[i];
    }
  }
  return kept.reverse();
}
