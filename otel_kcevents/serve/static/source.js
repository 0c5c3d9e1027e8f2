/** Reading the source again and again: requests, pauses, and why it did not answer. */

import { data, range, resolution, source } from "./state.js";
import { SECOND } from "./times.js";
import { isError } from "./words.js";

const TIMEOUT = 8 * SECOND;

/** The time between two reads. In the background, the title and the icon of the tab have to stay true. */
const PAUSE = { visible: 10 * SECOND, hidden: 60 * SECOND, failed: SECOND, failing: 3 * SECOND };

const MAX_PAGES = 8; // to look through for events that match; each takes the server up to 0.1 s

/** Why the source did not answer; the status is 0 if there was no response. */
class Refusal extends Error {
  constructor(status, message) {
    super(status ? `${status} ${message}` : message);
    this.status = status;
    this.reason = message;
  }
}

let current = new AbortController();
let wake = () => {};
export const isInterrupted = () => current.signal.aborted;
export const wakeUp = () => wake();

/** Read again at once, whatever is being read. */
export function restart() {
  current.abort();
  wake();
}

export async function read(path, parameters = {}) {
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
export async function readIfThere(path, parameters, otherwise) {
  try {
    if (!source.lacks.has(path)) return await read(path, parameters);
  } catch (error) {
    if (error.status !== 404) throw error;
    source.lacks.set(path, error.reason);
  }
  return otherwise;
}

export async function readRange() {
  try {
    return await read("coverage", { window: range(), resolution: resolution() });
  } catch (error) {
    if (error.status !== 400) throw error;
    return { rows: [], problem: error.message }; // of a URL that somebody wrote
  }
}

/** Return a page of events; if the source has no such pages, a page of the events in its log document. */
export async function readEvents(filter, before = null) {
  const page = await readIfThere("events", { ...filter, before }, null);
  if (page) return page;
  if (filter.run) throw new Refusal(400, `the events of a run cannot be listed: ${source.lacks.get("events")}`);
  data.log ??= withCursors(await read("log"));
  const matches = (event) => event.kind.startsWith(filter.kind ?? "") && (!filter.error || isError(event));
  const start = before ? data.log.findIndex(({ cursor }) => cursor === before) + 1 || Infinity : 0; // if still there
  const events = data.log.slice(start).filter(matches);
  return { events: events.slice(0, filter.limit), next: events[filter.limit] ? events[filter.limit - 1].cursor : null };
}

/** Follow pages of events until enough match: a page may be empty although others follow. */
export async function readMatches(filter, matches, wanted = 1, before = null) {
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

/** Call *readAll* again and again, and *showFreshness* after each time. */
export async function keepReading(readAll, showFreshness) {
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
