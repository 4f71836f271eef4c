// Which of many values tell something: the rules of the terminal's table (autotrack/display/telling.py).
import { scalar } from "./text.js";

/** The text of a param that was left at None. */
export const NOT_SET = "None";
/** Whether it is a sample of the machine, or a time of one of many ranks. @param {string} name */
export const isOfMachine = (name) => /^(system|rank_\d+)\//.test(name);

const UP = new Set("acc accuracy auc aucpr f1 map ndcg precision r2 recall".split(" "));
const DOWN = new Set("loss logloss mlogloss err error merror mae mape mphe mse rmse rmsle".split(" "));
const NO_SCORE = new Set("std rank time".split(" "));
const BARE_SCORE = new Set("score best mean cv test train training val valid validation".split(" "));

/** Which values of a metric are better, by its name: 1 the higher, -1 the lower, 0 it does not say. @param {string} name */
export function direction(name) {
  /** @type {string[]} */
  const words = name.toLowerCase().match(/[a-z][a-z0-9]*/g) ?? [];
  const up = words.some((w) => UP.has(w)) || (words.includes("score") && words.every((w) => BARE_SCORE.has(w)));
  const down = words.some((w) => DOWN.has(w));
  if (words.some((w) => NO_SCORE.has(w)) || up === down) return 0;
  return up || words.includes("neg") ? 1 : -1;
}

/**
 * Names by how much they tell runs apart: what differs first, then what at least half of them share.
 * @param {Record<string, any>[]} runs the values of each run @param {boolean} [areMetrics]
 */
export function ranked(runs, areMetrics = false) {
  /** @type {Map<string, string[]>} */
  const given = new Map();
  for (const values of runs) {
    for (const [name, value] of Object.entries(values)) {
      const text = areMetrics ? String(value.last) : scalar(value, 17);
      if (text === NOT_SET || text === "" || isOfMachine(name)) continue;
      const found = given.get(name);
      if (found) found.push(text);
      else given.set(name, [text]);
    }
  }
  const differs = new Map([...given].map(([name, found]) => [name, new Set(found).size > 1]));
  /** @param {string} name */
  const order = (name) => {
    const weight = areMetrics && direction(name) ? 2 : 1;
    return [differs.get(name) ? 0 : 1, -weight * (given.get(name)?.length ?? 0), name.split("__").length];
  };
  return [...given.keys()]
    .filter((name) => differs.get(name) || 2 * (given.get(name)?.length ?? 0) >= runs.length)
    .map((name) => ({ name, key: order(name) }))
    .sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1] || a.key[2] - b.key[2])
    .map(({ name }) => name);
}
