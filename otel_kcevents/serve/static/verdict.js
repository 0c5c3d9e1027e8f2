/** The verdict, the list of problems, and the title and icon of the tab. */

import { cellsOf, isProblem, keyOf, precedesFirst, remember, stateText } from "./cells.js";
import { $, button, element, showItems } from "./dom.js";
import { openCell } from "./grid.js";
import { showEventsOf } from "./panels.js";
import { data, rows } from "./state.js";
import { age, asOfText, newestText, parseTime, windowText } from "./times.js";
import { AGAIN, AGAIN_TEXT, COUNTED, errorText, list, mark, number, OUTCOMES, PAST, plural, STATES } from "./words.js";

/** The fill and the ink of the icon in a state; grey in all others. */
const ICONS = {
  failed: ["#a3123a", "#ffffff"], missing: ["#ffffff", "#a3123a"],
  empty: ["#e69f00", "#1b1f24"], ok: ["#4f8fc4", "#071a2b"],
};

const MAX_PROBLEMS = 8;
const BAD = ["killed", "failed"]; // how runs end badly

function verdictOf(etl) {
  const own = rows().filter((row) => row.etl === etl);
  const windows = Map.groupBy(own.flatMap(cellsOf), ({ start, end }) => `${start}/${end}`);
  const counts = Object.fromEntries([...COUNTED, "before first", "again", "ok"].map((state) => [state, 0]));
  for (const cells of windows.values()) {
    const state = Object.keys(STATES).find((each) => cells.some((cell) => cell.state === each));
    if (state in counts) counts[state] += 1;
    if ((state === "not due" || state === "before first") && cells.some((cell) => cell.state === "ok")) counts.ok += 1;
    if (state !== "failed" && state !== "missing" && cells.some(({ savedAgain }) => savedAgain)) counts.again += 1;
  }
  const words = [...COUNTED, "again"].filter((state) => counts[state]).map((state, index) =>
    `${index ? number(counts[state]) : plural(counts[state], "window")} ${state === "again" ? AGAIN_TEXT : state}`);
  const without = data.week.withoutWindow.filter((failure) => failure.etl === etl);
  const failures = without.reduce((sum, { failures: count }) => sum + count, 0);
  if (failures) words.push(`${plural(failures, "failure")} without a window`);
  const before = counts["before first"];
  const all = counts.ok > 1 && !before ? "all " : "";
  if (!words.length && counts.ok) words.push(`${all}${plural(counts.ok, "window")} ok`);
  if (!words.length && !before) words.push("no window due yet");
  if (before) {
    const counted = words.length ? number(before) : plural(before, "window");
    words.push(`${counted}${counts.missing ? " more" : ""} missing before ${firstEventText(own)}`);
  }
  const calm = before ? "before first" : counts.ok ? "ok" : "not due";
  const state = failures ? "failed" : COUNTED.find((each) => counts[each]) ?? calm;
  const newest = newestOf(own);
  return { etl, state, counts, failures, words: `${words.join(", ")}${newest ? "" : "; no window succeeded yet"}`, newest };
}

/** Return which first event the missing windows precede: that of the etl, or of the operations that began later. */
function firstEventText(own) {
  const later = own.filter((row) => {
    const alike = own.filter(({ resolution }) => resolution === row.resolution);
    const since = Math.min(...alike.map(({ first }) => (first ? parseTime(first.start) : -Infinity)));
    return row.gaps.some((gap) => precedesFirst(row, gap) && parseTime(gap.end) > since);
  });
  const operations = [...new Set(later.map(({ operation }) => operation))];
  return operations.length ? `the first ${operations.join(" or ")}` : "its first event";
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

/** Return the runs that no other run has started, the newest first. */
const rootRuns = () => (data.runs ?? []).filter(({ parent }) => parent === null);

export function showVerdict() {
  const lines = [...verdictsOf(data.week)];
  if (!lines.length) lines.push({ etl: "no events yet", state: "not due", words: EMPTY });
  const [run, ...before] = rootRuns();
  const earlier = before.filter(({ started }) => parseTime(started) >= parseTime(data.week.window.start));
  const bad = earlier.filter(({ outcome }) => BAD.includes(outcome)).map(({ id, outcome }) => ({ id, outcome }));
  if (run || !data.runs) { // its line has a place before it is read
    lines.push({ etl: "newest run", run, bad, earlier: earlier.length });
  }
  showItems($("#verdict"), lines, ({ etl }) => etl, verdictLine);
}

function verdictLine({ etl, state, counts, words, newest, run, bad, earlier }) {
  const [runState] = OUTCOMES[run?.outcome] ?? ["unknown"];
  const text = element("span", {}, element("span", { className: "name", textContent: etl }), ": ");
  if (run) text.append(...runWords(run), ...badWords(bad, earlier));
  else {
    const asOf = words && asOfText() ? ` (${asOfText()})` : "";
    text.append(words ?? "reading …", newest ? `; ${newest.words}, ` : "", newest ? age(newest.time) : "", asOf);
  }
  const glyph = state === "ok" && counts.again ? AGAIN : undefined;
  return element("p", { className: "verdict" }, mark(state ?? runState, glyph), text);
}

/** Return the name of a run, how it ended, and when; of one that was killed, the last that is known. */
function runWords({ name, outcome, started, ended, lastEvent }) {
  const words = `${name}, ${OUTCOMES[outcome]?.[1] ?? outcome}`;
  if (ended) return [`${words} `, age(parseTime(ended))];
  if (outcome === "killed" && lastEvent) return [`${words}, last event `, age(parseTime(lastEvent))];
  return [`${words}, started `, age(parseTime(started))];
}

/** Return how many of the earlier runs ended badly, each outcome as a link to the events of the newest of its runs. */
function badWords(bad, earlier) {
  const counts = [...Map.groupBy(bad, ({ outcome }) => outcome)].flatMap(([outcome, [{ id }, ...others]], index) => {
    const title = `the events of ${others.length ? "the newest of them, " : ""}run ${id}`;
    const show = () => showEventsOf({ run: id });
    return [index ? ", " : "", button(`${number(others.length + 1)} ${outcome}`, show, { title })];
  });
  return counts.length ? [`; of the ${number(earlier)} before, `, ...counts] : [];
}

/** Show the problems one by one, the worst and newest first; what is equal in several operations is one line. */
export function showProblems() {
  const found = rows().flatMap((row) => [
    ...cellsOf(row).filter((cell) => cell.savedAgain || (isProblem(cell) && cell.state !== "missing")),
    ...row.gaps.filter((gap) => gap.state === "missing" && !precedesFirst(row, gap)).map(({ start, end, windows }) => {
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
  const order = ({ state }) => Object.keys(STATES).indexOf(state); // the verdict counts a window under the first
  const rank = { failed: 0, missing: 0, empty: 1, ok: 2 };
  lines.sort((one, other) => rank[one.state] - rank[other.state] || other.end - one.end || order(one) - order(other));
  const shown = lines.slice(0, lines.length === MAX_PROBLEMS + 1 ? undefined : MAX_PROBLEMS);
  if (shown.length < lines.length) shown.push({ key: "more", more: lines.length - shown.length });
  showItems($("#problems"), shown, ({ key }) => key, problemLine);
}

function problemLine(line) {
  const { etl, operation, resolution, state, start, end, windows, error, failures, failed, cell, more } = line;
  if (more) return element("li", { textContent: `and ${number(more)} more, in the grid` });
  const name = cell ? `${etl} ${operation} ${windowText(start, end)}` : `${etl} ${operation ?? ""}`.trim();
  const show = () => {
    const window = resolution === "hourly" ? "" : "7d"; // of the verdict: a longer range may show a time before the ETL
    if (cell) openCell(cell, { resolution, window, etl: "", operation: "" }, true);
    else showEventsOf({ etl, errors: error?.type ?? "true" });
  };
  const text = element("span", {}, button(name, show), " ");
  if (state !== "failed") text.append(windows > 1 ? `${number(windows)} windows ` : "", stateText(line));
  else {
    const words = cell ? "still failed, last tried " : `${plural(failures, "failure")} without a window, the last `;
    text.append(words, age(parseTime(failed)), error ? `: ${errorText(error)}` : "");
  }
  return element("li", {}, mark(state, state === "ok" ? AGAIN : undefined), text);
}

/** Show the state in the title and the icon of the tab: a person may look at nothing else. */
export function showTab(isStale) {
  const lines = data.week && !isStale ? verdictsOf(data.week) : [];
  const run = data.week && !isStale && rootRuns().slice(0, 1).find(({ outcome }) => BAD.includes(outcome));
  const states = [...lines.map((line) => line.state), run && OUTCOMES[run.outcome][0]];
  const worst = Object.keys(STATES).find((state) => states.includes(state)) ?? "unknown";
  const sum = (count) => lines.reduce((total, line) => total + count(line), 0);
  const [again, failures] = [sum(({ counts }) => counts.again), sum((line) => line.failures)];
  const sums = COUNTED.map((state) => [sum(({ counts }) => counts[state]), state]);
  const problems = list(
    ...[...sums, [again, "saved again"]].filter(([count]) => count).map(([count, words]) => `${number(count)} ${words}`),
    failures && `${plural(failures, "failure")} without a window`,
    run && `newest run ${run.outcome}`,
  );
  const rest = !lines.length ? "no events yet" : worst === "before first" ? "ok since the first event" : worst;
  const state = isStale ? "no answer" : !data.week ? "reading" : problems || rest;
  const glyph = again && !COUNTED.includes(worst) ? AGAIN : STATES[worst][0];
  const title = `${glyph} ${state} – Cost ETL`;
  if (document.title === title) return;
  document.title = title;
  const [fill, ink] = ICONS[worst] ?? ["#8a94a3", "#16181d"];
  const icon =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" font-family="sans-serif" font-size="13">` +
    `<rect x="1" y="1" width="14" height="14" rx="2" fill="${fill}" stroke="${ink}"/>` +
    `<text x="8" y="12.5" font-weight="bold" text-anchor="middle" fill="${ink}">${glyph}</text></svg>`;
  $("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
}
