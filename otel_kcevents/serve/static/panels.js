/** The panels of errors and runs, and what all panels share: links to runs and traces. */

import { $, button, copyText, element, setText, showItems, tableRow } from "./dom.js";
import { data, navigate, runNames, source } from "./state.js";
import { between, durationText, moment, parseTime, secondText, withAge } from "./times.js";
import { list, mark, number, operationOf, OUTCOMES } from "./words.js";

const WITHOUT_JOURNAL =
  "Only a journal has runs, traces and older events: this source has the newest 256 events of each kind.";

/** Return a note about what the listed events lack if not every source is a journal. */
export function eventsNote() {
  const { lacks } = source;
  if (!lacks.has("events")) return "";
  const part = "Only the newest 256 events of each kind, without runs and traces: not every source is a journal";
  return lacks.has("runs") ? WITHOUT_JOURNAL : `${part} (${lacks.get("events")}).`;
}

const TRACES = "Trace ids become links if the server knows their URL: OTEL_PYTHON_KCEVENTS_TRACE_URL or trace_url=.";

/** Return how links to traces appear, if there are ids without one. */
export const traceNote = (items) => !source.facts.traceUrl && items.some(({ traceId }) => traceId) && TRACES;

/** Return links to the events of a run and to a trace, as far as they are known; only http and https become links. */
export function links(run, traceId, spanId) {
  const found = [];
  const name = runNames()[run] ?? `run ${run?.slice(0, 8)}`;
  if (run) found.push(button(name, () => showEventsOf({ run }), { title: `the events of run ${run}` }), " ");
  const href = (source.facts.traceUrl ?? "").replaceAll("{trace_id}", traceId).replaceAll("{span_id}", spanId ?? "");
  if (traceId && /^https?:\/\//.test(href)) {
    found.push(element("a", { href, target: "_blank", rel: "noopener noreferrer", textContent: "trace" }));
  } else if (traceId) {
    const code = element("code", { title: `trace ${traceId}`, textContent: traceId.slice(0, 8) });
    const copy = button("copy", () => copyText(traceId, copy, code), { title: `copy the trace id ${traceId}` });
    found.push(code, " ", copy);
  }
  return found;
}

/** List the events of a selection; Back leads to where the link was. */
export function showEventsOf(selection) {
  navigate({ kind: "", run: "", errors: "", etl: "", ...selection }, true);
  $("#events").scrollIntoView();
  $("#events h2").focus({ preventScroll: true });
}

export function showPanel(panel, isRead, note, items, keyOf, build) {
  setText($(".note", panel), isRead ? note : "Reading …");
  $("table", panel).hidden = !items.length;
  showItems($("tbody", panel), items, keyOf, build);
}

export function showErrors() {
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
  let note = items.length ? "" : "No errors are kept.";
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

const expanded = new Set(); // the runs whose processes are shown

export function showRuns() {
  const runs = data.runs ?? [];
  const byId = new Map(runs.map((run) => [run.id, run]));
  const rootOf = (run) => (byId.has(run.parent) ? rootOf(byId.get(run.parent)) : run);
  const items = [...Map.groupBy(runs, (run) => rootOf(run).id)].flatMap(([id, family]) => {
    const children = family.filter((run) => run.id !== id);
    const bad = children.filter(({ outcome }) => outcome === "failed" || outcome === "killed").length;
    const root = { run: byId.get(id), children: children.length, bad, isOpen: expanded.has(id), facts: source.facts };
    return [root, ...(root.isOpen ? children.map((run) => ({ run })) : [])];
  });
  const none = items.length ? "" : "No run has written events yet.";
  const some = source.lacks.has("events") && "Only the runs of journals are listed: other sources do not have any.";
  const note = source.lacks.has("runs") ? WITHOUT_JOURNAL : some || traceNote(runs) || none;
  showPanel($("#runs"), data.errors, note, items, ({ run }) => run.id, runRow);
  $("#more-runs").hidden = runs.filter((run) => rootOf(run) === run).length < data.runLimit;
}

function runRow({ run, children, bad, isOpen }) {
  const { id, name, program, service, host, pid, started, ended, lastEvent, outcome, detail, traceId } = run;
  const [state, words] = OUTCOMES[outcome] ?? ["unknown", outcome];
  const place = list(program !== name && program, service, host, `process ${pid}`);
  const end = ended ?? (outcome === "killed" ? lastEvent : null);
  const duration = end ? durationText(between(started, end)) : "";
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
