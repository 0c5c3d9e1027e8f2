"""`otel-kcevents mapping`: check a mapping, and try it on a program."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any, TypeAlias

from otel_kcevents.cli.arguments import Commands, Parser

__all__ = ["add_mapping"]


_Commands: TypeAlias = "argparse._SubParsersAction[_ProgramParser]"


class _ProgramParser(Parser):
    """A parser that leaves what follows `--` as it is: argparse would also remove a `--` of the program.

    If there is no `--`, the program can have arguments, but no options.
    """

    takes_program: bool = False

    def parse_known_args(  # type: ignore[override]  # argparse declares it by overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse arguments.

        Args:
            args: The arguments.
            namespace: Takes the values.
        """
        given = list(args or ())
        if not self.takes_program:
            return super().parse_known_args(given, namespace)
        if "--" not in given:
            parsed, unknown = super().parse_known_args(given, namespace)
            command = given[given.index(parsed.program[0], given.index(parsed.name) + 1) :]
            if any(word.startswith("-") for word in command):  # of the program, or of this command?
                self.error(f"write -- before the program: -- {shlex.join(command)}")
            return parsed, unknown
        end = given.index("--")
        parsed, unknown = super().parse_known_args([*given[:end], *given[end + 1 : end + 2]], namespace)
        parsed.program += given[end + 2 :]
        return parsed, unknown


def add_mapping(commands: Commands) -> None:
    """Add the command `mapping`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("mapping", help="check a mapping, or run a program with it and report what it records")
    parts = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_ProgramParser)
    _add_check(parts)
    _add_run(parts)


def _add_check(commands: _Commands) -> None:
    parser = commands.add_parser(
        "check",
        help="show which functions each entry of a mapping matches; imports the modules, so their code runs",
        description="Show which functions each entry of a mapping matches, and why others match none. This imports the "
        "modules that the mapping names, as python does in the current folder, so their code runs. Files and programs "
        "that are named by their path are read and not run, so the effects of decorators and base classes are unknown.",
        epilog="The exit code is 0 if every entry matches, 3 if not, and 1 if the file cannot be read.",
    )
    parser.set_defaults(command=_check)
    main_help = "a script, or the name after python -m, whose functions the mapping names as __main__; may be repeated"
    parser.add_argument("--main", dest="programs", action="append", default=[], metavar="PROGRAM", help=main_help)
    parser.add_argument("--json", dest="as_json", action="store_true", help="print the result as JSON")
    parser.add_argument("name", metavar="MAPPING", help="the file of the mapping")


def _check(**arguments: object) -> int:
    from otel_kcevents.cli.mapping_check import check_mapping

    return check_mapping(**arguments)  # type: ignore[arg-type]


def _add_run(commands: _Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program with a mapping, and report what it records",
        usage="%(prog)s [-h] [-o FILE] [--json] [--exit-code] MAPPING -- PROGRAM ...",
        description="Run a program under opentelemetry-instrument with a mapping, and report, when it has ended, what "
        "each entry recorded, in all processes of the program. The streams, the signals and the exit code are those of "
        "the program. Without a journal (OTEL_PYTHON_KCEVENTS_LOG_FILE), a temporary one is used.",
    )
    parser.takes_program = True
    parser.set_defaults(command=_run)
    output_help = "the file for the report, which is replaced if it exists; - for standard error (default)"
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help=output_help)
    parser.add_argument("--json", dest="as_json", action="store_true", help="write the report as JSON")
    exit_help = "exit with 3 if the program succeeds, but the report says that something is not recorded"
    parser.add_argument("--exit-code", action="store_true", help=exit_help)
    parser.add_argument("name", metavar="MAPPING", help="the file of the mapping")
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help="the program and its arguments, after --")


def _run(**arguments: object) -> int:
    from otel_kcevents.cli.mapping_run import run_with_mapping  # its imports take as long as those of all others

    return run_with_mapping(**arguments)  # type: ignore[arg-type]
