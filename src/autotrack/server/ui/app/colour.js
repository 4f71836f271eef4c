// A run's colour and dash: Okabe and Ito's colours, the same for a run wherever it is drawn.

/** @typedef {{colour: string, dash: number[]}} Look */

// Their black would be lost on a dark page and their yellow on a light one.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES = [[], [7, 3], [2, 2], [8, 3, 2, 3]];
/** How many runs can be told apart. */
export const MOST_LOOKS = COLOURS.length * DASHES.length;

/**
 * A look for each run: the colour by its id, the next free one where another run has it; once all are
 * taken, all of them again with a dash.
 * @param {string[]} ids at most `MOST_LOOKS` @returns {Map<string, Look>}
 */
export function looks(ids) {
  const used = COLOURS.map(() => 0);
  const found = new Map();
  for (const id of [...ids].sort()) {
    let n = hash(id) % COLOURS.length;
    while (used[n] > Math.min(...used)) n = (n + 1) % COLOURS.length;
    found.set(id, { colour: COLOURS[n], dash: DASHES[used[n]++] });
  }
  return found;
}

/** FNV-1a. */
function hash(/** @type {string} */ text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}
