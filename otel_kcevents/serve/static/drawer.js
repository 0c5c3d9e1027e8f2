/** The drawer: one window with its facts, the other operations on its set, and its events. */

import { cellsOf, keyOf, markOf, stateText } from "./cells.js";
import { $, button, copyText, element, showItems } from "./dom.js";
import { closeDrawer, openCell, reveal, tdOf } from "./grid.js";
import { links } from "./panels.js";
import { isInterrupted, readMatches } from "./source.js";
import { data, resolution, runNames, source, view } from "./state.js";
import { age, durationText, iso, minuteText, moment, parseTime, windowText, withAge } from "./times.js";
import { errorText, eventText, list, number, operationOf, plural, SETS } from "./words.js";

const drawer = { cell: "", events: null, isComplete: true, problem: "", seen: "" };

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

/** Return words for a reconcile that was ok if the same set, or others inside its window, were saved again since. */
function againText({ etl, start, end }, operations) {
  if (operations.some(({ savedAgain }) => savedAgain)) return "but of the earlier save";
  const saves = data.week.rows.filter((row) => row.etl === etl && row.operation === "save").flatMap(cellsOf);
  const { length } = saves.filter((cell) => cell.savedAgain && start <= cell.start && cell.end <= end);
  if (!length) return "";
  const least = start < parseTime(data.week.window.start) ? "at least " : ""; // earlier ones were not read
  return `but ${least}${plural(length, "window")} in it ${length === 1 ? "was" : "were"} saved again`;
}

export function showDrawer() {
  const dialog = $("#drawer");
  if (!view.cell) dialog.close();
  if (drawer.cell !== view.cell) Object.assign(drawer, { cell: view.cell, events: null, problem: "", seen: "" });
  if (!view.cell) return;
  const { chosen, operations, before } = chosenCells();
  const parts = chosen
    ? [["head", chosen], ["state", chosen, before], ["operations", chosen, operations, againText(chosen, operations)]]
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
    const { state, error, due, end, size, usual, succeeded, failed, first } = cell;
    const text = element("p", { className: "state" }, markOf(cell), ` ${stateText(cell)}`);
    if (state === "missing") text.append("; ", age(due));
    const facts = element("dl");
    const fact = (term, ...value) => facts.append(element("dt", { textContent: term }), element("dd", {}, ...value));
    if (first) fact("First event", `of ${windowText(parseTime(first.start), parseTime(first.end))}`);
    if (succeeded) fact("Last success", ...withAge(parseTime(succeeded)));
    if (failed) fact("Last failure", ...withAge(parseTime(failed)));
    if (error) fact("Its error", errorText(error));
    fact("Due", `${minuteText(due)}, ${durationText(due - end)} after its end`);
    if (typeof size === "number") fact("Size", plural(size, "record"));
    if (before) fact("Size before", `${plural(before.size, "record")}, of ${windowText(before.start, before.end)}`);
    if (usual !== undefined) fact("Usual size", `${plural(usual, "record")}, the median`);
    return element("div", {}, text, facts, copyLine(cell));
  },
  operations: (chosen, cells, again) => section("All operations on this set", element("ul", {}, ...cells.map((cell) => {
    const { operation } = cell;
    const isChosen = operation === chosen.operation;
    const name = isChosen
      ? element("strong", { textContent: operation })
      : button(operation, () => openCell(keyOf(cell)));
    const text = list(stateText(cell), operation === "reconcile" && cell.state === "ok" && again);
    return element("li", {}, markOf(cell), element("span", {}, name, ` ${text}`));
  }))),
  events: (chosen, { events, isComplete, problem }) => {
    const content = events ? eventStory(chosen, events, isComplete) : [problem || "Reading …"];
    return section("Its events, oldest first", ...content);
  },
};

const drawerHead = (title, text) =>
  element("header", {},
    element("div", {},
      element("h2", { id: "drawer-title", tabIndex: -1, textContent: title }),
      element("p", { textContent: text })),
    element("button", { type: "button", ariaLabel: "Close", textContent: "✕", onclick: closeDrawer }));

function copyLine({ start, end }) {
  const text = `${iso(start)},${iso(end)}`;
  const code = element("code", { textContent: text });
  const copy = element("button", { type: "button", textContent: "Copy window" });
  copy.onclick = () => copyText(text, copy, code);
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
  const note = !isComplete ? "Older events were not searched." : items.length ? "" : "No events are kept.";
  return [element("ol", {}, ...items), element("p", { className: "note", textContent: note })];
}

/** Read the events of the chosen window, unless nothing has happened to it since they were read. */
export async function readDrawer() {
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
    const isComplete = events.length >= wanted || (!next && !source.lacks.has("events"));
    Object.assign(drawer, { events: events.reverse(), isComplete, problem: "", seen });
  } catch (error) {
    if (isInterrupted()) throw error;
    drawer.problem = error.message;
  }
}
