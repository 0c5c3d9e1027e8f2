"""`build_report()`: collect the sections of a bug report, and refuse it if it still contains a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import Any

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import KINDS, Event
from otel_kcevents.model.messages import stack_trace
from otel_kcevents.model.problems import logger
from otel_kcevents.model.report_form import AS_OF_LABEL, FIRST_LINE, LOG_HEADING, WRITTEN_LABEL
from otel_kcevents.model.scrub import REDACTED
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.report.checks import check_endpoints, check_journal
from otel_kcevents.report.environment import platform_facts, setting_facts, version_facts
from otel_kcevents.report.facts import Facts, current_facts
from otel_kcevents.report.redaction import EMAIL, Redactor, printable
from otel_kcevents.report.secrets import Secrets
from otel_kcevents.report.text import ReportText
from otel_kcevents.store.journal_state import JournalState
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.query import EventQuery, NotAvailableError
from otel_kcevents.store.run import current_run
from otel_kcevents.store.source import Source, select, snapshot_time

__all__ = ["MAX_ERRORS", "MAX_RUNS", "build_report", "check_report"]

MAX_RUNS = 50
"""The maximum number of runs that a report lists, the newest."""

MAX_ERRORS = 100
"""The maximum number of errors that a report lists, the newest."""

_MAX_MESSAGES = 2**19  # characters of the messages in the document: removing secrets takes seconds per million
_LIMITS = (256, 64, 16, 4, 1)  # events of each kind
_NOTE = (
    "Secrets, home folders, user names and e-mail addresses were removed; hosts, files and functions are named. "
    "Read this report before you publish it."
)
_DOCUMENT_KEYS = (
    '"code": 200 "data" "allocation" "asset" "counters" "kind" "metadata" "size" "window" "start" "end" "error" "type" '
    '"message" "operation"'
)
_FIXED = (FIRST_LINE, _NOTE, REDACTED, EMAIL, LOG_HEADING, _DOCUMENT_KEYS, *KINDS)  # in each report


def build_report(
    source: Source,
    facts: Facts | None = None,
    *,
    journals: Sequence[str] | None = None,
    error: BaseException | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Return a bug report: versions, settings, checks, runs, errors, warnings, and at its end the log document.

    Args:
        source: The log; an `EventLog` stands for its `source`, an attached journal if there is one.
        facts: What the program knows about itself; None for the facts of this process.
        journals: The paths of the journals to check; None for the source's own, if it is a journal.
        error: The exception that ends the program, if one does.
        environ: The environment: its settings are listed, and its secrets are removed.

    Returns:
        The report, which `log_in_report()` reads.

    Raises:
        ReportRefusedError: The finished report still holds a secret of the environment.
    """
    facts = current_facts() if facts is None else facts
    source = source.source if isinstance(source, EventLog) else source
    if journals is None:
        path = getattr(source, "path", None)
        journals = [path] if isinstance(path, str) else []
    secrets = Secrets(environ)
    redact = Redactor(secrets, environ)
    text = ReportText(redact)
    states: list[JournalState] = []
    text.add(WRITTEN_LABEL, f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} by {facts.writer}")
    text.add("note", _NOTE)
    text.section("Versions", lambda: text.add_all(version_facts()))
    text.section("Platform", lambda: text.add_all(platform_facts()))
    text.section("Settings", partial(_settings, text, facts, environ))
    text.section("Providers and exporters", lambda: text.add_all(facts.providers))
    text.section("Checks", partial(_checks, text, facts, journals, states))
    if error is not None:
        text.section("Exception", lambda: text.add_block(stack_trace(error)))
    text.section("Runs", partial(_runs, text, source))
    text.section("Errors", partial(_errors, text, source))
    text.section("Warnings", partial(_warnings, text, states))
    documents: list[str] = []
    text.section("Source", partial(_append_document, text, redact, source, documents))
    document = documents[0] if documents else Document({"allocation": (), "asset": ()}, {}).to_json(indent=2)
    body = "\n".join([FIRST_LINE, *text.lines, "", LOG_HEADING, document, ""])
    secrets.check(body, "\n".join([*_FIXED, *text.fixed]))
    return body


def check_report(report: str, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a report of another process that holds a secret of this one.

    Args:
        report: The report.
        environ: The environment of this process.

    Raises:
        ReportRefusedError: The report holds a secret.
    """
    Secrets(environ).check(report, "\n".join(_FIXED))


def _settings(text: ReportText, facts: Facts, environ: Mapping[str, str]) -> None:
    text.add_all(setting_facts(environ) or [("variables", "none")])
    for problem in facts.problems:
        text.add("problem", problem)


def _checks(text: ReportText, facts: Facts, journals: Sequence[str], states: list[JournalState]) -> None:
    text.add_all(check_endpoints(facts.endpoints))
    if not journals:
        text.add("journal", "not checked: the source is not a journal")
    for path in journals:
        text.add("journal", path)
        findings, state = check_journal(path)
        text.add_all(findings)
        if state is not None:
            states.append(state)


def _runs(text: ReportText, source: Any) -> None:
    if isinstance(source, EventLog):
        run = current_run()
        text.add("this process", f"{run.program}, process {run.pid}, started {format_time(run.started)}")
    try:
        runs = source.runs() if hasattr(source, "runs") else None
    except NotAvailableError:
        runs = None
    if runs is None:
        text.add("runs", "unknown: the source is not a journal")
        return
    text.add(
        "runs", f"{len(runs)}, of which the newest {MAX_RUNS} are listed" if len(runs) > MAX_RUNS else str(len(runs))
    )
    for run in runs[:MAX_RUNS]:
        outcome = run["outcome"] if run["ended"] is None else f"{run['outcome']} {run['ended']}"
        name = run["program"] if run["name"] == run["program"] else f"{run['name']} ({run['program']})"
        parent = run["parent"] and f"parent {run['parent']}"
        counts = f"events {run['events']}, errors {run['errors']}"
        trace = run["traceId"] and f"trace {run['traceId']}"
        service = run["service"] and f"service {run['service']}"
        text.add_values(run["started"], outcome, name, service, f"process {run['pid']}", counts)
        text.add_values(f"run {run['id']}", parent, trace, run["detail"], indent="  ")


def _errors(text: ReportText, source: Any) -> None:
    page = None
    with suppress(NotAvailableError):
        page = source.events(EventQuery(errors=True, limit=MAX_ERRORS)) if hasattr(source, "events") else None
    if page is not None:
        for listed in page.events:
            ids = (("trace", listed.trace_id), ("span", listed.span_id), ("run", listed.run))
            _error(text, listed.event, "  ".join(f"{name} {value}" for name, value in ids if value))
        return
    document = source.document()
    events = [event for events in document.lists.values() for event in events if event.is_error]
    for event in sorted(events, key=lambda event: event.time, reverse=True)[:MAX_ERRORS]:
        _error(text, event, "")


def _error(text: ReportText, event: Event, ids: str) -> None:
    type_, message, operation = event.failure or (None, event.extra, None)
    window = None if event.window is None else f"window {event.window}"
    text.add_values(format_time(event.time), event.kind, operation, window)
    text.add_values(f"{type_}: {message}" if type_ else message, indent="  ")
    if ids:
        text.add_values(ids, indent="  ")


def _warnings(text: ReportText, states: Sequence[JournalState]) -> None:
    for problem in reversed(logger.since()):
        text.add_values(format_time(problem.time), "this process", problem.message)
    own = current_run().id
    for state in states:
        for time, run, message in state.problems:
            if run != own:
                text.add_values(format_time(time), f"run {run}", message)


def _append_document(text: ReportText, redact: Redactor, source: Source, documents: list[str]) -> None:
    text.add("log of", str(source))
    whole = source.document()
    if (as_of := snapshot_time(source)) is not None:  # otherwise the log would pass for as new as this report
        text.add(AS_OF_LABEL, format_time(as_of))
    limits = (limit for limit in _LIMITS if _length_of_messages(select(whole, limit=limit)) <= _MAX_MESSAGES)
    limit = next(limits, 1)
    document = select(whole, limit=limit)
    if document != whole:
        text.add("listed events", f"the newest {limit} of each kind, because the messages are long")
    json_text = redact.document(document).to_json(indent=2)
    documents.append("\n".join(map(printable, json_text.split("\n"))))


def _length_of_messages(document: Document) -> int:
    events = (event for events in document.lists.values() for event in events)
    return sum(len(event.extra or "") + sum(map(len, filter(None, event.failure or ()))) for event in events)
