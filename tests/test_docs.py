"""The READMEs and the pages in `docs/`: every block is checked.

The opening line of a block, "```LANGUAGE WHY", decides how:

- `python`: run as a program, which prints the `text` or `json` block that follows
- `sh`: each line is one of the commands that the tests below run or compare
- `text first-command`: what the README's first command prints at its end
- `toml` and `yaml`: a mapping, which has no mistakes
- `yaml config-file`: a file for `OTEL_CONFIG_FILE`
- `text warning`: a warning about a mapping
- `text find`, `text mapping-check`, `text mapping-run`: what the commands of `mapping` print
- `sql`: a query on a journal, which prints the `text query` block that follows
- `python pytest`: tests that pass, or print the `text pytest` block that follows
- `python unittest`: tests that pass
- LANGUAGE `back-ends`: run on the real collector and Jaeger by `tests/stack/test_traces_in_jaeger.py`
- `text house` and `text folders`: compared with the package's files and their imports
- `text systemd` and `text crontab`: their commands are run
- `text coverage` and `text coverage-intervals`: what the commands of `coverage` print; `text coverage-unit` and
  `text coverage-crontab`: their commands are run, as is the loop of `text coverage-rerun`
- `text diagram`: a drawing
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import closing
from datetime import timedelta
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import clean_environment
from journals import NIGHT, run_of, write, write_nights
from opentelemetry import environment_variables
from opentelemetry.sdk import environment_variables as sdk_variables
from telemetry import Telemetry

import otel_kcevents
from otel_kcevents import Event, Journal, RemoteLog, Window
from otel_kcevents.cli.main import main
from otel_kcevents.model.event import OPERATIONS, OUTCOMES
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.plugin.config_file import read_section
from otel_kcevents.plugin.mapping import mapping_of, read_mapping
from otel_kcevents.plugin.options import OPTIONS
from otel_kcevents.store import coverage as store_coverage

ROOT = Path(__file__).parents[1]
PACKAGE = Path(otel_kcevents.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "collector-config" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


WEEK_END = "2024-09-08T12:10:00+00:00"
MODULES = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")}


class Block(NamedTuple):
    """A fenced block: its page, what its opening line says, and its text."""

    page: str
    info: str
    text: str


BLOCKS = [
    Block(page.relative_to(ROOT).as_posix(), info, text)
    for page in PAGES
    for info, text in re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    if not info.startswith("{")  # a directive of Sphinx
]
PROGRAMS = [
    pytest.param(block.text, after.text, id=f"{block.page}-{number}")
    for number, (block, after) in enumerate(pairwise(BLOCKS))
    if block.info == "python" and after.info in ("json", "text") and block.page == after.page
]
TEST_FILES = [
    pytest.param(block.text, after.text if after.info == "text pytest" else None, id=f"{block.page}-{number}")
    for number, (block, after) in enumerate(pairwise([*BLOCKS, Block("", "", "")]))
    if block.info == "python pytest"
]
QUERIES = [
    pytest.param(block.text, after.text, id=f"query-{number}")
    for number, (block, after) in enumerate(pairwise(BLOCKS))
    if block.info == "sql" and after.info == "text query"
]
COMMANDS = [
    line.partition("  ")[0]
    for block in BLOCKS
    if block.info == "sh"
    for line in re.sub(r"&&\n *", "&& ", block.text).splitlines()
]


def commands(beginning: str) -> list[str]:
    """Return the commands of all `sh` blocks that start with *beginning*."""
    return [command for command in COMMANDS if command.startswith(beginning)]


def block(info: str) -> str:
    """Return the text of the only block with this opening line."""
    (found,) = (block.text for block in BLOCKS if block.info == info)
    return found


def without_times(text: str) -> str:
    """Replace the times with fractional seconds, which differ between runs."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME", text)


def without_details(text: str) -> str:
    """Replace the times, durations, ids and column widths of a run."""
    text = re.sub(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME", text)
    text = re.sub(r"\b([0-9a-f]{32}|[0-9a-f]{8})\b", "ID", text)
    text = re.sub(r"\b(\d+\.\d|\d+m\d\d)s ", "DURATION ", text)
    text = re.sub(r"(focus-etl +focus-etl +)\d+", r"\1PID", text)
    return re.sub(" {2,}", "  ", text)


def run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, without OpenTelemetry settings."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def run_command(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that starts with `otel-kcevents` in a folder, with this Python first in PATH."""
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("otel-kcevents", "python -m otel_kcevents", 1)],
        cwd=folder,
        env=clean_environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_block_has_a_check() -> None:
    """Programs and outputs come in pairs; other blocks have an opening line that this module knows."""
    found = Counter("output" if block.info in ("json", "text") else block.info for block in BLOCKS)
    known = {"python", "output", "sh", "sql", "toml", "yaml", "yaml config-file", "text first-command", "text query"}
    known |= {"text house", "text folders", "text diagram", "text systemd", "text crontab"}
    known |= {f"text coverage{kind}" for kind in ("", "-intervals", "-rerun", "-crontab", "-unit")}
    known |= {"python pytest", "text pytest", "python unittest"}
    known |= {"text find", "text mapping-check", "text mapping-run", "text warning"}
    assert {info for info in found if not info.endswith(" back-ends")} == known
    assert found["python"] == found["output"] == len(PROGRAMS)
    assert found["sql"] == found["text query"] == len(QUERIES) > 0
    assert found["text pytest"] == sum(output is not None for _, output in (file.values for file in TEST_FILES)) > 0
    assert {block.page for block in BLOCKS if block.info.endswith(" back-ends")} == {"docs/deploying.md"}
    assert set(COMMANDS) == {*commands("pip install"), *commands("python3 -m venv"), *commands("otel-kcevents ")}


def test_no_block_appears_twice() -> None:
    """Except for outputs, which may be equal."""
    texts = Counter(block.text for block in BLOCKS if block.info not in ("text", "text query"))
    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_program_prints_the_output_after_it(tmp_path: Path, code: str, output: str) -> None:
    """Warnings are errors."""
    done = run("-W", "error", "-c", code, folder=tmp_path)
    assert (without_times(done.stdout), done.stderr) == (without_times(output), "")


@pytest.mark.parametrize(("code", "output"), TEST_FILES)
def test_tests_of_a_page_pass_or_print_the_output_after_them(tmp_path: Path, code: str, output: str | None) -> None:
    """Without the other plugins that are installed here."""
    (tmp_path / "test_etl.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rN", "-p", "kcevents", "--strict-markers", "-W", "error"],
        cwd=tmp_path,
        env=clean_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", COLUMNS="80"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if output is None:
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    else:
        printed, expected = (
            re.sub(r"in \d+\.\d\ds( \(.*\))?$", "in TIME", text, flags=re.M) for text in (done.stdout, output)
        )
        assert (printed, done.returncode) == (expected, 1)


def test_unittest_of_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "test_etl.py").write_text(block("python unittest"), encoding="utf-8")
    done = run("-W", "error", "-m", "unittest", "-q", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Ran 1 test" in done.stderr


def test_first_command_shows_what_ran_and_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands after the installation: the example, then `otel-kcevents`."""
    _, _, *parts = [shlex.split(part) for part in commands("python3 -m venv")[0].split(" && ")]
    (python, example, *arguments), *shown = (part for part in parts if part[0] != "export")
    assert {python, *(command for command, *_ in shown)} == {".venv/bin/python", ".venv/bin/otel-kcevents"}
    for _, setting in (part for part in parts if part[0] == "export"):
        monkeypatch.setenv(*setting.split("="))
    done = run(str(ROOT / example), *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AllocationSetReconcileError" in done.stdout
    monkeypatch.chdir(tmp_path)
    for _, *words in shown:
        assert main(words) == 0
    assert without_details(capsys.readouterr().out) == without_details(block("text first-command"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The journal of two runs of the example, the second one with a bill that does not exist."""
    folder = tmp_path_factory.mktemp("journal")
    for bill in ((), ("no_such_bill.csv",)):
        run(str(ROOT / "examples" / "focus_etl.py"), "--log", "kcevents.db", *bill, folder=folder)
    with closing(sqlite3.connect(folder / "kcevents.db")) as connection:
        yield connection


@pytest.mark.parametrize(("sql", "output"), QUERIES)
def test_query_prints_the_output_after_it(database: sqlite3.Connection, sql: str, output: str) -> None:
    """As the command `sqlite3` prints it with `-header`, and pandas reads it."""
    cursor = database.execute(sql)
    heads = [column for column, *_ in cursor.description]
    rows = [["" if value is None else str(value) for value in row] for row in cursor]
    assert without_details("".join(f"{'|'.join(row)}\n" for row in (heads, *rows))) == without_details(output)
    pandas: Any = pytest.importorskip("pandas")
    assert pandas.read_sql_query(sql, database).shape == (len(rows), len(heads))


def test_page_of_the_journal_lists_every_column(database: sqlite3.Connection) -> None:
    page = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
    schema = page.partition("## The file\n")[2].partition("### Example queries\n")[0]
    for table in ("event", "run", "tally", "problem", "call", "coverage", "total"):
        columns = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        section = re.split(r"\n\n`\w+`: ", schema.partition(f"\n`{table}`: ")[2])[0]
        firsts = re.findall(r"^\| (`[^|]*) \|", section, re.M) if table not in ("tally", "problem") else [section]
        assert columns - {name for first in firsts for name in quoted(first)} == set(), table


def test_backup_of_the_page_is_a_journal(database: sqlite3.Connection, tmp_path: Path) -> None:
    """Also while programs write."""
    page = (ROOT / "docs" / "journal.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`sqlite3 kcevents.db \"(.*?)\"`", page)
    database.execute(command.replace("backup.db", str(tmp_path / "backup.db")))
    backup = Journal(tmp_path / "backup.db")
    assert backup.counts() == dict(database.execute("SELECT kind, count FROM counter"))
    assert [run["outcome"] for run in backup.runs()] == ["failed", "ended"]


def test_second_command_matches_the_ci_script() -> None:
    """`.ci/run` installs and tests as the README says."""
    _, command, *_ = commands("python3 -m venv")
    install, _, test = command.rpartition(" && ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{install}\n" in script
    assert f"\n{test}" in script


def test_installed_extras_exist() -> None:
    """Every extra that a page installs is one of pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    extras = {extra for extras in re.findall(r"pip install [^\n]*?\.\[([\w,]+)\]", text) for extra in extras.split(",")}
    assert extras == {"docs", "otlp", "plugin", "test"}
    assert [extra for extra in extras if f"\n{extra} = [" not in project] == []


def test_terminal_commands_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They read the file that the environment names; `check` validates a document that `log` prints."""
    argv = {command.split()[1]: command.split()[1:] for command in commands("otel-kcevents ")}
    del argv["mapping"], argv["coverage"]  # tested below
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", "kcevents.db")
    write_nights(tmp_path / "kcevents.db")
    assert main(argv.pop("runs")) == 0
    assert "nightly" in capsys.readouterr().out
    log = argv.pop("log")
    assert main(log) == 0
    assert "AllocationSetComputeError" in capsys.readouterr().out
    assert main([*log, "--json"]) == 0
    check = argv.pop("check")
    (tmp_path / check[-1]).write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(check) == 0
    report = argv.pop("report")
    assert main(report) == 0
    assert main([*log, report[-1]]) == 0
    assert "AllocationSetComputeError" in capsys.readouterr().out
    assert argv == {"tail": ["tail"], "serve": ["serve", "kcevents.db"]}


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the journal `week.db` of a week with troubles, which ends on September 8."""
    folder = tmp_path_factory.mktemp("week")
    run(str(ROOT / "examples" / "troubled_week.py"), "week.db", "--now", WEEK_END, folder=folder)
    return folder


@pytest.mark.parametrize(
    ("beginning", "output", "code"),
    [("--etl", "text coverage", 0), ("--missing", "text coverage-intervals", 3)],
)
def test_command_coverage_prints_the_output_of_the_page(
    beginning: str,
    output: str,
    code: int,
    week: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(store_coverage, "time_ns", lambda: parse_time(WEEK_END))
    monkeypatch.chdir(week)
    (command,) = commands(f"otel-kcevents coverage {beginning}")
    assert main(shlex.split(command)[1:]) == code
    assert capsys.readouterr().out == block(output)


def test_rerun_gets_each_hour(week: Path) -> None:
    loop = block("text coverage-rerun").replace("otel-kcevents", f"{sys.executable} -m otel_kcevents")
    ran = subprocess.run(
        ["/bin/sh", "-c", f'etl() {{ echo "$2"; }}\n{loop}'],
        cwd=week,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    windows = [Window.parse(line) for line in ran.stdout.splitlines()]
    assert len(windows) > 100
    assert {window.end - window.start for window in windows if window.start and window.end} == {timedelta(hours=1)}


def test_crontab_mails_missing_windows(week: Path) -> None:
    """And the unit of systemd fails because of them. Nothing is mailed if no window is missing or failed."""
    *settings, mail = block("text coverage-crontab").splitlines()
    (*when, command) = mail.split(maxsplit=5)
    assert len(when) == 5
    variables = dict(setting.split("=") for setting in settings)
    unit = ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block("text coverage-unit"))
    program, *arguments, file = shlex.split(unit["Service"]["ExecStart"])
    assert program == f"{variables['PATH'].split(':')[0]}/otel-kcevents"
    assert file == variables["OTEL_PYTHON_KCEVENTS_LOG_FILE"]

    def run_for(journal: Path) -> tuple[str, int]:
        environment = clean_environment(OTEL_PYTHON_KCEVENTS_LOG_FILE=str(journal))
        line = command.replace("otel-kcevents", f"{sys.executable} -m otel_kcevents")
        mailed = subprocess.run(["/bin/sh", "-c", line], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return mailed.stdout, main([*arguments, str(journal)])

    output, code = run_for(week / "week.db")
    assert ("windows missing" in output, code) == (True, 3)
    write(week / "once.db", run_of("a"), Event("AssetSetSaved", NIGHT, 1, Window.of("2022-06-03/2022-06-05")))
    assert run_for(week / "once.db") == ("", 0)


@pytest.mark.parametrize(("form", "text"), [block[1:] for block in BLOCKS if block.info in ("toml", "yaml")])
def test_mapping_of_a_page_has_no_mistakes(form: str, text: str, tmp_path: Path) -> None:
    (tmp_path / f"kcevents.{form}").write_text(text, encoding="utf-8")
    mapping = read_mapping(tmp_path / f"kcevents.{form}")
    assert mapping.entries
    assert [str(problem) for problem in mapping.problems] == []


def test_config_file_of_the_page_has_a_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "otel.yaml").write_text(block("yaml config-file"), encoding="utf-8")
    monkeypatch.setenv("KCEVENTS_DB", "nightly.db")
    options = read_section(str(tmp_path / "otel.yaml")).options
    assert options["log_file"] == "nightly.db"
    assert len(mapping_of({"functions": options["functions"]}, "otel.yaml").entries) == 1


def test_warning_of_the_page_is_logged() -> None:
    save = {"target": "costs.etl:save", "record": "asset.save"}
    functions = [save, {**save, "record": "asset.load"}, {**save, "record": "asset.total", "windw": "day"}]
    (problem,) = mapping_of({"functions": functions}, "kcevents.toml").problems
    assert block("text warning") == f"{problem}\n"


def test_page_of_mappings_lists_every_key() -> None:
    listed = [key for key, _, _ in rows("docs/mapping.md", "key | value | meaning")]
    assert sorted(name for key in listed for name in quoted(key)) == sorted(
        ("target", "record", "subclasses", *OPTIONS)
    )


def test_page_of_mappings_lists_the_examples() -> None:
    listed = [quoted(mapping)[0] for mapping, _, _ in rows("docs/mapping.md", "mapping | for | shows")]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "examples" / "mappings").iterdir())


def test_page_shows_the_mapping_of_the_example() -> None:
    file = ROOT / commands("otel-kcevents mapping check")[0].split()[-1]
    assert file.read_text(encoding="utf-8") in [block.text for block in BLOCKS if block.info == "toml"]


@pytest.mark.parametrize(
    ("words", "output"),
    [("run find.toml", "text find"), ("run examples/", "text mapping-run"), ("check", "text mapping-check")],
)
def test_command_about_a_mapping_prints_the_output_of_the_page(tmp_path: Path, words: str, output: str) -> None:
    pytest.importorskip("cloud_cost_allocation")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "find.toml").write_text(next(block.text for block in BLOCKS if block.info == "toml"), encoding="utf-8")
    done = run_command(commands(f"otel-kcevents mapping {words}")[0], tmp_path)
    printed, expected = (re.sub(r"\S+/site-packages/", "", text) for text in (done.stdout, block(output)))
    assert (printed, done.returncode) == (expected, 0)


def test_terminal_commands_about_mappings_work(tmp_path: Path) -> None:
    (tmp_path / "kcevents.toml").write_text('[[functions]]\ntarget = "etl.py:save"\nrecord = "asset.save"\n', "utf-8")
    (tmp_path / "etl.py").write_text("def save(rows): ...\n\nsave([1, 2])\n", "utf-8")
    for words in ("check kcevents.toml", "run kcevents.toml"):
        (command,) = commands(f"otel-kcevents mapping {words}")
        done = run_command(command, tmp_path)
        assert ("functions[0]" in done.stdout, done.returncode) == (True, 0)


def test_systemd_unit_starts_the_server(tmp_path: Path) -> None:
    """The unit is valid, and the command that it runs serves the journal until SIGTERM."""
    unit = ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block("text systemd"))
    _, *arguments, port, file = shlex.split(unit["Service"]["ExecStart"])
    assert (arguments, port) == (["serve", "--port"], "9003")
    write_nights(tmp_path / Path(file).name)
    command = [sys.executable, "-m", "otel_kcevents", *arguments, "0", str(tmp_path / Path(file).name)]
    with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        assert RemoteLog(url).counts()["AssetSetSaved"] == 5
        process.terminate()
    assert process.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this system has no systemd-analyze")
@pytest.mark.parametrize("unit", ["text systemd", "text coverage-unit"])
def test_systemd_accepts_the_unit(tmp_path: Path, unit: str) -> None:
    text = re.sub(r"(?<=ExecStart=)\S+", "/bin/true", block(unit))
    (tmp_path / "kcevents.service").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "kcevents.service"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_crontab_mails_failures_with_their_traces(tmp_path: Path) -> None:
    """A run that ended well and without failures prints nothing."""
    *settings, server, mail = block("text crontab").splitlines()
    (folder, program, *arguments, path) = re.findall("ExecStart=(.+)/(.+?) (.+) (.+)", block("text systemd"))[0]
    variables = dict(setting.split("=") for setting in settings)
    assert variables.pop("PATH").split(":")[0] == folder
    assert variables["OTEL_PYTHON_KCEVENTS_LOG_FILE"] == path
    assert server.split(maxsplit=1) == ["@reboot", " ".join([program, *arguments])]
    (*when, command) = mail.split(maxsplit=5)
    assert len(when) == 5
    journal = tmp_path / "kcevents.db"
    variables["OTEL_PYTHON_KCEVENTS_LOG_FILE"] = str(journal)
    command = command.replace("otel-kcevents", f"{sys.executable} -m otel_kcevents")

    def mailed() -> str:
        environment = clean_environment(**variables)
        done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    write_nights(journal)
    assert "killed" in mailed()
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE run SET outcome = 'ended', ended = started")
    assert mailed() == ""
    write(journal, run_of("f", None, 9), *[Event("AssetSetReconcileError", NIGHT)] * 2)
    assert variables["OTEL_PYTHON_KCEVENTS_TRACE_URL"].replace("{trace_id}", f"{0xABC:032x}") in mailed()


@pytest.mark.parametrize("page", PAGES[:2], ids=["README", "collector-config"])
def test_links_of_a_readme_lead_to_headings(page: Path) -> None:
    """The links between the other pages are checked by the build of the documentation."""
    links = re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8"))
    assert links
    for path, anchor in links:
        content = (page.parent / path).read_bytes()
        headings = re.findall(rb"^#+ (.*)$", content, re.M) if anchor else []
        assert not anchor or anchor in [heading.decode().lower().replace(" ", "-") for heading in headings]


def test_pictures_are_small_and_shown() -> None:
    """They are written by `docs/screenshots.py`."""
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert [picture.name for picture in pictures] == ["page-dark.png", "page-light.png"]
    for picture in pictures:
        assert picture.stat().st_size < 300_000
        assert f"](images/{picture.name})" in texts


def folder_imports(folder: Path) -> set[str]:
    """Return the other folders from which the modules of a folder import."""
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    names = re.findall(r"(?:from|import) otel_kcevents\.(\w+)\.", text)
    return set(names) - {folder.name}


def test_design_page_lists_every_module_and_import() -> None:
    """The page "Design" lists every module, and for each folder the folders that it imports from."""
    listed, folder = set(), ""
    for indent, name, rest in re.findall(r"^( +)([\w./]+)(.*)$", block("text house"), re.M):
        if name.endswith("/"):
            folder = name
            assert {*filter(None, rest.partition("-> ")[2].split(", "))} == folder_imports(PACKAGE / name)
        else:
            listed.add(name if len(indent) == 2 else folder + name)
    assert listed == MODULES


def test_api_pages_describe_every_module() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    described = re.findall(r"automodule:: otel_kcevents\.(\w+\.\w+)\n   :members:", text)
    assert {f"{name.replace('.', '/')}.py" for name in described} == {module for module in MODULES if "/" in module}


def test_public_page_describes_every_public_name() -> None:
    text = (ROOT / "docs" / "api" / "public.md").read_text(encoding="utf-8")
    described = re.findall(r":: (?:otel_kcevents\.)?([\w]+)(?:\(\))?$", text, re.M)
    assert {*described, "Stretch", "__version__"} - {"otel_kcevents"} == set(otel_kcevents.__all__)


def test_readme_lists_the_folders() -> None:
    folders = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    listed = re.findall(r"^  (\w+)/", block("text folders"), re.M)
    assert sorted(listed) == sorted(folders)


def rows(page: str, heads: str) -> list[list[str]]:
    """Return the cells of the table with these heads, row by row."""
    table = (ROOT / page).read_text(encoding="utf-8").partition(f"| {heads} |\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def quoted(cell: str) -> list[str]:
    """Return the strings in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_readme_lists_the_events_of_each_operation() -> None:
    listed = {}
    for operations, successes, fields, failure in rows(
        "README.md", "operation | event on success | with | event on failure"
    ):
        for operation, success in zip_longest(quoted(operations), quoted(successes)):
            listed[operation] = (success, "size" in fields, *quoted(failure))
    names: dict[str | None, str | None] = {None: None}
    names |= {name: f"…Set{outcome.suffix}" for name, outcome in OUTCOMES.items()}
    assert listed == {
        operation: (names[success], success is not None and OUTCOMES[success].sized, names[failure])
        for operation, (success, failure) in OPERATIONS.items()
    }


def test_page_of_names_lists_every_attribute(telemetry: Telemetry) -> None:
    @telemetry.allocation.save
    def save(records: list[int], window: str) -> None:
        if not records:
            raise ValueError("nothing to save")

    save([1], "1h")
    with pytest.raises(ValueError, match="nothing"):
        save([], "1h")
    found: dict[str, set[str]] = {"span": set(), "span event": set()}
    for span in telemetry.spans:
        found["span"] |= {*(span.attributes or {})}
        for event in span.events:
            found["span event"] |= set() if event.name == "exception" else {*(event.attributes or {})}
    listed = {what: set(quoted(names)) for what, _, names in rows("docs/names.md", "what | name | attributes")}
    assert {what: listed[what] for what in found} == found


def test_listed_settings_are_those_of_opentelemetry() -> None:
    """Every variable that the page "Exporting" lists is one of OpenTelemetry's."""
    listed = {name for row in rows("docs/export.md", "variable | meaning") for name in quoted(row[0])}
    assert len(listed) == 16
    assert listed <= {*dir(environment_variables), *dir(sdk_variables)}


def test_names_page_lists_every_variable_of_the_package() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    listed = [name for names, _ in rows("docs/names.md", "variable of the package | meaning") for name in quoted(names)]
    assert sorted(listed) == sorted(set(re.findall(r"\bOTEL_PYTHON_KCEVENTS_[A-Z]+(?:_[A-Z]+)*", source)))
