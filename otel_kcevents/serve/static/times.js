/** Times in words, all in UTC. They are in milliseconds since 1970. */

import { element } from "./dom.js";
import { now, source } from "./state.js";

export const SECOND = 1_000;
export const HOUR = 3_600 * SECOND;
export const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
/** Return a time from its ISO 8601 form; not every browser reads nanoseconds. */
export const parseTime = (text) => Date.parse(text.replace(/(\.\d{3})\d+/, "$1"));
export const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");
const date = (time) => iso(time).slice(0, 10);
export const clock = (time) => iso(time).slice(11, 16);
export const monthOf = (time) => MONTHS[new Date(time).getUTCMonth()];
export const yearOf = (time) => new Date(time).getUTCFullYear();
const isDay = (start, end) => start % DAY === 0 && end - start === DAY;
const isMonth = (start, end) => date(start).endsWith("-01") && date(end).endsWith("-01") && end - start <= 31 * DAY;
export const dayText = (time) =>
  `${new Date(time).getUTCDate()} ${monthOf(time)}${yearOf(time) === yearOf(now()) ? "" : ` ${yearOf(time)}`}`;
export const minuteText = (time) => `${dayText(time)} ${clock(time)}`;
export const secondText = (time) => `${dayText(time)} ${iso(time).slice(11, 19)}`;

export function windowText(start, end) {
  if (isMonth(start, end)) return `${monthOf(start)} ${yearOf(start)}`;
  if (isDay(start, end)) return dayText(start);
  if (start % DAY === 0 && end % DAY === 0) return `${dayText(start)} – ${dayText(end - DAY)}`;
  return `${minuteText(start)}${date(start) === date(end - 1) ? `–${clock(end)}` : ` – ${minuteText(end)}`}`;
}

/** Return a window in the words of the verdict, which docs/coverage.md defines: without the date if it is of today. */
export function newestText(start, end) {
  if (isMonth(start, end)) return iso(start).slice(0, 7);
  if (isDay(start, end)) return date(start);
  if (date(start) !== date(end - 1)) return `${date(start)} ${clock(start)}–${date(end)} ${clock(end)}`;
  return `${date(start) === date(now()) ? "" : `${date(start)} `}${clock(start)}–${clock(end)}`;
}

/** Return the milliseconds from one time in its ISO 8601 form to another, exactly, so that they can be rounded down. */
export function between(start, end) {
  const second = (text) => Date.parse(text.replace(/\.\d+/, ""));
  const nanoseconds = (text) => Number((/\.(\d+)/.exec(text)?.[1] ?? "").padEnd(9, "0"));
  return second(end) - second(start) + (nanoseconds(end) - nanoseconds(start)) / 1e6;
}

/** Return a duration in words, rounded down, as the command does: a run has lasted at least as long. */
export function durationText(milliseconds) {
  const tenths = Math.floor(Math.max(0, milliseconds) / 100);
  const seconds = Math.floor(tenths / 10);
  if (seconds < 60) return `${seconds < 10 ? tenths / 10 : seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 48 * 3_600 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

export const agoText = (time) => `${durationText(Math.floor((now() - time) / SECOND) * SECOND)} ago`;
/** Return what ages are as of, if the source is a snapshot. */
export const asOfText = () =>
  source.asOf === null ? "" : `as of ${date(source.asOf)} ${clock(source.asOf)}`;
export const moment = (time) => element("time", { dateTime: iso(time), textContent: secondText(time) });

/** Return an age, which `showFreshness` updates. It is not a live region, so that it is not read out each minute. */
export function age(time) {
  const title = `${secondText(time)} UTC`;
  return element("time", { className: "age", dateTime: iso(time), ariaLive: "off", title, textContent: agoText(time) });
}

export const withAge = (time) => [moment(time), " (", age(time), ")"];
