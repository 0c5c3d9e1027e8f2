/** Cells: the windows of a row of the coverage, and their state in words. */

import { DAY, iso, minuteText, parseTime, SECOND, windowText, yearOf } from "./times.js";
import { AGAIN, FEW, list, mark, number, PAST, plural, STATES } from "./words.js";

const MAX_GAP = 10_080; // windows: a week of minutes

/**
 * One window of one operation of an etl.
 * @typedef {{etl: string, operation: string, resolution: string, start: number, end: number, due: number,
 *   state: string, usual?: number, size?: number, successes?: number, failures?: number, succeeded?: string,
 *   failed?: string, error?: {type: string, message: string}, savedAgain?: boolean,
 *   first?: {start: string, end: string}}} Cell
 */

/** Return a function that computes its result once for each object. */
export function remember(compute) {
  const known = new WeakMap();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key);
  };
}

/** Return whether the windows of a gap are missing, and older than the first window of the row that had an event. */
export const precedesFirst = ({ first }, { state, end }) =>
  state === "missing" && first !== null && parseTime(end) <= parseTime(first.start);

/** Return the cells of a row of the coverage, the oldest first. @type {(row) => Cell[]} */
export const cellsOf = remember((row) => {
  const { etl, operation, resolution, grace } = row;
  const sizes = row.windows.map(({ size }) => size).filter(Boolean).sort((one, other) => one - other);
  const usual = sizes.length < 5 ? undefined : sizes[Math.floor(sizes.length / 2)]; // a few say little
  const own = { etl, operation, resolution, usual };
  const cell = (facts, start, end) => ({ ...own, ...facts, start, end, due: end + grace * SECOND });
  const cells = row.windows.map((window) => cell(window, parseTime(window.start), parseTime(window.end)));
  for (const gap of row.gaps) {
    let end = parseTime(gap.end);
    const facts = precedesFirst(row, gap) ? { state: "before first", first: row.first } : { state: gap.state };
    for (let left = gap.windows; left > Math.max(0, gap.windows - MAX_GAP); left -= 1) {
      const start = left === 1 ? parseTime(gap.start) : startBefore(end, row);
      cells.push(cell(facts, start, end));
      end = start;
    }
  }
  return cells.sort((one, other) => one.start - other.start);
});

function startBefore(end, row) {
  return row.resolution === "monthly" ? Date.UTC(yearOf(end), new Date(end).getUTCMonth() - 1) : end - periodOf(row);
}

/** Return the period of a row; that of days is not 23 h or 25 h. */
export const periodOf = ({ resolution, period }) => (resolution === "daily" ? DAY : period * SECOND);
export const keyOf = (cell) => `${cell.etl}/${cell.operation}/${iso(cell.start)}`;
export const isFew = ({ state, size, usual }) => state === "ok" && size !== null && size < usual / 2;
export const isProblem = ({ state }) => state === "failed" || state === "missing" || state === "empty";
export const hadFailure = ({ state, failures }) => failures > 0 && state !== "failed";

export function glyphOf(cell) {
  if (cell.savedAgain && cell.state === "ok") return AGAIN;
  return isFew(cell) ? FEW : STATES[cell.state][0];
}

export const markOf = (cell) => mark(cell.state, glyphOf(cell), hadFailure(cell) ? "earlier" : "");
export const nameOf = (cell) =>
  `${cell.etl} ${cell.operation}, ${windowText(cell.start, cell.end)} UTC: ${stateText(cell)}`;

/** Return the state of a cell in words. They do not change with the time. */
export function stateText(cell) {
  const { state, due, size, usual, successes, failures, error, savedAgain } = cell;
  const past = PAST[cell.operation] ?? cell.operation;
  const records = size === null || size === undefined ? "" : plural(size, "record");
  if (state === "missing") return `missing, due since ${minuteText(due)}`;
  if (state === "not due") return `not due yet, due ${minuteText(due)}`;
  if (state === "unknown" || state === "before first") return STATES[state][1];
  const earlier = `earlier ${past}${records && ` with ${records}`}`;
  if (state === "failed") return list(state, error?.type, successes && earlier);
  return list(
    state,
    records,
    isFew(cell) && `less than half of the usual ${number(usual)}`,
    successes > 1 && `${past} ${number(successes)} times`,
    failures && `failed before (${failures === 1 ? "once" : `${number(failures)} times`})`,
    savedAgain && "saved again after it was reconciled",
  );
}
