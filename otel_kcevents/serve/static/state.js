/** What the parts of the page share: what is chosen, which is in the URL, and what was read. */

const PARAMETERS = ["window", "resolution", "etl", "operation", "cell", "kind", "run", "errors"];
const RANGES = { hourly: ["24h", "3d", "7d"], daily: ["7d", "30d", "90d", "168d"], others: ["30d", "168d", "366d"] };

/** @type {Record<string, string>} */
export const view = {};

/**
 * What was read. `now` is the source's time when it answered, or `asOf`, when it was saved, if it is a snapshot; `lacks` has a
 * reason for each path it does not serve.
 */
export const source = { now: null, asOf: null, receivedAt: 0, failures: 0, problem: "", facts: {}, lacks: new Map() };

export const data = { week: null, range: null, runs: null, runLimit: 10, errors: null, log: null };
export const feed = { filter: "", events: [], next: null, problem: "" }; // the listed events

export function readView() {
  const query = new URLSearchParams(location.search);
  for (const name of PARAMETERS) view[name] = query.get(name) ?? "";
}

/** Change what is shown, and the URL. A step is an entry of the history of its own, from which Back leads away. */
export function navigate(changes, isStep = false) {
  Object.assign(view, changes);
  const query = new URLSearchParams(PARAMETERS.filter((name) => view[name]).map((name) => [name, view[name]]));
  const url = `${location.pathname}${query.size ? "?" : ""}${query}`.replaceAll("%2F", "/").replaceAll("%3A", ":");
  if (isStep) history.pushState({ opensDrawer: "cell" in changes }, "", url);
  else history.replaceState(history.state, "", url);
  document.dispatchEvent(new Event("navigate")); // the entry shows and reads what follows from it
}

export const rows = () => data.week?.rows ?? [];
export const resolutions = () => [...new Set(rows().map(({ resolution }) => resolution))];
export const resolution = () =>
  view.resolution || (resolutions().includes("hourly") ? "hourly" : (resolutions()[0] ?? ""));
const isShort = () => /^\d+[ms]$/.test(resolution()); // such as 15m
export const ranges = () => RANGES[resolution()] ?? (isShort() ? RANGES.hourly : RANGES.others);
export const range = () => view.window || (resolution() === "daily" ? "30d" : ranges().at(-1));

/** Return the time by the clock of the source, since that of this computer may be wrong. That of a snapshot stands. */
export const now = () =>
  source.asOf ?? (source.now === null ? Date.now() : source.now + Date.now() - source.receivedAt);

/** Return how links call each run. If one was killed or failed, that may be why a window is missing. */
export const runNames = () => Object.fromEntries((data.runs ?? []).map(({ id, name, outcome }) =>
  [id, `${name} ${id.slice(0, 8)}${outcome === "killed" || outcome === "failed" ? ` (${outcome})` : ""}`]));
