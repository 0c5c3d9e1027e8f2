/** The page for people: the entry. It reads the JSON of the source every 10 seconds and shows it. */

import { cellsOf, isProblem, keyOf, nameOf } from "./cells.js";
import { $, element, setOptions, setText, showItems } from "./dom.js";
import { readDrawer, showDrawer } from "./drawer.js";
import { readFeed, showEvents, showOlder } from "./events.js";
import { closeDrawer, goToProblem, openCell, pressInGrid, showEdges, showGrid } from "./grid.js";
import { showErrors, showRuns } from "./panels.js";
import { keepReading, read, readEvents, readIfThere, readRange, restart, wakeUp } from "./source.js";
import { data, navigate, range, ranges, readView, resolution, resolutions, rows, source, view } from "./state.js";
import { agoText, asOfText, iso, parseTime, SECOND, secondText } from "./times.js";
import { showProblems, showTab, showVerdict } from "./verdict.js";
import { list, plural } from "./words.js";

const STALE_AFTER = 75 * SECOND; // more than any pause: the computer slept, or the browser stopped the tab

/** Read everything, one request after the other, since a server in an ETL program has little time for this page. */
async function readAll() {
  const week = await read("coverage", { window: "7d" });
  Object.assign(source, { now: parseTime(week.now), asOf: week.asOf ? parseTime(week.asOf) : null, receivedAt: Date.now() });
  data.week = week;
  source.facts = await readIfThere("page", {}, source.facts);
  data.range = range() === "7d" ? week : await readRange();
  showAll();
  data.runs = await readIfThere("runs", { limit: data.runLimit }, []);
  data.log = null; // read again when needed: only if the source has no pages of events
  data.errors = await readEvents({ error: "true", limit: 256 });
  await readFeed();
  await readDrawer();
  Object.assign(source, { failures: 0, problem: "" });
  showAll();
}

/** Show whether the data is current. One failure is retried first; after two, the page is grey and says why. */
function showFreshness() {
  const isFirst = source.now === null;
  const isStale = source.failures > 1 || (!isFirst && Date.now() - source.receivedAt > STALE_AFTER);
  const why = source.problem || "the last answer is too old";
  const since = isFirst ? "No answer yet" : `No answer since ${secondText(source.asOf === null ? source.now : source.receivedAt)} UTC`;
  document.body.classList.toggle("stale", isStale);
  setText($("#stale"), isStale ? `${since}: ${why}${isFirst ? "" : ". This page shows what was known then."}` : "");
  if (isFirst && isStale) setText($("#verdict"), "The state is unknown until the source answers.");
  showTab(isStale);
  for (const node of document.querySelectorAll(".age")) {
    const text = agoText(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  }
}

function showAll() {
  if (!data.range) return;
  document.body.classList.remove("unread");
  const { source: name, version, report } = source.facts;
  const read = asOfText() ? `a snapshot ${asOfText()}` : `read at ${iso(source.now).slice(11, 19)}`;
  setText($("#source"), list(name, read, "all times are UTC", version && `otel-kcevents ${version}`));
  $("#report").hidden = !report;
  const parts = [showVerdict, showProblems, showControls, showGrid, showErrors, showRuns, showEvents, showDrawer];
  for (const show of [...parts, showFreshness]) show();
}

/** Return how many windows of a resolution have problems: those of the one that is not shown are in no cell. */
function problemsOf(name) {
  const cells = rows().filter((row) => row.resolution === name).flatMap(cellsOf).filter(isProblem);
  return new Set(cells.map(({ etl, start, end }) => [etl, start, end].join())).size;
}

function showControls() {
  const names = resolutions().map((name) => ({ name, isShown: name === resolution(), problems: problemsOf(name) }));
  showItems($("#resolutions span"), names, ({ name }) => name, ({ name, isShown, problems }) =>
    element("label", {},
      element("input", { type: "radio", name: "resolution", value: name, checked: isShown }),
      problems ? `${name} (${plural(problems, "problem")})` : name));
  const form = $("#view").elements;
  const rangeText = (text) => `last ${text.replace("d", " days").replace("h", " hours")}`;
  setOptions(form.window, ranges().map((text) => [text, rangeText(text)]), range());
  for (const name of ["etl", "operation"]) {
    const values = new Set(rows().map((row) => row[name]));
    setOptions(form[name], [["", "all"], ...[...values].map((value) => [value, value])], view[name]);
  }
}

function listen() {
  const on = (selector, type, handle) => $(selector).addEventListener(type, handle);
  const showName = ({ target }) => {
    const cell = target.closest("td")?.cell;
    if (cell) $("#readout").textContent = nameOf(cell);
  };
  on("#grid", "keydown", pressInGrid);
  on("#grid", "click", ({ target }) => {
    const cell = target.closest("td")?.cell;
    if (cell) openCell(keyOf(cell));
  });
  on("#grid", "pointerover", showName);
  on("#grid", "focusin", showName);
  on("#scroller", "scroll", showEdges);
  new ResizeObserver(() => requestAnimationFrame(showEdges)).observe($("#scroller"));
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
  document.addEventListener("navigate", () => {
    showAll();
    restart();
  });
  addEventListener("popstate", () => {
    readView();
    showAll();
    restart();
  });
  document.addEventListener("visibilitychange", () => {
    showFreshness();
    if (!document.hidden) wakeUp();
  });
  setInterval(showFreshness, SECOND);
}

readView();
listen();
keepReading(readAll, showFreshness);
