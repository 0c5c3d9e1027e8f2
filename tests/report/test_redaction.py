"""`Redactor`: secrets, home folders, user names and e-mail addresses are removed from values, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_kcevents import Event, Failure, Window, read_document, set_scrub
from otel_kcevents.model.document import Document
from otel_kcevents.report.redaction import Redactor, printable
from otel_kcevents.report.secrets import Secrets


def redactor(**environ: str) -> Redactor:
    return Redactor(Secrets(environ), environ)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/people/jdoe/bills/a.csv", "~/bills/a.csv"),
        ("file:///srv/people/jdoe", "file://~"),
        ("x=%2Fsrv%2Fpeople%2Fjdoe%2Fa", "x=~%2Fa"),
        ("/srv/people/jdoe2/a", "/srv/people/jdoe2/a"),
        ("/home/anyone/a and /Users/any.one/b", "~/a and ~/b"),
        ("C:\\Users\\anyone\\a, C:\\\\Users\\\\anyone\\\\b", "~\\a, ~\\\\b"),
        ("%2Fhome%2Fanyone%2Fa", "~%2Fa"),
        ("C:\\Users\\Any One\\a or b", "~\\a or b"),
        ("c%3A%5CUsers%5Canyone%5Ca, %252Fhome%252Fanyone", "~%5Ca, ~"),
        ('"\\/home\\/anyone\\/a", /home//anyone/a', '"~\\/a", ~/a'),
        ("x=%252Fsrv%252Fpeople%252Fjdoe%252Fa, \\/srv\\/people\\/jdoe", "x=~%252Fa, ~"),
        ("by jdoe, etl_jdoe, -srv-people-jdoe-x, %2Fjdoe", "by ~, etl_~, -srv-people-~-x, %2F~"),
        ("jdoes and ajdoe", "jdoes and ajdoe"),
        ("jane.doe+x@mail.example.com, jane%40mail.example", "[email], [email]"),
        ("jane&#64;mail.example, jane\\u0040mail.example, jane%2540m\u00e4il.example", "[email], [email], [email]"),
        ("postgres@db", "postgres@db"),
        ("password=sesame", "password=[redacted]"),
        ("no route to db.example:5432", "no route to db.example:5432"),
    ],
)
def test_value_is_redacted(text: str, shown: str) -> None:
    assert redactor(HOME="/srv/people/jdoe", USER="jdoe")(text) == shown


@pytest.mark.parametrize("user", ["root", "etl", "airflow", "jo"])
def test_names_of_shared_accounts_are_kept(user: str) -> None:
    assert redactor(HOME="/", USER=user)(f"the {user} of all") == f"the {user} of all"


def test_user_is_taken_from_a_usual_home_folder_only() -> None:
    assert redactor(HOME="/opt/billing")("billing in /opt/billing") == "billing in ~"
    assert redactor(HOME="/home/jdoe")("by jdoe") == "by ~"


def test_key_of_several_lines_is_removed() -> None:
    """A key that is not in the environment."""
    text = "ValueError: bad key\n  -----BEGIN RSA PRIVATE KEY-----\n  abc\n  -----END RSA PRIVATE KEY-----\n  in save"
    assert redactor().lines(text) == "ValueError: bad key\n  [redacted]\n  in save"
    assert redactor().lines(text[:60]) == "ValueError: bad key\n  [redacted]"
    encrypted = text.replace("  abc", "  Proc-Type: 4,ENCRYPTED\n\n  abc")
    assert redactor().lines(encrypted) == "ValueError: bad key\n  [redacted]\n  in save"


def test_value_below_its_name_is_removed() -> None:
    assert redactor().lines("ValueError: password:\n    sesame\n") == "ValueError: password:\n    [redacted]\n"


def test_name_that_begins_like_a_service_is_removed() -> None:
    assert redactor(HOME="/", USER="etlmeyer")("by etlmeyer") == "by ~"


def test_user_of_the_process_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may write a report with the environment of another program."""
    monkeypatch.setenv("LOGNAME", "jdoe")
    assert redactor()("by jdoe") == "by ~"


def test_longest_home_folder_is_removed() -> None:
    assert redactor(HOME="/srv/people", USERPROFILE="/srv/people/x")("/srv/people/x/a, /srv/people/b") == "~/a, ~/b"


def test_secret_of_several_lines_is_removed() -> None:
    assert redactor(API_KEY="sesame-five").lines("ValueError: sesame-\n  five\n") == "ValueError: [redacted]\n"


def test_home_folder_behind_a_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert redactor(HOME=str(tmp_path / "link"))(f"{tmp_path}/real/a") == "~/a"


def test_default_rules_apply_if_scrubbing_is_off() -> None:
    """A log may be internal; a report is published."""
    set_scrub(False)
    try:
        assert redactor()("password=sesame") == "password=[redacted]"
    finally:
        set_scrub()


def test_rules_of_the_program_apply_too() -> None:
    set_scrub(lambda text: text.replace("123456789012", "[account]"))
    try:
        assert redactor()("account 123456789012, password=sesame") == "account [account], password=[redacted]"
    finally:
        set_scrub()


def test_document_is_redacted() -> None:
    secrets = {"password": "abc", "size": "large", "api_key": 12345678, "token": {"id": "abc", "on": True}, "n": 5}
    extra = json.dumps({"note": ["sesame-5", 1], "sesame-5": None, "deep": secrets})
    event = Event("AssetSetComputeError", 5, 3, Window(None, None), Failure("E", "sesame-5", "save"), extra)
    redacted = redactor(API_KEY="sesame-5").document(Document({"asset": (event,)}, {"AssetSetComputeError": 7}))
    (shown,) = redacted.lists["asset"]
    assert shown == event._replace(failure=Failure("E", "[redacted]", "save"), extra=shown.extra)
    assert json.loads(shown.extra or "") == {
        "note": ["[redacted]", 1],
        "[redacted]": None,
        "deep": {
            **{"password": "[redacted]", "size": "large", "api_key": "[redacted]"},
            **{"token": {"id": "[redacted]", "on": True}, "n": 5},
        },
    }
    assert redacted.counters == {"AssetSetComputeError": 7}


def test_type_and_operation_of_an_error_are_redacted() -> None:
    event = Event("AssetSetComputeError", 5, failure=Failure("Error_of_jdoe", "x", "of jdoe"))
    document = Document({"allocation": (), "asset": (event, event._replace(failure=None))}, {"AssetSetComputeError": 2})
    redacted = redactor(USER="jdoe").document(document)
    assert redacted.lists["asset"][0].failure == Failure("Error_of_~", "x", "of ~")
    assert read_document(redacted.to_json()) == redacted


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b[2J\u202eb\u2028ä") == "a\\u001b[2J\\u202eb\\u2028ä"
