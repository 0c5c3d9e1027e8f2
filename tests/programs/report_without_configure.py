"""Print a report in a program that does not call `configure()`."""

from otel_kcevents import default_log
from otel_kcevents.report.build import build_report

print(build_report(default_log, environ={}))
