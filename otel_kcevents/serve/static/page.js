/**
 * The page for people. It reads the JSON of the source every 10 seconds and shows it.
 *
 * The DOM is built with `textContent` only, so that nothing from an event is ever HTML. What did not change is not
 * built again, so that focus, selection and scroll positions survive an update. Times are in milliseconds since 1970.
 */

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const TIMEOUT = 8 * SECOND;
/** The time between two reads. In the background, the title and the icon of the tab have to stay true. */
const PAUSE = { visible: 10 * SECOND, hidden: 60 * SECOND, failed: SECOND, failing: 3 * SECOND };
const STALE_AFTER = 75 * SECOND; // more than any pause: the computer slept, or the browser stopped the tab
const MAX_COLUMNS = 168;
const MAX_GAP = 10_080; // windows: a week of minutes
const MAX_PROBLEMS = 8;
const PAGE_SIZE = 50;
const MAX_PAGES = 8; // to look through for events that match; each takes the server up to 0.1 s

/** The states of a window, the worst first: a glyph, and words. */
const STATES = {
  failed: ["×", "failed"],
  missing: ["!", "missing"],
  empty: ["0", "empty"],
  unknown: ["?", "unknown, older than what is kept"],
  "not due": ["·", "not due yet"],
  ok: ["✓", "ok"],
};
/** The fill and the ink of the icon in a state; grey in all others. */
const ICONS = {
  failed: ["#a3123a", "#ffffff"], missing: ["#ffffff", "#a3123a"],
  empty: ["#e69f00", "#1b1f24"], ok: ["#4f8fc4", "#071a2b"],
};
const COUNTED = ["failed", "missing", "empty", "unknown"];
const AGAIN = "↻";
const AGAIN_TEXT = "saved again after reconciling";
const FEW = "↓"; // less than half of the usual size
const PAST = {
  save: "saved", load: "loaded", aggregate: "aggregated", total: "totaled", reconcile: "reconciled",
  compute: "computed",
};
const OUTCOMES = {
  ended: ["ok", "ended well"], failed: ["failed", "failed"],
  killed: ["missing", "killed: gone without an end"], running: ["not due", "running"],
};
const RANGES = { hourly: ["24h", "3d", "7d"], daily: ["7d", "30d", "90d", "168d"], others: ["30d", "168d", "366d"] };
const SETS = { allocation: "AllocationSet", asset: "AssetSet" };
const RESULTS = ["Saved", "Loaded", "Aggregated", "Totaled", "Reconciled", "ComputeError", "ReconcileError"];
const PARAMETERS = ["window", "resolution", "etl", "operation", "cell", "kind", "run", "errors"];

// ---- The DOM

const $ = (selector, parent = document) => parent.querySelector(selector);

/** Return a new element. Properties and children that are null, undefined or false are omitted. */
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Make the children of *parent* show *items*; the node of an item stays as it is until the item changes. */
function showItems(parent, items, keyOf, build) {
  const nodes = new Map([...parent.children].map((node) => [node.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const [key, content] = [keyOf(item), JSON.stringify(item)];
    let node = nodes.get(key);
    nodes.delete(key);
    if (node?.content !== content) {
      const built = Object.assign(build(item), { key, content });
      if (node && node === place) place = built;
      if (node) replaceNode(node, built);
      node = built;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of nodes.values()) node.remove();
}

/** Replace a node. If a link or a button in it has the focus, the same one of the new node gets it. */
function replaceNode(node, built) {
  const index = [...node.querySelectorAll("a, button")].indexOf(document.activeElement);
  node.replaceWith(built);
  if (index >= 0) built.querySelectorAll("a, button")[index]?.focus({ preventScroll: true });
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
  if (node.hidden === Boolean(text)) node.hidden = !text; // setting it to what it is would be a change, too
}

/** Offer options, each a value and its text; a chosen value that is not one of them is offered, too. */
function setOptions(select, options, chosen) {
  const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  showItems(select, all, ([value]) => value, ([value, text]) => element("option", { value, textContent: text }));
  if (select.value !== chosen) select.value = chosen;
}

/** Return a row of a table. Each cell is an array: its class, and what it contains. */
const tableRow = (properties, ...cells) =>
  element("tr", properties, ...cells.map(([className, ...content]) => element("td", { className }, ...content)));

const mark = (state, glyph = STATES[state][0], more = "") =>
  element("span", { className: `mark ${classOf(state)} ${more}`, ariaHidden: "true", textContent: glyph });

const button = (text, onclick, properties = {}) =>
  element("button", { type: "button", className: "link", textContent: text, onclick, ...properties });

/** Return a function that computes its result once for each object. */
function remember(compute) {
  const known = new WeakMap();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key);
  };
}

const classOf = (state) => state.replace(" ", "-");
const { format: number } = new Intl.NumberFormat("en");
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const list = (...parts) => parts.filter(Boolean).join(", ");
const errorText = ({ type, message }) => `${type}: ${message}`;

// ---- Times, all in UTC

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const parseTime = (text) => Date.parse(text.replace(/(\.\d{3})\d+/, "$1")); // not every browser reads nanoseconds
const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");
const date = (time) => iso(time).slice(0, 10);
const clock = (time) => iso(time).slice(11, 16);
const monthOf = (time) => MONTHS[new Date(time).getUTCMonth()];
const yearOf = (time) => new Date(time).getUTCFullYear();
const isDay = (start, end) => start % DAY === 0 && end - start === DAY;
const isMonth = (start, end) => date(start).endsWith("-01") && date(end).endsWith("-01") && end - start <= 31 * DAY;

/** Return the time by the clock of the source, since that of this computer may be wrong. */
const now = () => (source.now === null ? Date.now() : source.now + Date.now() - source.receivedAt);

const dayText = (time) =>
  `${new Date(time).getUTCDate()} ${monthOf(time)}${yearOf(time) === yearOf(now()) ? "" : ` ${yearOf(time)}`}`;
const minuteText = (time) => `${dayText(time)} ${clock(time)}`;
const secondText = (time) => `${dayText(time)} ${iso(time).slice(11, 19)}`;

function windowText(start, end) {
  if (isMonth(start, end)) return `${monthOf(start)} ${yearOf(start)}`;
  if (isDay(start, end)) return dayText(start);
  if (start % DAY === 0 && end % DAY === 0) return `${dayText(start)} – ${dayText(end - DAY)}`;
  return `${minuteText(start)}${date(start) === date(end - 1) ? `–${clock(end)}` : ` – ${minuteText(end)}`}`;
}

/** Return a window in the words of the verdict, which docs/coverage.md defines: without the date if it is of today. */
function newestText(start, end) {
  if (isMonth(start, end)) return iso(start).slice(0, 7);
  if (isDay(start, end)) return date(start);
  if (date(start) !== date(end - 1)) return `${date(start)} ${clock(start)}–${date(end)} ${clock(end)}`;
  return `${date(start) === date(now()) ? "" : `${date(start)} `}${clock(start)}–${clock(end)}`;
}

function durationText(milliseconds) {
  const seconds = Math.max(0, milliseconds / SECOND);
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 48 * 3_600 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

const agoText = (time) => `${durationText(Math.floor((now() - time) / SECOND) * SECOND)} ago`;
const moment = (time) => element("time", { dateTime: iso(time), textContent: secondText(time) });

/** Return an age, which `showFreshness` updates. It is not a live region, so that it is not read out each minute. */
function age(time) {
  const title = `${secondText(time)} UTC`;
  return element("time", { className: "age", dateTime: iso(time), ariaLive: "off", title, textContent: agoText(time) });
}

const withAge = (time) => [moment(time), " (", age(time), ")"];

// ---- What is shown: the parameters of the URL

/** @type {Record<string, string>} */
const view = {};

function readView() {
  const query = new URLSearchParams(location.search);
  for (const name of PARAMETERS) view[name] = query.get(name) ?? "";
}

/** Change what is shown, and the URL. A step is an entry of the history of its own, from which Back leads away. */
function navigate(changes, isStep = false) {
  Object.assign(view, changes);
  const query = new URLSearchParams(PARAMETERS.filter((name) => view[name]).map((name) => [name, view[name]]));
  const url = `${location.pathname}${query.size ? "?" : ""}${query}`.replaceAll("%2F", "/").replaceAll("%3A", ":");
  if (isStep) history.pushState({ opensDrawer: "cell" in changes }, "", url);
  else history.replaceState(history.state, "", url);
  showAll();
  restart();
}

const rows = () => data.week?.rows ?? [];
const resolutions = () => [...new Set(rows().map(({ resolution }) => resolution))];
const resolution = () => view.resolution || (resolutions().includes("hourly") ? "hourly" : (resolutions()[0] ?? ""));
const isShort = () => /^\d+[ms]$/.test(resolution()); // such as 15m
const ranges = () => RANGES[resolution()] ?? (isShort() ? RANGES.hourly : RANGES.others);
const range = () => view.window || (resolution() === "daily" ? "30d" : ranges().at(-1));

// ---- Reading

/** What was read. `now` is the time of the source when it answered, `lacks` has the paths that it does not know. */
const source = { now: null, receivedAt: 0, failures: 0, problem: "", facts: {}, lacks: new Set() };
const data = { week: null, range: null, runs: null, runLimit: 10, errors: null, log: null };
const feed = { filter: "", events: [], next: null, problem: "" }; // the listed events

/** Why the source did not answer; the status is 0 if there was no response. */
class Refusal extends Error {
  constructor(status, message) {
    super(status ? `${status} ${message}` : message);
    this.status = status;
  }
}

let current = new AbortController();
let wake = () => {};

async function read(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const signal = AbortSignal.any([current.signal, AbortSignal.timeout(TIMEOUT)]);
  const failed = ({ name }) => {
    const isLate = name === "TimeoutError";
    throw new Refusal(0, isLate ? `no answer within ${TIMEOUT / SECOND} s` : "the server cannot be reached");
  };
  const response = await fetch(`model/etl/${path}?${query}`, { signal, cache: "no-store" }).catch(failed);
  const text = await response.text().catch(failed);
  const answer = text.startsWith("{") ? JSON.parse(text) : {};
  if (!response.ok) throw new Refusal(response.status, answer.message ?? response.statusText);
  if (!answer.data) throw new Refusal(response.status, "with something that is not an answer of this source");
  return answer.data;
}

/** Like `read`, but return *otherwise* if the source does not have this; it is not asked again. */
async function readIfThere(path, parameters, otherwise) {
  try {
    if (!source.lacks.has(path)) return await read(path, parameters);
  } catch (error) {
    if (error.status !== 404) throw error;
    source.lacks.add(path);
  }
  return otherwise;
}

/** Read everything, one request after the other, since a server in an ETL program has little time for this page. */
async function readAll() {
  const week = await read("coverage", { window: "7d" });
  Object.assign(source, { now: parseTime(week.now), receivedAt: Date.now() });
  data.week = week;
  source.facts = await readIfThere("page", {}, source.facts);
  data.range = range() === "7d" ? week : await readRange();
  showAll();
  data.runs = await readIfThere("runs", { limit: data.runLimit }, []);
  if (source.lacks.has("runs")) data.log = withCursors(await read("log"));
  data.errors = await readEvents({ error: "true", limit: 256 });
  await readFeed();
  await readDrawer();
  Object.assign(source, { failures: 0, problem: "" });
  showAll();
}

async function readRange() {
  try {
    return await read("coverage", { window: range(), resolution: resolution() });
  } catch (error) {
    if (error.status !== 400) throw error;
    return { rows: [], problem: error.message }; // of a URL that somebody wrote
  }
}

/** Return a page of events; of a source without pages, all events of its log document that match. */
async function readEvents(filter, before = null) {
  const page = await readIfThere("events", { ...filter, before }, null);
  if (page) return page;
  const matches = (event) => event.kind.startsWith(filter.kind ?? "") && (!filter.error || isError(event));
  return { events: data.log.filter(matches), next: null };
}

/** Follow pages of events until enough match: a page may be empty although others follow. */
async function readMatches(filter, matches, wanted = 1, before = null) {
  const found = { events: [], next: before };
  for (let page = 0; page < MAX_PAGES && found.events.length < wanted; page += 1) {
    const { events, next } = await readEvents(filter, found.next);
    found.events.push(...events.filter(matches));
    found.next = next;
    if (!next) break;
  }
  return found;
}

/** Return the events of a log document, the newest first, in the form of a page of events. */
function withCursors({ counters, ...lists }) {
  const seen = new Map();
  const events = Object.keys(lists).flatMap((etl) => lists[etl].map((event) => ({ etl, metadata: {}, ...event })));
  events.sort((one, other) => (one.time < other.time ? 1 : one.time > other.time ? -1 : 0));
  return events.map((event) => {
    const key = [event.etl, event.kind, event.time].join();
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return { ...event, cursor: `${key},${seen.get(key)}` };
  });
}

async function keepReading() {
  for (;;) {
    current = new AbortController();
    try {
      await readAll();
    } catch (error) {
      if (current.signal.aborted) continue; // since something else is to be read now
      source.failures += 1;
      source.problem = error.message;
      if (!(error instanceof Refusal)) console.error(error); // a fault of this page
      source.lacks.clear(); // another source may answer next
    }
    showFreshness();
    if (current.signal.aborted) continue;
    const kind = source.failures > 1 ? "failing" : source.failures ? "failed" : document.hidden ? "hidden" : "visible";
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, PAUSE[kind]);
    });
  }
}

function restart() {
  current.abort();
  wake();
}

/** Show whether the data is current. One failure is retried first; after two, the page is grey and says why. */
function showFreshness() {
  const isFirst = source.now === null;
  const isStale = source.failures > 1 || (!isFirst && Date.now() - source.receivedAt > STALE_AFTER);
  const why = source.problem || "the last answer is too old";
  const since = isFirst ? "No answer yet" : `No answer since ${secondText(source.now)} UTC`;
  document.body.classList.toggle("stale", isStale);
  setText($("#stale"), isStale ? `${since}: ${why}${isFirst ? "" : ". This page shows what was known then."}` : "");
  if (isFirst && isStale) setText($("#verdict"), "The state is unknown until the source answers.");
  showTab(isStale);
  for (const node of document.querySelectorAll(".age")) {
    const text = agoText(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  }
}

// ---- Cells: the windows of a row

/**
 * One window of one operation of an etl.
 * @typedef {{etl: string, operation: string, resolution: string, start: number, end: number, due: number,
 *   state: string, usual?: number, size?: number, successes?: number, failures?: number, succeeded?: string,
 *   failed?: string, error?: {type: string, message: string}, savedAgain?: boolean}} Cell
 */

/** Return the cells of a row of the coverage, the oldest first. @type {(row) => Cell[]} */
const cellsOf = remember((row) => {
  const { etl, operation, resolution, grace } = row;
  const sizes = row.windows.map(({ size }) => size).filter(Boolean).sort((one, other) => one - other);
  const usual = sizes.length < 5 ? undefined : sizes[Math.floor(sizes.length / 2)]; // a few say little
  const own = { etl, operation, resolution, usual };
  const cell = (facts, start, end) => ({ ...own, ...facts, start, end, due: end + grace * SECOND });
  const cells = row.windows.map((window) => cell(window, parseTime(window.start), parseTime(window.end)));
  for (const gap of row.gaps) {
    let end = parseTime(gap.end);
    for (let left = gap.windows; left > Math.max(0, gap.windows - MAX_GAP); left -= 1) {
      const start = left === 1 ? parseTime(gap.start) : startBefore(end, row);
      cells.push(cell({ state: gap.state }, start, end));
      end = start;
    }
  }
  return cells.sort((one, other) => one.start - other.start);
});

function startBefore(end, row) {
  return row.resolution === "monthly" ? Date.UTC(yearOf(end), new Date(end).getUTCMonth() - 1) : end - periodOf(row);
}

const periodOf = ({ resolution, period }) => (resolution === "daily" ? DAY : period * SECOND); // not 23 h or 25 h
const keyOf = (cell) => `${cell.etl}/${cell.operation}/${iso(cell.start)}`;
const isFew = ({ state, size, usual }) => state === "ok" && size !== null && size < usual / 2;
const isProblem = ({ state }) => state === "failed" || state === "missing" || state === "empty";
const hadFailure = ({ state, failures }) => failures > 0 && state !== "failed";
const glyphOf = (cell) => (cell.savedAgain && cell.state === "ok" ? AGAIN : isFew(cell) ? FEW : STATES[cell.state][0]);
const markOf = (cell) => mark(cell.state, glyphOf(cell), hadFailure(cell) ? "earlier" : "");
const nameOf = (cell) => `${cell.etl} ${cell.operation}, ${windowText(cell.start, cell.end)} UTC: ${stateText(cell)}`;

/** Return the state of a cell in words. They do not change with the time. */
function stateText(cell) {
  const { state, due, size, usual, successes, failures, error, savedAgain } = cell;
  const past = PAST[cell.operation] ?? cell.operation;
  const records = size === null || size === undefined ? "" : plural(size, "record");
  if (state === "missing") return `missing, due since ${minuteText(due)}`;
  if (state === "not due") return `not due yet, due ${minuteText(due)}`;
  if (state === "unknown") return STATES.unknown[1];
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

// ---- The verdict, in the words that docs/coverage.md defines for the command as well

function verdictOf(etl) {
  const own = rows().filter((row) => row.etl === etl);
  const windows = Map.groupBy(own.flatMap(cellsOf), ({ start, end }) => `${start}/${end}`);
  const counts = Object.fromEntries([...COUNTED, "again", "ok"].map((state) => [state, 0]));
  for (const cells of windows.values()) {
    const state = Object.keys(STATES).find((each) => cells.some((cell) => cell.state === each));
    const best = state === "not due" && cells.some((cell) => cell.state === "ok") ? "ok" : state;
    if (best in counts) counts[best] += 1;
    if (state !== "failed" && state !== "missing" && cells.some(({ savedAgain }) => savedAgain)) counts.again += 1;
  }
  const words = [...COUNTED, "again"].filter((state) => counts[state]).map((state, index) =>
    `${index ? number(counts[state]) : plural(counts[state], "window")} ${state === "again" ? AGAIN_TEXT : state}`);
  const without = data.week.withoutWindow.filter((failure) => failure.etl === etl);
  const failures = without.reduce((sum, { failures: count }) => sum + count, 0);
  if (failures) words.push(`${plural(failures, "failure")} without a window`);
  if (!words.length && counts.ok) words.push(counts.ok > 1 ? `all ${number(counts.ok)} windows ok` : "1 window ok");
  if (!words.length) words.push("no window due yet");
  const state = COUNTED.find((each) => counts[each]) ?? (failures ? "unknown" : counts.ok ? "ok" : "not due");
  const newest = newestOf(own);
  return { etl, state, counts, words: `${words.join(", ")}${newest ? "" : "; no window succeeded yet"}`, newest };
}

/** Return the newest window that was saved; if none was, the newest one of another operation. */
function newestOf(own) {
  for (const operation of Object.keys(PAST)) {
    const found = own.filter((row) => row.operation === operation && row.newest);
    found.sort((one, other) => parseTime(other.newest.end) - parseTime(one.newest.end) || one.period - other.period);
    if (found.length) {
      const [start, end, time] = ["start", "end", "time"].map((name) => parseTime(found[0].newest[name]));
      return { words: `newest ${PAST[operation]} ${newestText(start, end)}`, time };
    }
  }
  return null;
}

const EMPTY =
  "once an instrumented function has saved, loaded, aggregated, totaled or reconciled a set, this page has a row " +
  "for each ETL and operation, and a column for each hour or day";

const verdictsOf = remember(({ rows, withoutWindow }) => {
  const etls = new Set([...rows, ...withoutWindow].map(({ etl }) => etl));
  return [...etls].map(verdictOf);
});

function showVerdict() {
  const lines = [...verdictsOf(data.week)];
  if (!lines.length) lines.push({ etl: "no events yet", state: "not due", words: EMPTY });
  const run = data.runs?.find(({ parent }) => parent === null);
  if (run || !data.runs) lines.push({ etl: "newest run", run }); // its line has a place before it is read
  showItems($("#verdict"), lines, ({ etl }) => etl, verdictLine);
}

function verdictLine({ etl, state, words, newest, run }) {
  const [runState, outcome] = OUTCOMES[run?.outcome] ?? ["unknown", run?.outcome];
  const text = element("span", {}, element("span", { className: "name", textContent: etl }), ": ");
  if (run) text.append(`${run.name}, ${outcome}, started `, age(parseTime(run.started)));
  else text.append(words ?? "reading …", newest ? `; ${newest.words}, ` : "", newest ? age(newest.time) : "");
  return element("p", { className: "verdict" }, mark(state ?? runState), text);
}

/** Show the problems one by one, the worst and newest first; what is equal in several operations is one line. */
function showProblems() {
  const found = rows().flatMap((row) => [
    ...cellsOf(row).filter((cell) => cell.savedAgain || (isProblem(cell) && cell.state !== "missing")),
    ...row.gaps.filter(({ state }) => state === "missing").map(({ start, end, windows }) => {
      const first = cellsOf(row).find((cell) => cell.start >= parseTime(start));
      return { ...first, end: parseTime(end), windows };
    }),
  ]);
  const keyOfLine = ({ etl, state, start, end, error }) => [etl, state, start, end, error?.type].join();
  const lines = [...Map.groupBy(found, keyOfLine)].map(([key, cells]) => {
    return { ...cells[0], key, cell: keyOf(cells[0]), operation: list(...cells.map(({ operation }) => operation)) };
  });
  for (const failure of data.week.withoutWindow) {
    const key = `${failure.etl} ${failure.operation}`;
    lines.push({ ...failure, key, state: "failed", end: parseTime(failure.failed) });
  }
  const rank = { failed: 0, missing: 0, empty: 1, ok: 2 };
  lines.sort((one, other) => rank[one.state] - rank[other.state] || other.end - one.end);
  const shown = lines.slice(0, lines.length === MAX_PROBLEMS + 1 ? undefined : MAX_PROBLEMS);
  if (shown.length < lines.length) shown.push({ key: "more", more: lines.length - shown.length });
  showItems($("#problems"), shown, ({ key }) => key, problemLine);
}

function problemLine(line) {
  const { etl, operation, resolution, state, start, end, windows, error, failures, failed, cell, more } = line;
  if (more) return element("li", { textContent: `and ${number(more)} more, in the grid` });
  const name = cell ? `${etl} ${operation} ${windowText(start, end)}` : `${etl} ${operation ?? ""}`.trim();
  const show = () => {
    if (cell) openCell(cell, { resolution, window: "", etl: "", operation: "" }, true);
    else showEventsOf({ errors: "true" });
  };
  const text = element("span", {}, button(name, show), " ");
  if (state !== "failed") text.append(windows > 1 ? `${number(windows)} windows ` : "", stateText(line));
  else {
    const words = cell ? "failed " : `${plural(failures, "failure")} without a window, the last `;
    text.append(words, age(parseTime(failed)), error ? `: ${errorText(error)}` : "");
  }
  return element("li", {}, mark(state, state === "ok" ? AGAIN : undefined), text);
}

/** Tell the state in the title and the icon of the tab: a person may look at nothing else. */
function showTab(isStale) {
  const lines = data.week && !isStale ? verdictsOf(data.week) : [];
  const worst = Object.keys(STATES).find((state) => lines.some((line) => line.state === state)) ?? "unknown";
  const sums = COUNTED.map((state) => [lines.reduce((sum, { counts }) => sum + counts[state], 0), state]);
  const problems = list(...sums.filter(([sum]) => sum).map(([sum, state]) => `${number(sum)} ${state}`));
  const state = isStale ? "no answer" : !data.week ? "reading" : !lines.length ? "no events yet" : problems || worst;
  const title = `${STATES[worst][0]} ${state} – Cost ETL`;
  if (document.title === title) return;
  document.title = title;
  const [fill, ink] = ICONS[worst] ?? ["#8a94a3", "#16181d"];
  const icon =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" font-family="sans-serif" font-size="13">` +
    `<rect x="1" y="1" width="14" height="14" rx="2" fill="${fill}" stroke="${ink}"/>` +
    `<text x="8" y="12.5" font-weight="bold" text-anchor="middle" fill="${ink}">${STATES[worst][0]}</text></svg>`;
  $("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
}

// ---- The grid

const drawn = { range: null, filter: "", shape: "" }; // what the table shows: its data, and its lines and columns

/** Return the number of a window among those of its resolution, since 1970. */
function columnOf({ start, end }, row) {
  const middle = (start + end) / 2; // days may begin at another hour than 00:00 UTC, and differ between rows
  if (row.resolution === "monthly") return yearOf(middle) * 12 + new Date(middle).getUTCMonth();
  return Math.floor(middle / periodOf(row));
}

/** Return the lines of the grid, and its columns. Windows that overlap get lines of their own. */
function gridOf() {
  const shown = { resolution: resolution(), etl: view.etl, operation: view.operation };
  const isShown = (row) => Object.entries(shown).every(([name, value]) => !value || row[name] === value);
  const columns = new Map();
  const lines = data.range.rows.filter(isShown).flatMap((row) => {
    const own = [];
    for (const cell of cellsOf(row)) {
      const column = columnOf(cell, row);
      let line = own.find(({ cells }) => !cells.has(column));
      if (!line) {
        const name = `${row.etl} ${row.operation}`;
        line = { key: `${name} ${own.length}`, name, cells: new Map() };
        own.push(line);
      }
      line.cells.set(column, cell);
      if (!columns.has(column)) columns.set(column, { start: cell.start, end: cell.end, column });
    }
    return own;
  });
  return { lines, columns: [...columns.values()].sort((one, other) => one.column - other.column) };
}

function showGrid() {
  const filter = [resolution(), view.etl, view.operation].join();
  if (drawn.range !== data.range || drawn.filter !== filter) drawGrid();
  Object.assign(drawn, { range: data.range, filter });
  const chosen = tdOf(view.cell);
  const before = $("#grid [aria-selected]");
  if (before !== chosen) before?.removeAttribute("aria-selected");
  if (before !== chosen) chosen?.setAttribute("aria-selected", "true");
}

function drawGrid() {
  const { lines, columns: all } = gridOf();
  const columns = all.slice(-MAX_COLUMNS);
  $("#grid").closest("section").hidden = !rows().length;
  const isCut = all.length > columns.length;
  const note = isCut ? `The newest ${MAX_COLUMNS} of ${number(all.length)} windows are shown.` : "";
  setText($("#grid-note"), data.range.problem ?? (lines.length ? note : "No operation matches."));
  const shape = JSON.stringify([lines.map(({ key }) => key), columns.map(({ column }) => column)]);
  if (shape !== drawn.shape) buildGrid(lines, columns);
  else showCells(lines, columns);
  drawn.shape = shape;
  showLegend(lines.flatMap(({ cells }) => columns.map(({ column }) => cells.get(column)).filter(Boolean)));
  if ($("#grid [tabindex='0']")) return;
  const problems = tds().filter(({ cell }) => cell && isProblem(cell));
  problems.sort((one, other) => other.cellIndex - one.cellIndex);
  setTabStop(problems[0] ?? gridCells(0).at(-1)); // the newest problem, or the newest window
}

function showCells(lines, columns) {
  lines.forEach((line, y) => {
    const cells = gridCells(y);
    columns.forEach(({ column }, x) => showCell(cells[x + 1], line.cells.get(column)));
  });
}

const gridCells = (y) => [...($("#grid").tBodies[0]?.rows[y]?.cells ?? [])];
const tds = () => [...$("#grid").querySelectorAll("td")];
const tdOf = (key) => (key ? tds().find((td) => td.cell && keyOf(td.cell) === key) : undefined);

/** Build the table. It has new lines or columns, for example once an hour; focus and scroll position stay. */
function buildGrid(lines, columns) {
  const scroller = $("#scroller");
  const fromEnd = drawn.shape ? scroller.scrollWidth - scroller.scrollLeft : 0;
  const focused = document.activeElement.cell;
  $("#grid").style.setProperty("--cell", columns.length > 72 ? "14px" : columns.length > 36 ? "20px" : "28px");
  const groups = columns.map(({ start, end }) => groupText(start, end));
  const isFirst = groups.map((group, index) => group !== groups[index - 1]);
  const head = (scope, text, properties) =>
    element("th", { scope, ...properties }, element("span", { textContent: text }));
  const groupHeads = [...new Set(groups)].map((group) =>
    head("colgroup", group, { className: "first", colSpan: groups.filter((each) => each === group).length }));
  const heads = columns.map(({ start, end }) =>
    head("col", columnText(start, end), { ariaLabel: windowText(start, end) }));
  const rows = lines.map(({ name }) => {
    const cells = isFirst.map((first) => Object.assign(element("td", { tabIndex: -1 }), { isFirst: first }));
    return element("tr", {}, head("row", name, { className: "row", title: name }), ...cells);
  });
  $("#grid").replaceChildren(
    element("colgroup", {}, element("col", { className: "row" }), element("col", { span: columns.length })),
    element("thead", {},
      element("tr", {}, head("col", "UTC", { className: "row", rowSpan: 2 }), ...groupHeads),
      element("tr", {}, ...heads)),
    element("tbody", {}, ...rows),
  );
  showCells(lines, columns);
  scroller.scrollLeft = scroller.scrollWidth - fromEnd;
  if (focused) tdOf(keyOf(focused))?.focus({ preventScroll: true });
}

/** Return what consecutive columns have in common: their day, month or year. */
function groupText(start, end) {
  const middle = (start + end) / 2;
  if (end - start < 22 * HOUR) return `${WEEKDAYS[new Date(start).getUTCDay()]} ${dayText(start)}`;
  return `${end - start < 27 * DAY ? `${monthOf(middle)} ` : ""}${yearOf(middle)}`;
}

function columnText(start, end) {
  const middle = (start + end) / 2;
  if (end - start < 22 * HOUR) return start % (3 * HOUR) === 0 ? clock(start).slice(0, 2) : "";
  return end - start < 27 * DAY ? `${new Date(middle).getUTCDate()}` : monthOf(middle);
}

function showCell(td, cell) {
  td.cell = cell;
  const name = cell ? nameOf(cell) : "no window";
  if (td.ariaLabel === name) return;
  td.ariaLabel = name;
  td.className = cell ? classOf(cell.state) : "blank";
  td.classList.toggle("earlier", Boolean(cell) && hadFailure(cell));
  td.classList.toggle("first", td.isFirst);
  td.textContent = cell ? glyphOf(cell) : "";
}

function showLegend(cells) {
  const entries = [
    ...Object.keys(STATES).reverse().map((state) => [state, ...STATES[state], (cell) => cell.state === state]),
    ["ok", STATES.ok[0], "failed before", hadFailure, "earlier"],
    ["ok", AGAIN, "saved again after it was reconciled", ({ savedAgain }) => savedAgain],
    ["ok", FEW, "less than half of the usual size", isFew],
  ];
  const items = entries.map(([state, glyph, words, isCounted, more]) =>
    [words, cells.filter(isCounted).length, state, glyph, more]);
  showItems($("#legend"), items, ([words]) => words, ([words, count, ...parts]) =>
    element("li", {}, mark(...parts), `${words}: ${number(count)}`));
}

function setTabStop(td) {
  for (const old of $("#grid").querySelectorAll("[tabindex='0']")) old.tabIndex = -1;
  if (td) td.tabIndex = 0;
}

/** Scroll a cell into view, from under the heads of the rows, too. */
function reveal(td) {
  const scroller = $("#scroller");
  const least = td.offsetLeft + td.offsetWidth + 20 - scroller.clientWidth;
  const most = td.offsetLeft - $("#grid th").offsetWidth - 20;
  scroller.scrollLeft = Math.max(least, Math.min(most, scroller.scrollLeft));
}

function focusCell(td) {
  setTabStop(td);
  td.focus({ preventScroll: true });
  reveal(td);
  td.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Go to the next problem (1) or the previous one (-1), line by line; after the last comes the first. */
function goToProblem(step) {
  const all = tds();
  const from = all.findIndex((td) => td.tabIndex === 0);
  const ordered = all.map((_, index) => all.at((from + step * (index + 1)) % all.length));
  const td = ordered.find(({ cell }) => cell && isProblem(cell));
  if (!td) return;
  if (view.cell) openCell(keyOf(td.cell));
  focusCell(td);
}

function pressInGrid(event) {
  const td = event.target.closest("td");
  if (!td || event.altKey || event.metaKey || event.shiftKey) return;
  const row = td.parentElement;
  const line = !event.ctrlKey ? row : event.key === "Home" ? row.parentElement.firstChild : row.parentElement.lastChild;
  const target = {
    ArrowLeft: row.cells[Math.max(1, td.cellIndex - 1)],
    ArrowRight: td.nextElementSibling,
    ArrowUp: row.previousElementSibling?.cells[td.cellIndex],
    ArrowDown: row.nextElementSibling?.cells[td.cellIndex],
    Home: line.cells[1],
    End: line.lastChild,
  };
  if (event.key === "Enter" || event.key === " ") openCell(td.cell && keyOf(td.cell), {}, true);
  else if (event.key in target) focusCell(target[event.key] ?? td);
  else return;
  event.preventDefault();
}

function showControls() {
  const names = resolutions().map((name) => ({ name, isShown: name === resolution() }));
  showItems($("#resolutions span"), names, ({ name }) => name, ({ name, isShown }) =>
    element("label", {}, element("input", { type: "radio", name: "resolution", value: name, checked: isShown }), name));
  const form = $("#view").elements;
  const rangeText = (text) => `last ${text.replace("d", " days").replace("h", " hours")}`;
  setOptions(form.window, ranges().map((text) => [text, rangeText(text)]), range());
  for (const name of ["etl", "operation"]) {
    const values = new Set(rows().map((row) => row[name]));
    setOptions(form[name], [["", "all"], ...[...values].map((value) => [value, value])], view[name]);
  }
}

// ---- The drawer: one window

const drawer = { cell: "", events: null, isComplete: true, problem: "", seen: "" };

/** Show a window in the drawer. Opening it is a step of the history; another window takes the place of the first. */
function openCell(key, changes = {}, takesFocus = false) {
  if (!key) return;
  navigate({ ...changes, cell: key }, !view.cell);
  if (tdOf(key)) setTabStop(tdOf(key));
  if (takesFocus) $("#drawer h2").focus();
}

function closeDrawer() {
  const td = tdOf(view.cell);
  if (history.state?.opensDrawer) history.back();
  else navigate({ cell: "" });
  if (td) focusCell(td);
}

/** Return the chosen cell, those of the other operations of its set, and the cell before it. */
function chosenCells() {
  const [etl, operation] = view.cell.split("/");
  const rows = [...data.week.rows, ...data.range.rows];
  const cells = rows.filter((row) => row.etl === etl && row.resolution === resolution()).flatMap(cellsOf);
  const chosen = cells.find((cell) => keyOf(cell) === view.cell);
  const same = cells.filter(({ start, end }) => start === chosen?.start && end === chosen.end);
  const earlier = cells.filter((cell) => cell.operation === operation && cell.end <= chosen?.start);
  return {
    chosen,
    operations: [...new Map(same.map((cell) => [cell.operation, cell])).values()],
    before: earlier.findLast(({ size }) => typeof size === "number"),
  };
}

function showDrawer() {
  const dialog = $("#drawer");
  if (!view.cell) dialog.close();
  if (drawer.cell !== view.cell) Object.assign(drawer, { cell: view.cell, events: null, problem: "", seen: "" });
  if (!view.cell) return;
  const { chosen, operations, before } = chosenCells();
  const parts = chosen
    ? [["head", chosen], ["state", chosen, before], ["operations", chosen, operations]]
    : [["none"]];
  if (chosen) parts.push(["events", chosen, drawer, runNames(), source.facts]);
  showItems(dialog, parts, ([part]) => part, ([part, ...facts]) => DRAWER[part](...facts));
  if (dialog.open) return;
  dialog.show();
  if (tdOf(view.cell)) reveal(tdOf(view.cell));
}

const section = (title, ...content) => element("div", {}, element("h3", { textContent: title }), ...content);

/** The parts of the drawer, each from the facts that it depends on. */
const DRAWER = {
  none: () => drawerHead("Not in this range", "Choose a longer range to see this window."),
  head: ({ etl, operation, start, end }) => drawerHead(`${etl} ${operation}`, `${windowText(start, end)} UTC`),
  state: (cell, before) => {
    const { state, error, due, end, size, usual, succeeded, failed } = cell;
    const text = element("p", { className: "state" }, markOf(cell), ` ${stateText(cell)}`);
    if (state === "missing") text.append("; ", age(due));
    const facts = element("dl");
    const fact = (term, ...value) => facts.append(element("dt", { textContent: term }), element("dd", {}, ...value));
    if (succeeded) fact("Last success", ...withAge(parseTime(succeeded)));
    if (failed) fact("Last failure", ...withAge(parseTime(failed)));
    if (error) fact("Its error", errorText(error));
    fact("Due", `${minuteText(due)}, ${durationText(due - end)} after its end`);
    if (typeof size === "number") fact("Size", plural(size, "record"));
    if (before) fact("Size before", `${plural(before.size, "record")}, of ${windowText(before.start, before.end)}`);
    if (usual !== undefined) fact("Usual size", `${plural(usual, "record")}, the median`);
    return element("div", {}, text, facts, copyLine(cell));
  },
  operations: (chosen, cells) => section("All operations on this set", element("ul", {}, ...cells.map((cell) => {
    const { operation } = cell;
    const isChosen = operation === chosen.operation;
    const name = isChosen
      ? element("strong", { textContent: operation })
      : button(operation, () => openCell(keyOf(cell)));
    return element("li", {}, markOf(cell), element("span", {}, name, ` ${stateText(cell)}`));
  }))),
  events: (chosen, { events, isComplete, problem }) => {
    const content = events ? eventStory(chosen, events, isComplete) : [problem || "Reading …"];
    return section("Its events, the oldest first", ...content);
  },
};

const drawerHead = (title, text) =>
  element("header", {},
    element("div", {},
      element("h2", { id: "drawer-title", tabIndex: -1, textContent: title }),
      element("p", { textContent: text })),
    element("button", { type: "button", ariaLabel: "Close", textContent: "✕", onclick: closeDrawer }));

function copyLine({ start, end }) {
  const code = element("code", { textContent: `${iso(start)},${iso(end)}` });
  const copy = element("button", { type: "button", textContent: "Copy window" });
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch { // browsers have a clipboard only for pages of this machine or over https
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected: press Ctrl+C";
    }
  };
  return element("p", {}, copy, " ", code);
}

function eventStory(chosen, events, isComplete) {
  const sizes = {}; // by operation, so far
  const items = events.map((event) => {
    const { metadata: { size, error }, time, run, traceId, spanId } = event;
    const operation = operationOf(event);
    const before = operation in sizes ? `, before ${number(sizes[operation])}` : "";
    if (size !== undefined) sizes[operation] = size;
    const text = list(size !== undefined && `${plural(size, "record")}${before}`, error && errorText(error));
    const name = element(operation === chosen.operation ? "strong" : "span", { textContent: eventText(event) });
    return element("li", {}, moment(parseTime(time)), " ", name, ` ${text} `, ...links(run, traceId, spanId));
  });
  const note = !isComplete ? "Older events were not looked at." : items.length ? "" : "None is kept.";
  return [element("ol", {}, ...items), element("p", { className: "note", textContent: note })];
}

/** Read the events of the chosen window, unless nothing has happened to it since they were read. */
async function readDrawer() {
  const { chosen, operations } = view.cell ? chosenCells() : {};
  const seen = JSON.stringify([view.cell, operations]);
  if (!chosen || drawer.seen === seen) return;
  const { etl, start, end } = chosen;
  const isOfWindow = ({ etl: its, metadata: { window } }) =>
    its === etl && window?.start && window.end && parseTime(window.start) === start && parseTime(window.end) === end;
  const wanted = operations.reduce((sum, { successes = 0, failures = 0 }) => sum + successes + failures, 0);
  const filter = { setWindow: `${iso(start)},${iso(end)}`, kind: SETS[etl], limit: 256 };
  try {
    const { events, next } = wanted ? await readMatches(filter, isOfWindow, wanted) : { events: [] };
    const isComplete = !next || events.length >= wanted;
    Object.assign(drawer, { events: events.reverse(), isComplete, problem: "", seen });
  } catch (error) {
    if (current.signal.aborted) throw error;
    drawer.problem = error.message;
  }
}

// ---- Errors, runs and events

const isError = ({ kind, metadata }) => metadata.error !== undefined || /Error(Event)?$/.test(kind);
const resultOf = ({ kind }) => kind.replace(/^(Allocation|Asset)Set|Event$/g, "");
const eventText = (event) => (isError(event) ? `${operationOf(event)} failed` : resultOf(event).toLowerCase());

function operationOf(event) {
  if (event.metadata.operation) return event.metadata.operation;
  const operation = Object.keys(PAST).find((each) => PAST[each] === resultOf(event).toLowerCase());
  return operation ?? (resultOf(event) === "ReconcileError" ? "reconcile" : "compute");
}

const runNames = () => Object.fromEntries((data.runs ?? []).map(({ id, name }) => [id, name]));

/** Return links to the events of a run and to a trace, as far as they are known; only http and https become links. */
function links(run, traceId, spanId) {
  const found = [];
  const name = `${runNames()[run] ?? "run"} ${run?.slice(0, 8)}`;
  if (run) found.push(button(name, () => showEventsOf({ run }), { title: `the events of run ${run}` }), " ");
  const href = (source.facts.traceUrl ?? "").replaceAll("{trace_id}", traceId).replaceAll("{span_id}", spanId ?? "");
  if (traceId && /^https?:\/\//.test(href)) {
    found.push(element("a", { href, target: "_blank", rel: "noopener noreferrer", textContent: "trace" }));
  } else if (traceId) found.push(element("code", { textContent: traceId }));
  return found;
}

/** List the events of a selection; Back leads to where the link was. */
function showEventsOf(selection) {
  navigate({ kind: "", run: "", errors: "", etl: "", ...selection }, true);
  $("#events").scrollIntoView();
  $("#events h2").focus({ preventScroll: true });
}

function showErrors() {
  const { events, next } = data.errors ?? { events: [] };
  const groups = Map.groupBy(events, ({ metadata }) => metadata.error?.type ?? "unknown"); // the newest first
  const items = [...groups].map(([type, own]) => ({
    type,
    count: own.length,
    last: parseTime(own[0].time),
    first: parseTime(own.at(-1).time),
    where: list(...new Set(own.map((event) => `${event.etl} ${operationOf(event)}`))),
    message: own[0].metadata.error?.message ?? "",
  }));
  let note = items.length ? "" : "No error is kept.";
  const oldest = events.at(-1);
  if (next && oldest) note = `Of the newest ${events.length} errors, since ${secondText(parseTime(oldest.time))}.`;
  showPanel($("#errors"), data.errors, note, items, ({ type }) => type, errorRow);
}

function errorRow({ type, count, last, first, where, message }) {
  const show = () => showEventsOf({ errors: type === "unknown" ? "true" : type });
  return tableRow({},
    ["", button(type, show, { title: `the events with a ${type}` })],
    ["number", number(count)],
    ["nowrap", ...withAge(last)],
    ["nowrap", moment(first)],
    ["", where],
    ["message", message]);
}

function showPanel(panel, isRead, note, items, keyOf, build) {
  setText($(".note", panel), isRead ? note : "Reading …");
  $("table", panel).hidden = !items.length;
  showItems($("tbody", panel), items, keyOf, build);
}

const WITHOUT_JOURNAL =
  "Only a journal has runs, traces and older events: this source has the newest 256 events of each kind.";
const expanded = new Set(); // the runs whose processes are shown

function showRuns() {
  const runs = data.runs ?? [];
  const byId = new Map(runs.map((run) => [run.id, run]));
  const rootOf = (run) => (byId.has(run.parent) ? rootOf(byId.get(run.parent)) : run);
  const items = [...Map.groupBy(runs, (run) => rootOf(run).id)].flatMap(([id, family]) => {
    const children = family.filter((run) => run.id !== id);
    const bad = children.filter(({ outcome }) => outcome === "failed" || outcome === "killed").length;
    const root = { run: byId.get(id), children: children.length, bad, isOpen: expanded.has(id), facts: source.facts };
    return [root, ...(root.isOpen ? children.map((run) => ({ run })) : [])];
  });
  const note = source.lacks.has("runs") ? WITHOUT_JOURNAL : items.length ? "" : "No run has written events yet.";
  showPanel($("#runs"), data.errors, note, items, ({ run }) => run.id, runRow);
  $("#more-runs").hidden = runs.filter((run) => rootOf(run) === run).length < data.runLimit;
}

function runRow({ run, children, bad, isOpen }) {
  const { id, name, program, service, host, pid, started, ended, lastEvent, outcome, detail, traceId } = run;
  const [state, words] = OUTCOMES[outcome] ?? ["unknown", outcome];
  const place = list(program !== name && program, service, host, `process ${pid}`);
  const end = ended ?? (outcome === "killed" ? lastEvent : null);
  const duration = end ? durationText(parseTime(end) - parseTime(started)) : "";
  return tableRow({ className: children === undefined ? "child" : "" },
    ["nowrap", mark(state), ` ${words}`, detail && element("div", { className: "message", textContent: detail })],
    ["", element("strong", { textContent: name }), ` ${place} `,
      children > 0 && familyButton(id, children, bad, isOpen)],
    ["nowrap", ...withAge(parseTime(started))],
    ["nowrap", outcome === "killed" && duration ? `at least ${duration}` : duration],
    ["number", number(run.allEvents ?? run.events)],
    ["number", number(run.allErrors ?? run.errors)],
    ["nowrap", ...links(id, traceId)]);
}

/** Return the button that shows and hides the processes that a run started. */
function familyButton(id, children, bad, isOpen) {
  const count = `${children} ${children === 1 ? "process" : "processes"}${bad ? `, ${bad} failed or killed` : ""}`;
  const toggle = () => {
    if (!expanded.delete(id)) expanded.add(id);
    showRuns();
  };
  const text = `${isOpen ? "−" : "+"} ${count}`;
  return element("button", { type: "button", ariaExpanded: `${isOpen}`, textContent: text, onclick: toggle });
}

const feedFilter = () => {
  return { kind: view.kind || SETS[view.etl], run: view.run, error: view.errors && "true", limit: PAGE_SIZE };
};
const isInFeed = ({ etl, metadata }) =>
  (!view.etl || etl === view.etl) && (["", "true"].includes(view.errors) || metadata.error?.type === view.errors);

/** Read the newest events. Those that were there before stay, with the older ones that somebody asked for. */
async function readFeed() {
  const filter = JSON.stringify([feedFilter(), view.errors]);
  try {
    const page = await readMatches(feedFilter(), isInFeed);
    const known = new Set(filter === feed.filter ? feed.events.map(({ cursor }) => cursor) : []);
    const first = page.events.findIndex(({ cursor }) => known.has(cursor));
    if (first < 0 || source.lacks.has("events")) Object.assign(feed, page);
    else feed.events.unshift(...page.events.slice(0, first));
    Object.assign(feed, { filter, problem: "" });
  } catch (error) {
    if (error.status !== 400) throw error;
    Object.assign(feed, { filter, events: [], next: null, problem: error.message }); // of a URL that somebody wrote
  }
}

async function showOlder() {
  const { filter } = feed;
  try {
    const { events, next } = await readMatches(feedFilter(), isInFeed, 1, feed.next);
    if (filter === feed.filter) Object.assign(feed, { events: [...feed.events, ...events], next });
    showEvents();
  } catch (error) {
    setText($("#events .note"), `Older events cannot be read: ${error.message}`);
  }
}

function showEvents() {
  const form = $("#filter").elements;
  const same = (values) => [...values].map((value) => [value, value]);
  const kinds = Object.values(SETS).flatMap((set) => RESULTS.map((result) => `${set}${result}`));
  const types = new Set((data.errors?.events ?? []).flatMap(({ metadata }) => metadata.error?.type ?? []));
  const runs = (data.runs ?? []).map(({ id, name, started }) =>
    [id, `${name} ${id.slice(0, 8)}, ${minuteText(parseTime(started))}`]);
  setOptions(form.kind, [["", "all"], ...same(kinds)], view.kind);
  setOptions(form.etl, [["", "all"], ...same(Object.keys(SETS))], view.etl);
  setOptions(form.run, [["", "all"], ["last", "the newest"], ...runs], view.run);
  const only = [...types].map((type) => [type, `only ${type}`]);
  setOptions(form.errors, [["", "all"], ["true", "errors only"], ...only], view.errors);
  form.run.parentElement.hidden = source.lacks.has("runs");
  const none = feed.next ? "None of the newest events matches." : "No event matches.";
  const isEmpty = !feed.events.length && !feed.problem;
  const notes = [feed.problem, source.lacks.has("events") && WITHOUT_JOURNAL, isEmpty && none];
  const note = notes.filter(Boolean).join(" ");
  const items = feed.events.map((event) => ({ event, name: runNames()[event.run], facts: source.facts }));
  showPanel($("#events"), data.errors, note, items, ({ event }) => event.cursor, eventRow);
  $("#older").hidden = !feed.next;
  $("#clear").hidden = !["kind", "run", "errors", "etl"].some((name) => view[name]);
}

function eventRow({ event }) {
  const { etl, kind, metadata: { size, window, error }, time, run, traceId, spanId } = event;
  const isClosed = window?.start && window.end;
  const open = `${window?.start ?? "…"} – ${window?.end ?? "…"}`;
  const bounds = isClosed ? windowText(parseTime(window.start), parseTime(window.end)) : open;
  return tableRow({},
    ["nowrap", moment(parseTime(time))],
    ["", etl],
    ["nowrap", mark(isError(event) ? "failed" : size === 0 ? "empty" : "ok"),
      element("span", { title: kind, textContent: ` ${eventText(event)}` })],
    ["nowrap", window && bounds],
    ["number", size !== undefined && number(size)],
    ["message", error && errorText(error)],
    ["nowrap", ...links(run, traceId, spanId)]);
}

// ---- Start

function showAll() {
  if (!data.range) return;
  document.body.classList.remove("unread");
  const { source: name, version, report } = source.facts;
  const read = `read at ${iso(source.now).slice(11, 19)}`;
  setText($("#source"), list(name, read, "all times are UTC", version && `otel-kcevents ${version}`));
  $("#report").hidden = !report;
  const parts = [showVerdict, showProblems, showControls, showGrid, showErrors, showRuns, showEvents, showDrawer];
  for (const show of [...parts, showFreshness]) show();
}

function listen() {
  const on = (selector, type, handle) => $(selector).addEventListener(type, handle);
  const tell = ({ target }) => {
    const cell = target.closest("td")?.cell;
    if (cell) $("#readout").textContent = nameOf(cell);
  };
  on("#grid", "keydown", pressInGrid);
  on("#grid", "click", ({ target }) => {
    const cell = target.closest("td")?.cell;
    if (cell) openCell(keyOf(cell));
  });
  on("#grid", "pointerover", tell);
  on("#grid", "focusin", tell);
  on("#next", "click", () => goToProblem(1));
  on("#previous", "click", () => goToProblem(-1));
  on("#columns", "keydown", ({ key, target, ctrlKey, altKey, metaKey }) => {
    if (ctrlKey || altKey || metaKey) return;
    if (key === "Escape" && view.cell) closeDrawer();
    else if ((key === "n" || key === "p") && target.closest("#grid, #drawer")) goToProblem(key === "n" ? 1 : -1);
  });
  on("#view", "change", ({ target: { name, value } }) => {
    navigate(name === "resolution" ? { resolution: value, window: "", cell: "" } : { [name]: value });
  });
  on("#filter", "change", ({ target: { name, value } }) => navigate({ [name]: value }));
  on("#clear", "click", () => navigate({ kind: "", run: "", errors: "", etl: "" }));
  on("#older", "click", showOlder);
  on("#more-runs", "click", () => {
    data.runLimit *= 5;
    restart();
  });
  addEventListener("popstate", () => {
    readView();
    showAll();
    restart();
  });
  document.addEventListener("visibilitychange", () => {
    showFreshness();
    if (!document.hidden) wake();
  });
  setInterval(showFreshness, SECOND);
}

readView();
listen();
keepReading();
