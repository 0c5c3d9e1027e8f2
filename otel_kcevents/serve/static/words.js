/** What states, operations and events are called, and how they are marked. */

import { element } from "./dom.js";

/** The states of a window, the worst first: a glyph, and words. */
export const STATES = {
  failed: ["×", "failed"],
  missing: ["!", "missing"],
  empty: ["0", "empty"],
  unknown: ["?", "unknown, older than what is kept"],
  "before first": ["–", "missing, before the first event"],
  "not due": ["·", "not due yet"],
  ok: ["✓", "ok"],
};

export const COUNTED = ["failed", "missing", "empty", "unknown"];
export const AGAIN = "↻";
export const AGAIN_TEXT = "saved again after reconciling";
export const FEW = "↓"; // less than half of the usual size

export const PAST = {
  save: "saved", load: "loaded", aggregate: "aggregated", total: "totaled", reconcile: "reconciled",
  compute: "computed",
};

export const OUTCOMES = {
  ended: ["ok", "ended well"], failed: ["failed", "failed"],
  killed: ["missing", "killed: gone without an end"], running: ["not due", "running"],
};

export const SETS = { allocation: "AllocationSet", asset: "AssetSet" };
export const classOf = (state) => state.replace(" ", "-");
export const mark = (state, glyph = STATES[state][0], more = "") =>
  element("span", { className: `mark ${classOf(state)} ${more}`, ariaHidden: "true", textContent: glyph });
export const { format: number } = new Intl.NumberFormat("en");
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
export const list = (...parts) => parts.filter(Boolean).join(", ");
export const errorText = ({ type, message }) => `${type}: ${message}`;
export const isError = ({ kind, metadata }) => metadata.error !== undefined || /Error(Event)?$/.test(kind);
const resultOf = ({ kind }) => kind.replace(/^(Allocation|Asset)Set|Event$/g, "");
export const eventText = (event) => (isError(event) ? `${operationOf(event)} failed` : resultOf(event).toLowerCase());

export function operationOf(event) {
  if (event.metadata.operation) return event.metadata.operation;
  const operation = Object.keys(PAST).find((each) => PAST[each] === resultOf(event).toLowerCase());
  return operation ?? (resultOf(event) === "ReconcileError" ? "reconcile" : "compute");
}
