// A run's colour and dash: Okabe and Ito's colours, the same for a run wherever it is drawn.

/** @typedef {{colour: string, dash: number[]}} Look */

// Their black would be lost on a dark page and their yellow on a light one.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES = [[], [7, 3], [2, 2], [8, 3, 2, 3]];
/** How many runs can be told apart. */
export const MOST_LOOKS = COLOURS.length * DASHES.length;

/** The look of a curve that is alone. @type {Look} */
export const ALONE = { colour: COLOURS[0], dash: [] };

/**
 * A look for each run, made from its id; where two would have the same, one takes the next that is free.
 * @param {string[]} ids @returns {Map<string, Look>}
 */
export function looks(ids) {
  const taken = new Set();
  const found = new Map();
  for (const id of [...ids].sort()) {
    let n = hash(id) % MOST_LOOKS;
    while (taken.has(n) && taken.size < MOST_LOOKS) n = (n + 1) % MOST_LOOKS;
    taken.add(n);
    found.set(id, { colour: COLOURS[n % COLOURS.length], dash: DASHES[Math.floor(n / COLOURS.length)] });
  }
  return found;
}

/** FNV-1a. */
function hash(/** @type {string} */ text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}
