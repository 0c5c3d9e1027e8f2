"""`otel-kcevents mapping`: check a mapping, and try it on a program."""

from __future__ import annotations

from otel_kcevents.cli.arguments import Commands

__all__ = ["add_mapping"]


def add_mapping(commands: Commands) -> None:
    """Add the command `mapping`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("mapping", help="check a mapping, or run a program with it and report what it records")
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(parts)


def _add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program with a mapping, and report what it records",
        usage="%(prog)s [-h] [-o FILE] [--json] [--exit-code] MAPPING -- PROGRAM ...",
        description="Run a program under opentelemetry-instrument with a mapping, and report, when it has ended, what "
        "each entry recorded, in all processes of the program. The streams, the signals and the exit code are those of "
        "the program. Without a journal (OTEL_PYTHON_KCEVENTS_LOG_FILE), a temporary one is used.",
    )
    parser.set_defaults(command=_run)
    output_help = "the file for the report, which is replaced if it exists; - for standard error (default)"
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help=output_help)
    parser.add_argument("--json", dest="as_json", action="store_true", help="write the report as JSON")
    exit_help = "exit with 3 if the program succeeds, but not every entry is recorded, or something is missing"
    parser.add_argument("--exit-code", action="store_true", help=exit_help)
    parser.add_argument("name", metavar="MAPPING", help="the file of the mapping")
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help="the program and its arguments, after --")


def _run(**arguments: object) -> int:
    from otel_kcevents.cli.mapping_run import run_with_mapping  # what it needs takes as long to import as all others

    return run_with_mapping(**arguments)  # type: ignore[arg-type]
