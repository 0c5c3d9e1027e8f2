/** The grid of windows: its table, the legend, moving in it with keys, and opening a window. */

import { cellsOf, glyphOf, hadFailure, isFew, isProblem, keyOf, nameOf, periodOf } from "./cells.js";
import { $, element, setText, showItems } from "./dom.js";
import { data, navigate, resolution, rows, view } from "./state.js";
import { clock, DAY, dayText, HOUR, monthOf, WEEKDAYS, windowText, yearOf } from "./times.js";
import { AGAIN, classOf, FEW, list, mark, number, plural, STATES } from "./words.js";

const MAX_COLUMNS = 168;
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

export function showGrid() {
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
  const problems = tds().filter(({ cell }) => cell && isProblem(cell));
  for (const each of [$("#previous"), $("#next")]) each.disabled = !problems.length;
  if ($("#grid [tabindex='0']")) return;
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
export const tdOf = (key) => (key ? tds().find((td) => td.cell && keyOf(td.cell) === key) : undefined);

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
  showEdges();
  if (focused) tdOf(keyOf(focused))?.focus({ preventScroll: true });
}

/** Show how many columns are scrolled out of view, since not every system shows a scrollbar. */
export function showEdges() {
  const scroller = $("#scroller");
  const heads = [...($("#grid").tHead?.rows[1].cells ?? [])];
  const box = (node) => node.getBoundingClientRect();
  const middles = heads.map((head) => (box(head).left + box(head).right) / 2);
  const earlier = middles.filter((middle) => middle < box($("#grid th")).right).length; // below the heads of the rows
  const later = middles.filter((middle) => middle > box(scroller).right).length;
  const unit = { hourly: "hour", daily: "day", monthly: "month" }[resolution()] ?? "window";
  const before = earlier ? `← ${plural(earlier, `earlier ${unit}`)}` : "";
  const after = later ? `${plural(later, `later ${unit}`)} →` : "";
  setText($("#edges"), list(before, after));
  scroller.classList.toggle("cut", earlier > 0);
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
  showItems($("#legend"), items.filter(([, count]) => count), ([words]) => words, ([words, count, ...parts]) =>
    element("li", {}, mark(...parts), `${words}: ${number(count)}`));
}

function setTabStop(td) {
  for (const old of $("#grid").querySelectorAll("[tabindex='0']")) old.tabIndex = -1;
  if (td) td.tabIndex = 0;
}

/** Scroll a cell into view, from under the heads of the rows, too. */
export function reveal(td) {
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
export function goToProblem(step) {
  const all = tds();
  const from = all.findIndex((td) => td.tabIndex === 0);
  const ordered = all.map((_, index) => all.at((from + step * (index + 1)) % all.length));
  const td = ordered.find(({ cell }) => cell && isProblem(cell));
  if (!td) return;
  if (view.cell) openCell(keyOf(td.cell));
  focusCell(td);
}

export function pressInGrid(event) {
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

/** Show a window in the drawer. Opening it is a step of the history; another window takes the place of the first. */
export function openCell(key, changes = {}, takesFocus = false) {
  if (!key) return;
  navigate({ ...changes, cell: key }, !view.cell);
  if (tdOf(key)) setTabStop(tdOf(key));
  if (takesFocus) $("#drawer h2").focus();
}

export function closeDrawer() {
  const td = tdOf(view.cell);
  if (history.state?.opensDrawer) history.back();
  else navigate({ cell: "" });
  if (td) focusCell(td);
}
