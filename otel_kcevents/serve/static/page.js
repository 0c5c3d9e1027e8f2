/**
 * The page for people. It reads the JSON of the source every 10 seconds and shows it.
 *
 * The DOM is built with `textContent` only, so that nothing from an event is ever HTML. What did not change is not
 * rebuilt, so that focus, selection and scroll positions survive each update.
 */

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const POLL = { visible: 10 * SECOND, hidden: 60 * SECOND, failing: 3 * SECOND };
const TIMEOUT = 8 * SECOND;
const STALE_AFTER = 75 * SECOND; // more than a poll of a hidden tab; a computer that slept has older data
const MAX_COLUMNS = 168;
const MAX_WINDOWS_OF_GAP = 10_080; // a week of minutes
const MAX_PROBLEMS = 8;
const PAGE_SIZE = 50;
const MAX_PAGES = 8; // that one look may follow if few events match; each takes the server 0.1 s

const STATES = {
  ok: { glyph: "✓", words: "ok" },
  empty: { glyph: "0", words: "empty" },
  failed: { glyph: "×", words: "failed" },
  missing: { glyph: "!", words: "missing" },
  "not due": { glyph: "·", words: "not due yet" },
  unknown: { glyph: "?", words: "unknown, older than what is kept" },
};
const SAVED_AGAIN = "↻";
const PAST = { save: "saved", load: "loaded", aggregate: "aggregated", total: "totaled", reconcile: "reconciled", compute: "computed" };
const OUTCOMES = { ended: "ok", failed: "failed", killed: "missing", running: "not due" };
const RANGES = { hourly: ["24h", "3d", "7d"], daily: ["7d", "30d", "90d", "168d"], other: ["7d", "30d", "168d", "1000d"] };
const SETS = { allocation: "AllocationSet", asset: "AssetSet" };
const RESULTS = ["Saved", "Loaded", "Aggregated", "Totaled", "Reconciled", "ComputeError", "ReconcileError"];
const PARAMETERS = ["window", "resolution", "etl", "operation", "cell", "kind", "run", "errors"];

// ---------------------------------------------------------------------------------------------------------- the DOM

const $ = (selector, parent = document) => parent.querySelector(selector);

/** Return a new element; properties that are null, undefined or false are omitted. */
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/**
 * Make the children of *parent* show *items*: the node of an item that did not change stays as it is.
 *
 * @param {(item) => string} keyOf identifies an item
 * @param {(item) => HTMLElement} build depends on the item only, since an equal item is not built again
 */
function showItems(parent, items, keyOf, build) {
  const nodes = new Map([...parent.children].map((node) => [node.itemKey, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const content = JSON.stringify(item);
    let node = nodes.get(key);
    nodes.delete(key);
    if (node?.itemContent !== content) {
      const built = Object.assign(build(item), { itemKey: key, itemContent: content });
      if (node === place) place = place?.nextElementSibling ?? null;
      if (node) replace(node, built);
      else parent.insertBefore(built, place);
      node = built;
    }
    if (node === place) place = place.nextElementSibling;
    else if (node.nextElementSibling !== place) parent.insertBefore(node, place);
  }
  for (const node of nodes.values()) node.remove();
}

/** Replace a node; focus inside of it moves to the same place of the new one. */
function replace(node, built) {
  const focusable = (parent) => [...parent.querySelectorAll("a, button")];
  const index = focusable(node).indexOf(document.activeElement);
  node.replaceWith(built);
  if (index >= 0) focusable(built)[index]?.focus({ preventScroll: true });
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text;
}

/** Offer the options of a select, each as [value, text]; the chosen value is offered even if it is not one of them. */
function setOptions(select, options, chosen) {
  const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  showItems(select, all, ([value]) => value, ([value, text]) => element("option", { value, textContent: text }));
  if (select.value !== chosen) select.value = chosen;
}

const mark = (state, glyph = STATES[state].glyph) =>
  element("span", { className: `mark ${state.replace(" ", "-")}`, textContent: glyph, ariaHidden: "true" });

const linkButton = (text, onclick, properties = {}) =>
  element("button", { type: "button", className: "link", textContent: text, onclick, ...properties });

// ------------------------------------------------------------------------------------------------------------- time

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const parseTime = (text) => Date.parse(text.replace(/(\.\d{3})\d+/, "$1")); // not every browser reads nanoseconds
const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");
const clock = (time) => iso(time).slice(11, 16);
const isMidnight = (time) => time % DAY === 0;
const isMonth = (start, end) => [start, end].every((time) => iso(time).endsWith("-01T00:00:00Z")) && end - start <= 31 * DAY;
/** The current time by the clock of the source, since that of this computer may be wrong. */
const now = () => (source.now === null ? Date.now() : source.now + Date.now() - source.receivedAt);

function dayText(time) {
  const date = new Date(time);
  const year = date.getUTCFullYear() === new Date(now()).getUTCFullYear() ? "" : ` ${date.getUTCFullYear()}`;
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${year}`;
}

function windowText(start, end) {
  if (isMonth(start, end)) return `${MONTHS[new Date(start).getUTCMonth()]} ${new Date(start).getUTCFullYear()}`;
  if (isMidnight(start) && isMidnight(end)) {
    return end - start === DAY ? dayText(start) : `${dayText(start)} – ${dayText(end - DAY)}`;
  }
  const sameDay = iso(start).slice(0, 10) === iso(end - 1).slice(0, 10);
  return `${dayText(start)} ${clock(start)}${sameDay ? `–${clock(end)}` : ` – ${dayText(end)} ${clock(end)}`}`;
}

/** Return a window in the words of the verdict, which the command uses as well: without the date if it is of today. */
function newestText(start, end) {
  const [first, last] = [iso(start), iso(end)];
  if (isMonth(start, end)) return first.slice(0, 7);
  if (isMidnight(start) && end - start === DAY) return first.slice(0, 10);
  const hours = `${clock(start)}–${clock(end)}`;
  if (first.slice(0, 10) !== iso(end - 1).slice(0, 10)) return `${first.slice(0, 10)} ${clock(start)}–${last.slice(0, 10)} ${clock(end)}`;
  return first.slice(0, 10) === iso(now()).slice(0, 10) ? hours : `${first.slice(0, 10)} ${hours}`;
}

function durationText(milliseconds) {
  const seconds = Math.max(0, milliseconds / SECOND);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3_600) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

const agoText = (time) => `${durationText(Math.floor((now() - time) / SECOND) * SECOND).replace(".0", "")} ago`;
const momentText = (time) => `${dayText(time)} ${iso(time).slice(11, 19)}`;

/** Return a time that `refreshAges` keeps up to date. Screen readers are not told each minute. */
const age = (time) =>
  element("time", { className: "age", dateTime: iso(time), title: `${momentText(time)} UTC`, ariaLive: "off", textContent: agoText(time) });

function refreshAges() {
  for (const node of document.querySelectorAll(".age")) {
    const text = agoText(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  }
}

const moment = (time) => element("time", { dateTime: iso(time), textContent: momentText(time) });

// ------------------------------------------------------------------------------------------------ what the page shows

/** What the URL says. @type {Record<string, string>} */
const view = {};
/** What was read, and when: `now` is the time of the source. */
const source = { now: null, receivedAt: 0, failures: 0, problem: "", facts: {}, lacks: new Set() };
const data = { week: null, range: null, runs: [], errors: null, log: null };
/** The events that are listed. */
const feed = { filter: "", events: [], next: null, shown: PAGE_SIZE };

function readView() {
  const query = new URLSearchParams(location.search);
  for (const name of PARAMETERS) view[name] = query.get(name) ?? "";
}

/** Change what the page shows, and its URL. `isStep` adds an entry to the history, so that Back leads here. */
function navigate(changes, isStep = false) {
  Object.assign(view, changes);
  const query = new URLSearchParams(PARAMETERS.filter((name) => view[name]).map((name) => [name, view[name]]));
  const url = `${location.pathname}${query.size ? `?${query}` : ""}`.replaceAll("%2F", "/").replaceAll("%3A", ":");
  if (isStep) history.pushState({ isStep }, "", url);
  else history.replaceState(history.state, "", url);
  showAll();
  if (Object.keys(changes).some((name) => name !== "cell" && name !== "operation")) restart();
}

const rowsSeen = () => data.week?.rows ?? [];
const resolutions = () => [...new Set(rowsSeen().map((row) => row.resolution))];
const shownResolution = () => view.resolution || (resolutions().includes("hourly") ? "hourly" : (resolutions()[0] ?? "hourly"));
const rangesOf = (resolution) => RANGES[resolution] ?? (/^\d+[ms]$/.test(resolution) ? RANGES.hourly : RANGES.other);
const defaultRange = (resolution) => (resolution === "daily" ? "30d" : resolution === "hourly" ? "7d" : rangesOf(resolution).at(-1));

// ---------------------------------------------------------------------------------------------------------- reading

class Refusal extends Error {
  constructor(status, message) {
    super(`${status} ${message}`);
    this.status = status;
  }
}

let current = new AbortController();
let wake = () => {};

/** Return the `data` of a response. */
async function read(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const signal = AbortSignal.any([current.signal, AbortSignal.timeout(TIMEOUT)]);
  const response = await fetch(`model/etl/${path}?${query}`, { signal, cache: "no-store" });
  const answer = await response.json().catch((error) => {
    if (signal.aborted) throw error;
    return null;
  });
  if (!response.ok) throw new Refusal(response.status, answer?.message ?? response.statusText);
  if (!answer?.data) throw new Refusal(response.status, "but the response is not JSON of this source");
  return answer.data;
}

/** Like `read`, but undefined if the source does not have this, which is not asked again. */
async function readIfAvailable(path, parameters) {
  if (source.lacks.has(path)) return undefined;
  try {
    return await read(path, parameters);
  } catch (error) {
    if (error.status !== 404) throw error;
    source.lacks.add(path);
    return undefined;
  }
}

/** Read everything, one request after the other: a server in an ETL program gives this page little of its time. */
async function readAll() {
  const week = await read("coverage", { window: "7d" });
  Object.assign(data, { week });
  Object.assign(source, { now: parseTime(week.now), receivedAt: Date.now(), failures: 0, problem: "" });
  source.facts = (await readIfAvailable("page")) ?? source.facts;
  await readRange();
  showAll();
  data.runs = (await readIfAvailable("runs", { limit: 20 })) ?? [];
  if (source.lacks.has("runs")) data.log = await read("log");
  data.errors = (await readIfAvailable("events", { error: "true", limit: 256 })) ?? { events: logEvents().filter(isError), next: null };
  await readFeed();
  showAll();
  await readDrawer();
}

async function readRange() {
  const resolution = shownResolution();
  const range = view.window || defaultRange(resolution);
  if (range === "7d") {
    data.range = { ...data.week, problem: "" };
    return;
  }
  try {
    data.range = { ...(await read("coverage", { window: range, resolution })), problem: "" };
  } catch (error) {
    if (error.status !== 400) throw error;
    data.range = { rows: [], problem: error.message };
  }
}

async function keepReading() {
  for (;;) {
    current = new AbortController();
    try {
      await readAll();
    } catch (error) {
      if (current.signal.aborted) continue; // something else is to be read
      source.failures += 1;
      source.problem = error.name === "TimeoutError" ? `no answer within ${TIMEOUT / SECOND} s` : error.message;
      if (!(error instanceof Refusal || error instanceof TypeError || error instanceof DOMException)) console.error(error);
    }
    showFreshness();
    if (current.signal.aborted) continue;
    const delay = source.failures ? POLL.failing : document.hidden ? POLL.hidden : POLL.visible;
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, source.failures === 1 ? SECOND : delay);
    });
  }
}

/** Read again now, with what the URL says now. */
function restart() {
  current.abort();
  wake();
}

/** Show whether the data is current: if it is not, the page is grey, and says since when and why. */
function showFreshness() {
  const since = source.now === null ? null : source.receivedAt;
  const isStale = source.failures > 1 || (since !== null && Date.now() - since > STALE_AFTER);
  document.body.classList.toggle("stale", isStale);
  const why = source.problem || "the last answer is too old";
  const banner = !isStale ? "" : since === null ? `No answer yet: ${why}` : `No answer since ${iso(source.now).slice(11, 19)} UTC: ${why}. Below is what was known then.`;
  setText($("#stale"), banner);
  if (source.now === null && isStale) setText($("#verdict"), "The state is unknown until the source answers. The page tries again every 3 seconds.");
  showTab();
  refreshAges();
}

// ------------------------------------------------------------------------------------------------------------ cells

/**
 * One window of one operation of an etl.
 * @typedef {{etl: string, operation: string, resolution: string, start: number, end: number, state: string, due: number,
 *   size?: number, usual?: number, successes?: number, failures?: number, succeeded?: string, failed?: string,
 *   error?: {type: string, message: string}, savedAgain?: boolean}} Cell
 */

/** Return the cells of a row of the coverage, the oldest first. @returns {Cell[]} */
const cellsOfRow = new WeakMap();

function cellsOf(row) {
  if (!cellsOfRow.has(row)) cellsOfRow.set(row, expand(row));
  return cellsOfRow.get(row);
}

function expand(row) {
  const { etl, operation, resolution } = row;
  const usual = median(row.windows.filter((window) => window.size > 0).map((window) => window.size));
  const cell = (facts, start, end) => ({ etl, operation, resolution, ...facts, start, end, due: end + row.grace * SECOND, usual });
  const cells = row.windows.map((window) => cell(window, parseTime(window.start), parseTime(window.end)));
  for (const gap of row.gaps) {
    const first = parseTime(gap.start);
    let end = parseTime(gap.end);
    for (let left = gap.windows; left > Math.max(0, gap.windows - MAX_WINDOWS_OF_GAP); left -= 1) {
      const start = left === 1 ? first : startBefore(end, row);
      cells.push(cell({ state: gap.state }, start, end));
      end = start;
    }
  }
  return cells.sort((one, other) => one.start - other.start);
}

function startBefore(end, row) {
  const date = new Date(end);
  return row.resolution === "monthly" ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - 1, 1) : end - periodOf(row);
}

const periodOf = ({ resolution, period }) => (resolution === "daily" ? DAY : period * SECOND);

/** Return the median of sizes; undefined for a few, which say little. */
function median(sizes) {
  return sizes.length < 5 ? undefined : sizes.sort((one, other) => one - other)[Math.floor(sizes.length / 2)];
}

const keyOf = (cell) => `${cell.etl}/${cell.operation}/${iso(cell.start)}`;
const isFew = (cell) => cell.state === "ok" && cell.usual !== undefined && cell.size !== null && cell.size < cell.usual / 2;
const isProblem = (cell) => cell.state === "failed" || cell.state === "missing" || cell.state === "empty";
const times = (count) => (count === 2 ? "twice" : `${count.toLocaleString("en")} times`);

/** Return the state of a cell in words, without what changes by the minute. */
function stateText(cell) {
  const past = PAST[cell.operation] ?? cell.operation;
  const records = cell.size === null || cell.size === undefined ? "" : plural(cell.size, "record");
  if (cell.state === "missing") return `missing, due since ${dayText(cell.due)} ${clock(cell.due)}`;
  if (cell.state === "not due") return `not due yet, due ${dayText(cell.due)} ${clock(cell.due)}`;
  if (cell.state === "failed") {
    const earlier = cell.successes ? `earlier ${past}${records && ` with ${records}`}` : "";
    return ["failed", cell.error?.type, earlier].filter(Boolean).join(", ");
  }
  if (cell.state === "unknown") return STATES.unknown.words;
  return [
    cell.state,
    records,
    isFew(cell) && `less than half of the usual ${cell.usual.toLocaleString("en")}`,
    cell.successes > 1 && `${past} ${times(cell.successes)}`,
    cell.failures > 0 && `failed ${cell.failures === 1 ? "once" : times(cell.failures)} before`,
    cell.savedAgain && "saved again after it was reconciled",
  ].filter(Boolean).join(", ");
}

const nameOf = (cell) => `${cell.etl} ${cell.operation}, ${windowText(cell.start, cell.end)} UTC: ${stateText(cell)}`;
const glyphOf = (cell) => (cell.savedAgain && cell.state === "ok" ? SAVED_AGAIN : isFew(cell) ? "↓" : STATES[cell.state].glyph);
const classOf = (cell) => `${cell.state.replace(" ", "-")}${cell.failures > 0 && cell.state !== "failed" ? " earlier" : ""}`;

// ---------------------------------------------------------------------------------------------------------- verdict

const COUNTED = ["failed", "missing", "empty", "unknown"];

/** Return the verdict on an etl, in the words that `docs/coverage.md` defines for the command as well. */
function verdictOf(etl) {
  const rows = data.week.rows.filter((row) => row.etl === etl);
  const windows = new Map();
  for (const cell of rows.flatMap(cellsOf)) {
    const key = `${cell.start}/${cell.end}`;
    windows.set(key, [...(windows.get(key) ?? []), cell]);
  }
  const counts = Object.fromEntries([...COUNTED, "again", "ok"].map((state) => [state, 0]));
  for (const cells of windows.values()) {
    const state = COUNTED.find((counted) => cells.some((cell) => cell.state === counted));
    const isAgain = cells.some((cell) => cell.savedAgain) && state !== "failed" && state !== "missing";
    if (state) counts[state] += 1;
    else if (cells.some((cell) => cell.state === "ok")) counts.ok += 1;
    if (isAgain) counts.again += 1;
  }
  const parts = COUNTED.filter((state) => counts[state]).map((state) => [counts[state], state]);
  if (counts.again) parts.push([counts.again, "saved again after reconciling"]);
  const words = parts.map(([count, state], index) => `${index ? count : plural(count, "window")} ${state}`);
  const without = data.week.withoutWindow.filter((failure) => failure.etl === etl).reduce((sum, { failures }) => sum + failures, 0);
  if (without) words.push(`${plural(without, "failure")} without a window`);
  if (!words.length) words.push(counts.ok > 1 ? `all ${counts.ok.toLocaleString("en")} windows ok` : counts.ok ? "1 window ok" : "no window due yet");
  const state = COUNTED.find((counted) => counts[counted]) ?? (without ? "unknown" : counts.ok ? "ok" : "not due");
  return { etl, state, words: words.join(", "), newest: newestOf(rows) };
}

/** Return the newest window that was saved, or else that any other operation succeeded for. */
function newestOf(rows) {
  for (const operation of Object.keys(PAST)) {
    const found = rows.filter((row) => row.operation === operation && row.newest).sort((one, other) => parseTime(other.newest.end) - parseTime(one.newest.end) || one.period - other.period);
    if (found.length) return { past: PAST[operation], ...found[0].newest };
  }
  return null;
}

function showVerdict() {
  const etls = [...new Set([...data.week.rows, ...data.week.withoutWindow].map(({ etl }) => etl))];
  const lines = etls.map(verdictOf).map((line) => ({ ...line, today: newestDay(line) }));
  if (!lines.length) lines.push({ etl: "", state: "not due", words: "No events yet. Once a function that is instrumented has saved, loaded, aggregated, totaled or reconciled a set, this page has a row for each ETL and operation, and a column for each hour or day." });
  const run = data.runs.find(({ parent }) => parent === null);
  if (run) lines.push({ run, killed: data.runs.filter(({ outcome }) => outcome === "killed").length, listed: data.runs.length });
  showItems($("#verdict"), lines, ({ etl, run: { id } = {} }) => etl ?? id, (line) => (line.run ? runLine(line) : verdictLine(line)));
  showProblems();
  return lines;
}

const newestDay = ({ newest }) => newest && newestText(parseTime(newest.start), parseTime(newest.end));

function verdictLine({ etl, state, words, newest, today }) {
  const text = element("span", {}, element("span", { className: "name", textContent: etl }), etl ? `: ${words}` : words);
  if (newest) text.append(`; newest ${newest.past} ${today}, `, age(parseTime(newest.time)));
  else if (etl) text.append("; no window succeeded yet");
  return element("p", { className: "verdict" }, mark(state), text);
}

function runLine({ run, killed, listed }) {
  const text = element("span", {}, element("span", { className: "name", textContent: "newest run" }), `: ${run.name} `);
  if (run.outcome === "running") text.append("is running, started ", age(parseTime(run.started)));
  else text.append(run.outcome === "ended" ? "ended well, " : run.outcome === "killed" ? "was killed, last seen " : `${run.outcome}, `, age(parseTime(run.ended ?? run.lastEvent ?? run.started)));
  if (killed && !(killed === 1 && run.outcome === "killed")) text.append(`; ${killed} of the newest ${listed} processes were killed`);
  return element("p", { className: "verdict" }, mark(OUTCOMES[run.outcome] ?? "unknown"), text);
}

/** Show the problems themselves, one line for what is equal in several operations, with a button that opens the window. */
function showProblems() {
  const groups = new Map();
  for (const row of data.week.rows) {
    const cells = cellsOf(row);
    const gaps = row.gaps.filter(({ state }) => state === "missing").map((gap) => ({ ...cells.find(({ start }) => start === parseTime(gap.start)), end: parseTime(gap.end), windows: gap.windows }));
    for (const cell of [...cells.filter((each) => (isProblem(each) && each.state !== "missing") || each.savedAgain), ...gaps]) {
      const state = isProblem(cell) ? cell.state : "again";
      const key = [cell.etl, state, cell.start, cell.end, cell.error?.type].join();
      const group = groups.get(key) ?? { ...cell, state, key, cell: keyOf(cell), operations: [] };
      group.operations.push(cell.operation);
      groups.set(key, group);
    }
  }
  const severity = ({ state }) => (state === "again" ? 2 : state === "empty" ? 1 : 0);
  const problems = [...groups.values()].sort((one, other) => severity(one) - severity(other) || other.end - one.end);
  const shown = problems.length > MAX_PROBLEMS + 1 ? problems.slice(0, MAX_PROBLEMS) : problems;
  if (shown.length < problems.length) shown.push({ key: "more", more: problems.length - shown.length });
  showItems($("#problems"), shown, ({ key }) => key, problemLine);
}

function problemLine(problem) {
  if (problem.more) return element("li", { textContent: `and ${problem.more} more: see the grid` });
  const { etl, operations, resolution, state, start, end, due, windows, error, cell } = problem;
  const open = () => openCell(cell, { resolution, window: "", etl: "", operation: "" });
  const line = element("li", {}, state === "again" ? mark("ok", SAVED_AGAIN) : mark(state), element("span", {}, linkButton(`${etl} ${operations.join(", ")} ${windowText(start, end)}`, open), " "));
  const text = line.lastChild;
  if (state === "missing") text.append(`${windows > 1 ? `${windows} windows ` : ""}missing, due since ${dayText(due)} ${clock(due)}`);
  else if (state === "empty") text.append("empty: 0 records");
  else if (state === "again") text.append("saved again after it was reconciled");
  else text.append("failed ", age(parseTime(problem.failed)), `: ${error ? `${error.type}: ${error.message}` : "no error is known"}`);
  return line;
}

/** Tell the state in the title and the icon of the tab, too. */
function showTab() {
  const isStale = document.body.classList.contains("stale");
  let text = "reading";
  let state = "unknown";
  if (isStale) text = source.now === null ? "no answer yet" : `no answer since ${clock(source.now)} UTC`;
  else if (data.week) {
    const lines = [...new Set(data.week.rows.map(({ etl }) => etl))].map(verdictOf);
    const count = (wanted) => lines.filter((line) => line.state === wanted).map(({ etl, words }) => `${etl}: ${words}`);
    state = [...COUNTED, "not due", "ok"].find((wanted) => count(wanted).length) ?? "not due";
    text = lines.length ? (state === "ok" ? "all ok" : count(state).join("; ")) : "no events yet";
  }
  const title = `${state === "ok" || isStale ? "" : `${STATES[state].glyph} `}${text} – Cost ETL`;
  if (document.title !== title) document.title = title;
  const colours = { ok: ["#4f8fc4", "#071a2b"], empty: ["#e69f00", "#1b1f24"], failed: ["#a3123a", "#fff"], missing: ["#fff", "#a3123a"] };
  const [fill, ink] = colours[isStale ? "" : state] ?? ["#8a94a3", "#16181d"];
  const shape = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect x="1" y="1" width="14" height="14" rx="2" fill="${fill}" stroke="${ink}"/><text x="8" y="12" font-family="sans-serif" font-size="12" font-weight="bold" text-anchor="middle" fill="${ink}">${STATES[state].glyph}</text></svg>`;
  const icon = `data:image/svg+xml,${encodeURIComponent(shape)}`;
  if ($("link[rel=icon]").href !== icon) $("link[rel=icon]").href = icon;
}

// ------------------------------------------------------------------------------------------------------------- grid

const grid = { cells: new Map(), cellOf: new WeakMap(), columns: [], structure: "" };

/** Return the place of a window in time: rows whose days begin at different hours share the columns of their days. */
function columnOf(cell, period) {
  const date = new Date(cell.start);
  return cell.resolution === "monthly" ? date.getUTCFullYear() * 12 + date.getUTCMonth() : Math.floor((cell.start + cell.end) / 2 / period);
}

/** Return the lines of the grid and its columns. Windows that overlap each other get lines of their own. */
function gridOf() {
  const rows = data.range.rows.filter((row) => row.resolution === shownResolution() && (!view.etl || row.etl === view.etl) && (!view.operation || row.operation === view.operation));
  const columns = new Map();
  const lines = [];
  for (const row of rows) {
    const own = [];
    for (const cell of cellsOf(row)) {
      const column = columnOf(cell, periodOf(row));
      let line = own.find(({ cells }) => !cells.has(column));
      if (!line) own.push((line = { key: `${row.etl}/${row.operation}/${own.length}`, name: `${row.etl} ${row.operation}`, cells: new Map() }));
      line.cells.set(column, cell);
      if (!columns.has(column)) columns.set(column, { start: cell.start, end: cell.end });
    }
    lines.push(...own);
  }
  const all = [...columns.keys()].sort((one, other) => one - other);
  return { lines, columns: columns, order: all.slice(-MAX_COLUMNS), all: all.length };
}

function showGrid() {
  const { lines, columns, order, all } = gridOf();
  $("#grid").closest("section").hidden = source.now === null || !rowsSeen().length;
  const shown = lines.flatMap(({ cells }) => order.map((column) => cells.get(column)).filter(Boolean));
  const left = all - order.length;
  setText($("#grid-note"), data.range.problem || (left ? `The newest ${MAX_COLUMNS} of ${all.toLocaleString("en")} windows are shown.` : ""));
  showLegend(shown);
  const structure = JSON.stringify([lines.map(({ key }) => key), order, shownResolution()]);
  if (structure !== grid.structure) buildGrid(lines, columns, order, structure);
  for (const line of lines) for (const column of order) showCell(grid.cells.get(`${line.key}/${column}`), line.cells.get(column));
  const chosen = $("#grid [aria-selected=true]");
  const now_ = cellOfView();
  if (chosen !== now_) {
    chosen?.removeAttribute("aria-selected");
    now_?.setAttribute("aria-selected", "true");
  }
  if (!$("#grid td[tabindex='0']")) setTabStop([...problemCells()].sort((one, other) => other.cellIndex - one.cellIndex)[0] ?? $("#grid tbody tr td:last-child"));
}

const cellOfView = () => [...grid.cells.values()].find((td) => view.cell && grid.cellOf.has(td) && keyOf(grid.cellOf.get(td)) === view.cell);

/** Build the table anew, which is needed only if its lines or columns changed; focus and scroll position are kept. */
function buildGrid(lines, columns, order, structure) {
  const scroller = $("#scroller");
  const isAtEnd = !grid.structure || scroller.scrollLeft + scroller.clientWidth >= scroller.scrollWidth - 20;
  const dropped = Math.max(0, grid.columns.indexOf(order[0]));
  const width = grid.columns.length ? $("#grid").offsetWidth / grid.columns.length : 0;
  const focused = grid.cellOf.get(document.activeElement);
  grid.structure = structure;
  grid.columns = order;
  grid.cells.clear();
  $("#grid").style.setProperty("--cell", order.length > 72 ? "14px" : order.length > 36 ? "20px" : "28px");
  const body = element("tbody");
  const periods = order.map((column) => columns.get(column));
  const groups = periods.map(({ start, end }) => groupText(start, end));
  for (const { key, name } of lines) {
    const row = element("tr", {}, element("th", { scope: "row", className: "row", textContent: name, title: name }));
    order.forEach((column, index) => {
      const td = element("td", { tabIndex: -1, className: "blank" });
      td.isFirst = groups[index] !== groups[index - 1];
      grid.cells.set(`${key}/${column}`, td);
      row.append(td);
    });
    body.append(row);
  }
  $("#grid").replaceChildren(headOf(periods, groups), body);
  scroller.scrollLeft = isAtEnd ? scroller.scrollWidth : scroller.scrollLeft - dropped * width;
  grid.focused = focused && keyOf(focused);
}

function headOf(periods, groups) {
  const days = element("tr", {}, element("th", { scope: "col", className: "row", rowSpan: 2, textContent: "Times are UTC" }));
  const hours = element("tr");
  periods.forEach(({ start, end }, index) => {
    if (groups[index] !== groups[index - 1]) {
      const span = groups.slice(index).findIndex((group) => group !== groups[index]);
      const colSpan = span < 0 ? groups.length - index : span;
      days.append(element("th", { scope: "colgroup", className: "group", colSpan }, element("span", { textContent: groups[index] })));
    }
    hours.append(element("th", { scope: "col", ariaLabel: windowText(start, end), textContent: columnText(start, end) }));
  });
  return element("thead", {}, days, hours);
}

/** Return the text that consecutive columns share: a day, a month or a year. */
function groupText(start, end) {
  const date = new Date((start + end) / 2);
  if (end - start > 27 * DAY) return `${date.getUTCFullYear()}`;
  if (end - start > 22 * HOUR) return `${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  return `${WEEKDAYS[new Date(start).getUTCDay()]} ${dayText(start)}`;
}

function columnText(start, end) {
  const middle = new Date((start + end) / 2);
  if (end - start > 27 * DAY) return MONTHS[middle.getUTCMonth()];
  if (end - start > 22 * HOUR) return `${middle.getUTCDate()}`;
  return start % (3 * HOUR) === 0 ? clock(start).slice(0, 2) : "";
}

function showCell(td, cell) {
  const name = cell ? nameOf(cell) : "";
  if (cell) grid.cellOf.set(td, cell);
  if (td.ariaLabel !== name) {
    td.ariaLabel = name;
    td.className = `${cell ? classOf(cell) : "blank"}${td.isFirst ? " first" : ""}`;
    td.textContent = cell ? glyphOf(cell) : "";
  }
  if (cell && grid.focused === keyOf(cell)) {
    grid.focused = "";
    focusCell(td, false);
  }
}

function showLegend(cells) {
  const counted = (selects) => cells.filter(selects).length;
  const entries = Object.keys(STATES).map((state) => ({ state, words: STATES[state].words, count: counted((cell) => cell.state === state) }));
  entries.push({ state: "ok earlier", words: "failed before", count: counted((cell) => cell.failures > 0 && cell.state !== "failed") });
  entries.push({ state: "ok", glyph: SAVED_AGAIN, words: "saved again after it was reconciled", count: counted((cell) => cell.savedAgain) });
  entries.push({ state: "ok", glyph: "↓", words: "less than half of the usual size", count: counted(isFew) });
  showItems($("#legend"), entries, ({ words }) => words, ({ state, glyph, words, count }) =>
    element("li", {}, mark(state, glyph ?? STATES[state.split(" earlier")[0]].glyph), `${words}: ${count.toLocaleString("en")}`));
}

function setTabStop(td) {
  for (const old of document.querySelectorAll("#grid td[tabindex='0']")) old.tabIndex = -1;
  if (td) td.tabIndex = 0;
}

function focusCell(td, scrolls = true) {
  setTabStop(td);
  td.focus({ preventScroll: true });
  if (!scrolls) return;
  const scroller = $("#scroller");
  const head = $("#grid th.row").offsetWidth;
  const left = td.offsetLeft - scroller.scrollLeft;
  if (left < head + 20) scroller.scrollLeft += left - head - 20;
  else if (left + td.offsetWidth > scroller.clientWidth - 8) scroller.scrollLeft += left + td.offsetWidth - scroller.clientWidth + 8;
  td.scrollIntoView({ block: "nearest", inline: "nearest" });
}

const cellsOfGrid = () => [...$("#grid").querySelectorAll("tbody td")];
const problemCells = () => cellsOfGrid().filter((td) => grid.cellOf.has(td) && !td.classList.contains("blank") && isProblem(grid.cellOf.get(td)));

/** Go to the next problem (1) or the previous one (-1), from the last to the first; the drawer follows if it is open. */
function goToProblem(step) {
  const problems = new Set(problemCells());
  const all = cellsOfGrid();
  const from = all.findIndex((td) => td.tabIndex === 0);
  for (let i = 1; i <= all.length; i += 1) {
    const td = all[(from + step * i + all.length * 2) % all.length];
    if (!problems.has(td)) continue;
    focusCell(td);
    if (view.cell) openCell(keyOf(grid.cellOf.get(td)));
    return;
  }
}

function moveInGrid(event) {
  const td = event.target.closest("td");
  if (!td || event.altKey || event.metaKey) return;
  const row = td.parentElement;
  const body = row.parentElement;
  const line = event.ctrlKey ? { Home: body.firstElementChild, End: body.lastElementChild }[event.key] : row;
  const target = {
    ArrowLeft: td.previousElementSibling?.closest("td"),
    ArrowRight: td.nextElementSibling,
    ArrowUp: row.previousElementSibling?.cells[td.cellIndex],
    ArrowDown: row.nextElementSibling?.cells[td.cellIndex],
    Home: line?.cells[1],
    End: line?.lastElementChild,
  }[event.key];
  if (target) focusCell(target);
  else if ((event.key === "Enter" || event.key === " ") && grid.cellOf.has(td)) openCell(keyOf(grid.cellOf.get(td)), {}, true);
  else if (!/^(Arrow|Home|End)/.test(event.key)) return;
  event.preventDefault();
}

/** Show the controls of the grid as the URL says, and offer what the source has. */
function showControls() {
  const offered = resolutions();
  showItems($("#resolutions"), [{ legend: true }, ...offered.map((name) => ({ name }))], ({ name = "" }) => name, ({ legend, name }) =>
    legend ? element("legend", { textContent: "Resolution" }) : element("label", {}, element("input", { type: "radio", name: "resolution", value: name }), name));
  for (const input of document.querySelectorAll("#resolutions input")) input.checked = input.value === shownResolution();
  const form = $("#view").elements;
  const range = view.window || defaultRange(shownResolution());
  setOptions(form.window, rangesOf(shownResolution()).map((each) => [each, rangeText(each)]), range);
  const names = (field) => [["", "all"], ...[...new Set(rowsSeen().map((row) => row[field]))].map((name) => [name, name])];
  setOptions(form.etl, names("etl"), view.etl);
  setOptions(form.operation, names("operation"), view.operation);
}

function rangeText(range) {
  const [, count, unit] = /^(\d+)([hd])$/.exec(range);
  return `last ${plural(Number(count), unit === "h" ? "hour" : "day")}`;
}

// ----------------------------------------------------------------------------------------------------------- drawer

const drawer = { cell: "", events: null, problem: "", seen: "", returnTo: null };

/** Show a window in the drawer. Opening it is a step of the history; another window replaces the first one. */
function openCell(key, changes = {}, takesFocus = false) {
  navigate({ ...changes, cell: key }, !view.cell);
  const td = cellOfView();
  if (td) setTabStop(td);
  if (takesFocus || !$("#grid").contains(document.activeElement)) $("#drawer h2")?.focus();
}

function closeDrawer() {
  const td = cellOfView();
  if (history.state?.isStep) history.back();
  else navigate({ cell: "" });
  if (td) focusCell(td);
}

/** Return the cells of all operations of the chosen window's etl: what happened to its set. */
function cellsOfWindow() {
  const [etl, operation, start] = view.cell.split("/");
  const rows = [...(data.range?.rows ?? []), ...(data.week?.rows ?? [])].filter((row) => row.etl === etl && row.resolution === shownResolution());
  const cells = rows.flatMap(cellsOf);
  const chosen = cells.find((cell) => cell.operation === operation && iso(cell.start) === start);
  const operations = new Map(cells.filter((cell) => cell.start === chosen?.start && cell.end === chosen.end).map((cell) => [cell.operation, cell]));
  const before = cells.filter((cell) => cell.operation === operation && chosen && cell.end <= chosen.start && typeof cell.size === "number").at(-1);
  return { chosen, operations: [...operations.values()], before };
}

function showDrawer() {
  const dialog = $("#drawer");
  if (!view.cell || !data.week) {
    if (dialog.open) dialog.close();
    drawer.cell = "";
    return;
  }
  if (drawer.cell !== view.cell) Object.assign(drawer, { cell: view.cell, events: null, problem: "", seen: "" });
  const found = cellsOfWindow();
  const parts = found.chosen ? ["head", "state", "facts", "operations", "events"] : ["none"];
  showItems(dialog, parts.map((part) => ({ part, cell: view.cell, ...found, facts: source.facts, names: part === "events" ? runNames() : null, events: part === "events" ? drawer.events : null, problem: drawer.problem })), ({ part }) => part, (item) => DRAWER[item.part](item));
  if (!dialog.open) dialog.show();
}

const DRAWER = {
  none: () => element("div", {}, drawerHead("No such window", "The chosen window is not in this range.")),
  head: ({ chosen }) => drawerHead(`${chosen.etl} ${chosen.operation}`, `${windowText(chosen.start, chosen.end)} UTC`),
  state: ({ chosen }) => {
    const since = { failed: chosen.failed, ok: chosen.succeeded, empty: chosen.succeeded }[chosen.state];
    const text = element("span", {}, stateText(chosen));
    if (chosen.state === "missing") text.append(" (", age(chosen.due), ")");
    else if (since) text.append("; ", age(parseTime(since)));
    return element("div", {}, element("p", { className: "state" }, mark(chosen.state, glyphOf(chosen)), " ", text), chosen.error && element("p", {}, element("strong", { textContent: chosen.state === "failed" ? "Error: " : "Earlier error: " }), `${chosen.error.type}: ${chosen.error.message}`));
  },
  facts: ({ chosen, before }) => {
    const list = element("dl");
    const fact = (term, ...value) => list.append(element("dt", { textContent: term }), element("dd", {}, ...value));
    fact("Due", moment(chosen.due), ` (${durationText(chosen.due - chosen.end)} after its end)`);
    if (chosen.size !== null && chosen.size !== undefined) fact("Size", plural(chosen.size, "record"));
    if (before) fact("Window before", `${plural(before.size, "record")} (${windowText(before.start, before.end)})`);
    if (chosen.usual !== undefined) fact("Usual size", `${plural(chosen.usual, "record")} (median)`);
    return element("div", {}, list, copyButton(chosen));
  },
  operations: ({ chosen, operations }) => element("div", {}, element("h3", { textContent: "All operations of this set" }), element("ul", { className: "plain" }, ...operations.map((cell) =>
    element("li", {}, mark(cell.state, glyphOf(cell)), " ", cell.operation === chosen.operation ? element("strong", { textContent: cell.operation }) : linkButton(cell.operation, () => openCell(keyOf(cell))), `: ${stateText(cell)}`)))),
  events: ({ chosen, events, problem }) => element("div", {}, element("h3", { textContent: "Its events, oldest first" }), events ? eventStory(events, chosen) : element("p", { className: "note", textContent: problem || "Reading …" })),
};

function drawerHead(title, text) {
  return element("header", {}, element("div", {}, element("h2", { id: "drawer-title", tabIndex: -1, textContent: title }), element("p", { textContent: text })), element("button", { type: "button", ariaLabel: "Close", textContent: "✕", onclick: closeDrawer }));
}

function copyButton({ start, end }) {
  const text = `${iso(start)},${iso(end)}`;
  const shown = element("code", { textContent: text });
  const button = element("button", { type: "button", textContent: "Copy window" });
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // a page that is not served over https or from this machine has no clipboard
      getSelection().selectAllChildren(shown);
      button.textContent = "Selected: press Ctrl+C";
    }
  };
  return element("p", {}, button, " ", shown);
}

/** Read the events of the chosen window, unless nothing happened to it since they were read. */
async function readDrawer() {
  const { chosen, operations } = view.cell ? cellsOfWindow() : {};
  if (!chosen) return;
  const seen = JSON.stringify([view.cell, operations.map(({ successes, failures, succeeded, failed }) => [successes, failures, succeeded, failed])]);
  if (drawer.seen === seen) return;
  const isOfWindow = ({ etl, metadata: { window } }) => etl === chosen.etl && window?.start && window.end && parseTime(window.start) === chosen.start && parseTime(window.end) === chosen.end;
  try {
    let events = logEvents().filter(isOfWindow);
    let next = null;
    if (!source.lacks.has("events")) {
      const filter = { setWindow: `${iso(chosen.start)},${iso(chosen.end)}`, kind: SETS[chosen.etl], limit: 256 };
      ({ events, next } = await readPages(filter, (event) => isOfWindow(event), 256));
    }
    Object.assign(drawer, { events: { list: events.reverse(), isComplete: !next, isLog: source.lacks.has("events") }, seen });
  } catch (error) {
    if (current.signal.aborted) throw error;
    drawer.problem = `The events cannot be read: ${error.message}`;
  }
  showDrawer();
}

function eventStory({ list, isComplete, isLog }, chosen) {
  const sizes = new Map();
  const items = list.map((event) => {
    const operation = operationOf(event);
    const before = sizes.get(operation);
    if (event.metadata.size !== undefined) sizes.set(operation, event.metadata.size);
    const size = event.metadata.size === undefined ? "" : `, ${plural(event.metadata.size, "record")}${before === undefined ? "" : ` (before: ${before.toLocaleString("en")})`}`;
    const { error } = event.metadata;
    return element("li", {}, moment(parseTime(event.time)), " ", element(operation === chosen.operation ? "strong" : "span", { textContent: eventText(event) }), size, error && `, ${error.type}: ${error.message}`, element("br"), runLink(event.run), " ", traceLink(event.traceId, event.spanId));
  });
  const note = isLog ? "This source is a log in memory: it keeps the newest 256 events of each kind, without runs and traces." : isComplete ? "" : "Older events were not looked at.";
  return element("div", {}, items.length ? element("ol", {}, ...items) : element("p", { textContent: "No event of this window is kept." }), note && element("p", { className: "note", textContent: note }));
}

// ------------------------------------------------------------------------------------- events, errors and runs

const isError = (event) => event.metadata.error !== undefined || /Error(Event)?$/.test(event.kind);
const operationOf = ({ kind, metadata }) => metadata.operation ?? Object.keys(PAST).find((operation) => kind.replace(/Event$/, "").toLowerCase().endsWith(PAST[operation])) ?? (kind.includes("ReconcileError") ? "reconcile" : "compute");
const eventText = (event) => (isError(event) ? `${operationOf(event)} failed` : event.kind.replace(/^(Allocation|Asset)Set|Event$/g, "").toLowerCase());

/** Return the events of the log document, the newest first, for a source that has no pages of events. */
function logEvents() {
  const { counters, ...lists } = data.log ?? {};
  const events = Object.entries(lists).flatMap(([etl, list]) => list.map((event) => ({ etl, ...event, metadata: event.metadata ?? {} })));
  return events.sort((one, other) => (one.time < other.time ? 1 : -1));
}

/** Follow pages of events until *wanted* are found: a page of a rare selection may be empty although others follow. */
async function readPages(filter, selects, wanted, before = null) {
  const events = [];
  let next = before;
  for (let page = 0; page < MAX_PAGES && events.length < wanted; page += 1) {
    const answer = await read("events", { ...filter, before: next });
    events.push(...answer.events.filter(selects));
    next = answer.next;
    if (!next) break;
  }
  return { events, next };
}

const feedFilter = () => ({ kind: view.kind || SETS[view.etl], run: view.run, error: view.errors ? "true" : "", limit: PAGE_SIZE });
const isTypeOfView = ({ metadata }) => ["", "true"].includes(view.errors) || metadata.error?.type === view.errors;

async function readFeed() {
  const filter = JSON.stringify([feedFilter(), view.errors]);
  const isNew = filter !== feed.filter;
  if (source.lacks.has("events")) {
    const { kind, error } = feedFilter();
    const events = logEvents().filter((event) => (!kind || event.kind.startsWith(kind)) && (!error || isError(event)) && isTypeOfView(event) && (!view.etl || event.etl === view.etl));
    Object.assign(feed, { filter, events, next: null, shown: isNew ? PAGE_SIZE : feed.shown, problem: "" });
    return;
  }
  try {
    const page = await readPages(feedFilter(), isTypeOfView, 1);
    const known = new Set(isNew ? [] : feed.events.map(({ cursor }) => cursor));
    const first = page.events.findIndex(({ cursor }) => known.has(cursor));
    if (first >= 0) feed.events = [...page.events.slice(0, first), ...feed.events];
    else Object.assign(feed, { events: page.events, next: page.next, shown: Infinity });
    Object.assign(feed, { filter, problem: "" });
  } catch (error) {
    if (error.status !== 400) throw error;
    Object.assign(feed, { filter, events: [], next: null, problem: error.message });
  }
}

async function showOlder() {
  feed.shown += PAGE_SIZE;
  if (feed.next) {
    const { events, next } = await readPages(feedFilter(), isTypeOfView, 1, feed.next);
    Object.assign(feed, { events: [...feed.events, ...events], next });
  }
  showEvents();
}

const runNames = () => Object.fromEntries(data.runs.map((run) => [run.id, run.name]));

function runLink(id) {
  if (!id) return "";
  const name = runNames()[id];
  return linkButton(`${name ? `${name} ` : "run "}${id.slice(0, 8)}`, () => {
    navigate({ run: id, errors: "", kind: "", etl: "" }, true);
    $("#events").scrollIntoView();
  }, { title: `Show the events of run ${id}` });
}

/** Return a link to a trace, or nothing; only http and https become links. */
function traceLink(traceId, spanId = "") {
  const template = source.facts.traceUrl;
  if (!traceId || !template) return traceId ? element("code", { textContent: traceId.slice(0, 8), title: `trace ${traceId}` }) : "";
  const url = template.replaceAll("{trace_id}", traceId).replaceAll("{span_id}", spanId ?? "");
  if (!/^https?:\/\//.test(url)) return "";
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer", textContent: "trace", title: `trace ${traceId}` });
}

function showEvents() {
  const panel = $("#events");
  panel.hidden = source.now === null;
  const form = $("#filter").elements;
  const kinds = Object.entries(SETS).filter(([etl]) => !view.etl || view.etl === etl).flatMap(([, set]) => RESULTS.map((result) => [`${set}${result}`, `${set}${result}`]));
  setOptions(form.kind, [["", "all"], ...kinds], view.kind);
  setOptions(form.etl, [["", "all"], ...Object.keys(SETS).map((etl) => [etl, etl])], view.etl);
  setOptions(form.run, [["", "all"], ["last", "newest run"], ...data.runs.map(({ id, name, started }) => [id, `${name} ${id.slice(0, 8)}, ${momentText(parseTime(started))}`])], view.run);
  form.run.parentElement.hidden = source.lacks.has("events");
  const types = errorGroups().map(({ type }) => [type, `only ${type}`]);
  setOptions(form.errors, [["", "all"], ["true", "errors only"], ...types], view.errors);
  const listed = feed.events.slice(0, feed.shown);
  const note = source.lacks.has("events") ? "This source is a log in memory, or a program without a journal: it has the newest 256 events of each kind, and neither runs nor traces." : "";
  setText($(".note", panel), [feed.problem, note, listed.length ? "" : feed.next ? "None of the events looked at so far matches." : "No event matches."].filter(Boolean).join(" "));
  $("#clear").hidden = !(view.kind || view.run || view.errors || view.etl);
  $("#older").hidden = !feed.next && listed.length === feed.events.length;
  showItems($("tbody", panel), listed.map((event) => ({ event, name: runNames()[event.run], facts: source.facts })), ({ event }) => event.cursor ?? `${event.kind} ${event.time} ${event.etl}`, eventRow);
}

function eventRow({ event }) {
  const { etl, kind, metadata, time, run, traceId, spanId } = event;
  const { size, window, error } = metadata;
  const bounds = window?.start && window.end ? windowText(parseTime(window.start), parseTime(window.end)) : window?.start || window?.end ? `${window.start ?? "…"} – ${window.end ?? "…"}` : "";
  const cells = [moment(parseTime(time)), etl, element("span", { title: kind }, mark(isError(event) ? "failed" : size === 0 ? "empty" : "ok"), ` ${eventText(event)}`), bounds, size === undefined ? "" : size.toLocaleString("en"), error ? `${error.type}: ${error.message}` : "", runLink(run), traceLink(traceId, spanId)];
  return element("tr", {}, ...cells.map((content, index) => element("td", { className: ["nowrap", "", "nowrap", "nowrap", "number", "message", "nowrap", "nowrap"][index] }, content)));
}

/** Return the errors by type, the latest type first. */
function errorGroups() {
  const groups = new Map();
  for (const event of data.errors?.events ?? []) { // the newest first
    const type = event.metadata.error?.type ?? "unknown";
    const group = groups.get(type) ?? { type, count: 0, last: event.time, message: event.metadata.error?.message ?? "", where: [] };
    const where = `${event.etl} ${operationOf(event)}`;
    if (!group.where.includes(where)) group.where.push(where);
    groups.set(type, { ...group, count: group.count + 1, first: event.time });
  }
  return [...groups.values()];
}

function showErrors() {
  const panel = $("#errors");
  panel.hidden = data.errors === null;
  const groups = errorGroups();
  const oldest = data.errors?.events.at(-1);
  const note = !groups.length ? "No error is kept." : data.errors.next && oldest ? `The newest ${data.errors.events.length} errors, since ${momentText(parseTime(oldest.time))}; older ones are not counted.` : "";
  setText($(".note", panel), note);
  $("table", panel).hidden = !groups.length;
  showItems($("tbody", panel), groups, ({ type }) => type, ({ type, count, first, last, where, message }) => element("tr", {},
    element("td", {}, linkButton(type, () => {
      navigate({ errors: type === "unknown" ? "true" : type, kind: "", run: "", etl: "" }, true);
      $("#events").scrollIntoView();
    }, { title: `Show the events with a ${type}` })),
    element("td", { className: "number", textContent: count }),
    element("td", { className: "nowrap" }, moment(parseTime(last)), " (", age(parseTime(last)), ")"),
    element("td", {}, moment(parseTime(first))),
    element("td", { textContent: where.join(", ") }),
    element("td", { className: "message", textContent: message })));
}

const expanded = new Set();

function showRuns() {
  const panel = $("#runs");
  panel.hidden = source.now === null;
  const runs = new Map(data.runs.map((run) => [run.id, run]));
  const rootOf = (run) => (runs.has(run.parent) ? rootOf(runs.get(run.parent)) : run);
  const roots = data.runs.filter((run) => rootOf(run) === run);
  const rows = roots.flatMap((root) => {
    const children = data.runs.filter((run) => run !== root && rootOf(run) === root);
    const isOpen = expanded.has(root.id);
    return [{ run: root, children: children.length, troubled: children.filter(({ outcome }) => outcome === "failed" || outcome === "killed").length, isOpen }, ...(isOpen ? children.map((run) => ({ run })) : [])];
  });
  $("table", panel).hidden = !rows.length;
  setText($(".note", panel), source.lacks.has("runs") ? "This source is a log in memory, or a program without a journal: it has no runs." : rows.length ? "" : "No run has written to this source yet.");
  showItems($("tbody", panel), rows.map((row) => ({ ...row, facts: source.facts })), ({ run }) => run.id, runRow);
}

function runRow({ run, children, troubled, isOpen }) {
  const plain = { ended: "ended well", failed: "failed", killed: "killed: gone without an end", running: "running" };
  const end = run.ended ?? (run.outcome === "running" ? null : run.lastEvent);
  const length = end ? `${run.outcome === "killed" ? "at least " : ""}${durationText(parseTime(end) - parseTime(run.started))}` : "";
  const toggle = children > 0 && element("button", { type: "button", ariaExpanded: `${isOpen}`, textContent: `${isOpen ? "▾" : "▸"} ${children} ${children === 1 ? "process" : "processes"}${troubled ? `, ${troubled} failed or killed` : ""}`, onclick: () => {
    if (!expanded.delete(run.id)) expanded.add(run.id);
    showRuns();
  } });
  return element("tr", { className: children === undefined ? "child" : "" },
    element("td", {}, element("span", { className: "nowrap" }, mark(OUTCOMES[run.outcome] ?? "unknown"), ` ${plain[run.outcome] ?? run.outcome}`), run.detail && element("div", { className: "message", textContent: run.detail })),
    element("td", {}, element("strong", { textContent: run.name }), ` ${run.program === run.name ? "" : run.program}`, element("div", { className: "note", textContent: [run.service, run.host, `process ${run.pid}`].filter(Boolean).join(", ") }), toggle || ""),
    element("td", { className: "nowrap" }, moment(parseTime(run.started)), " (", age(parseTime(run.started)), ")"),
    element("td", { className: "nowrap", textContent: length }),
    element("td", { className: "number", textContent: (run.allEvents ?? run.events).toLocaleString("en") }),
    element("td", { className: "number", textContent: (run.allErrors ?? run.errors).toLocaleString("en") }),
    element("td", { className: "nowrap" }, runLink(run.id), " ", traceLink(run.traceId)));
}

// ------------------------------------------------------------------------------------------------------------ start

function showAll() {
  if (!data.week || !data.range) return;
  showVerdict();
  showControls();
  showGrid();
  showErrors();
  showRuns();
  showEvents();
  showDrawer();
  const { source: name, version, report } = source.facts;
  setText($("#source"), [name, `read at ${iso(source.now).slice(11, 19)}`, "all times are UTC", version && `otel-kcevents ${version}`].filter(Boolean).join(" · "));
  $("#report").hidden = !report;
  showFreshness();
}

function start() {
  readView();
  $("#grid").addEventListener("keydown", moveInGrid);
  $("#grid").addEventListener("click", ({ target }) => {
    const td = target.closest("td");
    if (td && grid.cellOf.has(td)) openCell(keyOf(grid.cellOf.get(td)));
  });
  const tell = ({ target }) => {
    const cell = grid.cellOf.get(target.closest("td"));
    if (cell) $("#readout").textContent = nameOf(cell);
  };
  $("#grid").addEventListener("pointerover", tell);
  $("#grid").addEventListener("focusin", tell);
  $("#columns").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && view.cell) closeDrawer();
    else if (event.target.closest("#grid, #drawer") && event.key === "n") goToProblem(1);
    else if (event.target.closest("#grid, #drawer") && event.key === "p") goToProblem(-1);
  });
  $("#next").addEventListener("click", () => goToProblem(1));
  $("#previous").addEventListener("click", () => goToProblem(-1));
  $("#view").addEventListener("change", ({ target: { name, value } }) => navigate(name === "resolution" ? { resolution: value, window: "", cell: "" } : { [name]: value }));
  $("#filter").addEventListener("change", ({ target: { name, value } }) => navigate({ [name]: value }));
  $("#clear").addEventListener("click", () => navigate({ kind: "", run: "", errors: "", etl: "" }));
  $("#older").addEventListener("click", showOlder);
  for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", () => {
    readView();
    showAll();
    restart();
  });
  document.addEventListener("visibilitychange", () => {
    showFreshness();
    if (!document.hidden) wake();
  });
  addEventListener("online", () => wake());
  setInterval(showFreshness, SECOND);
  keepReading();
}

start();
