/** The panel of the newest events, with its filters. */

import { $, element, setOptions, setText, tableRow } from "./dom.js";
import { eventsNote, links, showPanel, traceNote } from "./panels.js";
import { readMatches } from "./source.js";
import { data, feed, runNames, source, view } from "./state.js";
import { minuteText, moment, parseTime, windowText } from "./times.js";
import { errorText, eventText, isError, mark, number, SETS } from "./words.js";

const FEW_EVENTS = 20; // at first
const PAGE_SIZE = 50;
const RESULTS = ["Saved", "Loaded", "Aggregated", "Totaled", "Reconciled", "ComputeError", "ReconcileError"];
const feedFilter = () => ({ kind: view.kind || SETS[view.etl], run: view.run, error: view.errors && "true" });
const isInFeed = ({ etl, metadata }) =>
  (!view.etl || etl === view.etl) && (["", "true"].includes(view.errors) || metadata.error?.type === view.errors);

/** Read the newest events. Those that were there before stay, with the older ones that somebody asked for. */
export async function readFeed() {
  const filter = JSON.stringify([feedFilter(), view.errors]);
  try {
    const limit = feed.events.length > FEW_EVENTS ? PAGE_SIZE : FEW_EVENTS;
    const page = await readMatches({ ...feedFilter(), limit }, isInFeed);
    const last = page.events.at(-1)?.cursor; // of several sources, it says where each of them continues
    const place = filter === feed.filter ? feed.events.findIndex(({ cursor }) => cursor === last) : -1;
    if (place >= 0) feed.events.splice(0, place + 1, ...page.events);
    else Object.assign(feed, page);
    Object.assign(feed, { filter, problem: "" });
  } catch (error) {
    if (error.status !== 400) throw error;
    Object.assign(feed, { filter, events: [], next: null, problem: error.message }); // of a URL that somebody wrote
  }
}

export async function showOlder() {
  const { filter } = feed;
  try {
    const { events, next } = await readMatches({ ...feedFilter(), limit: PAGE_SIZE }, isInFeed, 1, feed.next);
    if (filter === feed.filter) Object.assign(feed, { events: [...feed.events, ...events], next });
    showEvents();
  } catch (error) {
    setText($("#events .note"), `Older events cannot be read: ${error.message}`);
  }
}

export function showEvents() {
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
  form.run.parentElement.hidden = source.lacks.has("events");
  const none = feed.next ? "None of the newest events matches." : "No event matches.";
  const isEmpty = !feed.events.length && !feed.problem;
  const notes = [feed.problem, eventsNote(), isEmpty && none, traceNote(feed.events)];
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
