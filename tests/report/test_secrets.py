"""`Secrets`: which variables hold secrets, and the forms in which a string may contain them."""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from otel_kcevents.report.secrets import ReportRefusedError, Secrets

SECRET = 'Sesame & "spice" äö'


def masked(text: str, **environ: str) -> str:
    return Secrets(environ).mask(text)


@pytest.mark.parametrize(
    "name",
    [
        *("API_KEY", "APIKEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITHUB_TOKEN", "PGPASSWORD", "MYSQL_PWD"),
        *("DB_PASSWD", "DB_PASS", "KEY_PASSPHRASE", "GCP_CREDENTIALS", "BASIC_AUTH", "SESSION_COOKIE", "SENTRY_DSN"),
        *("PRIVATE_PEM", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "CONNSTR", "WEBHOOK_URL", "GITHUB_PAT", "db_password"),
    ],
)
def test_name_suggests_a_secret(name: str) -> None:
    assert masked("is sesame-5 right?", **{name: "sesame-5"}) == "is [redacted] right?"


@pytest.mark.parametrize(
    "name",
    ["PATH", "PWD", "OLDPWD", "KEYBOARD", "PASSWORD_FILE", "SSH_AUTH_SOCK", "KEY_PATH", "XDG_SESSION_ID"],
)
def test_other_names_suggest_no_secret(name: str) -> None:
    assert masked("is sesame-5 right?", **{name: "sesame-5"}) == "is sesame-5 right?"


@pytest.mark.parametrize(
    "value",
    [
        *("", "true", "4711", "123456789", "1.5", "1234.567", "12345", "postgres", "LOCALHOST", "  on  "),
        *("2024-09-18", "2024-09", "2024-09-18T22:00:00Z", "22:00:00.5+02:00", "2024-09-18 22:00"),
    ],
)
def test_short_and_ordinary_values_are_not_secrets(value: str) -> None:
    """Without them, each report would be useless, and everyone knows them."""
    assert masked(f"it is {value}.", DB_PASSWORD=value) == f"it is {value}."


@pytest.mark.parametrize("value", ["sesam5", "1234567890", "2024-09-18-a", "1234-5678-90"])
def test_shortest_secrets_are_masked(value: str) -> None:
    assert masked(f"it is {value}.", DB_PASSWORD=value) == "it is [redacted]."


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("DATABASE_URL", "postgresql://etl:sesame-5@db/costs", "sesame-5"),
        ("PIP_INDEX_URL", "https://sesame-token-5@packages.example/simple", "sesame-token-5"),
        ("BROKER", "amqp://a:sesame-5@h1,amqp://b:sesame-6@h2", "sesame-6"),
        ("BROKER", "redis://:sesame-5@h1/0", "sesame-5"),
        ("BROKER", "amqp://a:pa@sesame-5@h1", "pa@sesame-5"),
        ("BROKER", "amqp://a:pa%40sesame-5@h1", "pa@sesame-5"),
        ("OPTIONS", "host=db password='sesame five' user=etl", "sesame five"),
        ("OPTIONS", "Server=db;Pwd=sesame-5;", "sesame-5"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=sesame-5, y=z", "sesame-5"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame-5", "sesame-5"),
        ("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Basic {base64.b64encode(b'u:sesame-5').decode()}", "sesame-5"),
        ("PROXY_AUTH", "etl:sesame-5", "sesame-5"),
        ("SECRET_JSON", json.dumps({"a": [{"token": 'se"same-5'}]}), 'se"same-5'),
        ("TLS_KEY", "-----BEGIN KEY-----\nsesamesesamesesame\n-----END KEY-----", "sesamesesamesesame"),
        ("TLS_KEY", "-----BEGIN KEY-----\\nsesamesesamesesame\\n-----END KEY-----", "sesamesesamesesame"),
        ("WEBHOOK", "https://hooks.example/services/T0/sesamesesame5", "sesamesesame5"),
        ("ARGUMENTS", "--name etl --password sesame-5 --day 1", "sesame-5"),
        ("ERROR", "password=sesame-5 [SQL: SELECT 'x']", "sesame-5 [SQL: SELECT 'x']"),
        ("ARGUMENTS", "run --token 'sesame-5'", "sesame-5"),
        ("SOMETHING", "ghp_sesame0123456789sesame0123456789sesa", "ghp_sesame0123456789sesame0123456789sesa"),
    ],
)
def test_part_of_a_value_is_secret(name: str, value: str, part: str) -> None:
    assert masked(f"it is {part}.", **{name: value}) == "it is [redacted]."


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("DATABASE_URL", "postgresql://etl:sesame-5@database/costs", "database/costs"),
        ("SECRET_JSON", "{not JSON", "{not"),
        ("AUTH_URL", "https://login.example/x", "//login.example/x"),
        ("OPTIONS", "password='disk' user=etl", "'disk'"),
        ("TLS_KEY", "-----BEGIN KEY-----\nsesamesesamesesame\nvery-short\n-----END KEY-----", "very-short"),
        ("PROXY_AUTH", "Basic not-base64-!", "base64"),
        ("TLS_KEY", "-----BEGIN KEY-----\nsesamesesamesesame\n-----END KEY-----", "-----BEGIN KEY-----"),
    ],
)
def test_rest_of_a_value_is_kept(name: str, value: str, kept: str) -> None:
    assert masked(kept, **{name: value}) == kept


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET).replace("%C3", "%c3").replace("%A4", "%a4").replace("%B6", "%b6"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
        repr(SECRET.encode())[2:-1],
        html.escape(SECRET),
        ascii(SECRET)[1:-1],
        quote(quote(SECRET)),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        base64.b64encode(SECRET.encode("utf-16-le")).decode().rstrip("="),
        json.dumps(json.dumps(json.dumps(SECRET))),
        repr(repr(SECRET.encode())),
        quote(quote(quote(SECRET))),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        "".join(f"\\x{byte:02x}" for byte in SECRET.encode()),
        "".join(f"\\u{ord(character):04x}" for character in SECRET),
        "".join(f"&#{ord(character)};" for character in SECRET),
        SECRET.replace("&", "&amp;").replace('"', "&quot;"),
        SECRET.encode().hex(":"),
        SECRET.encode().hex(" "),
        str(list(SECRET.encode())),
        SECRET.upper(),
        "\n".join(textwrap.wrap(SECRET, 4)),
        repr("\n".join(textwrap.wrap(SECRET, 4))),
        f"{SECRET[:5]}=\r\n{SECRET[5:]}",
        f"{SECRET[:5]}\u200b{SECRET[5:]}",
        "\0".join(SECRET),
    ],
)
def test_encoded_secret_is_masked(form: str) -> None:
    shown = masked(f"<{form}>", API_KEY=SECRET)
    assert re.fullmatch(r"(?s)<[\[ '\"\\b]*\[redacted\][\] '\"\\n]*A?>", shown)


@pytest.mark.parametrize("column", range(40, 60))
def test_secret_in_lines_of_base64_is_masked(column: int) -> None:
    """As mail and PEM write it; the secret is on two lines, or its beginning is in another place."""
    text = base64.encodebytes(b"x" * column + b"sesame-five" + b"y" * 20).decode()
    assert "[redacted]" in masked(text, API_KEY="sesame-five")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_secret_in_both_alphabets_of_base64_is_masked(encode: Callable[[bytes], bytes]) -> None:
    assert masked(encode(b"sesame-5???>>>~~~").decode(), API_KEY="sesame-5???>>>~~~").startswith("[redacted]")


def test_secret_in_a_statement_is_masked() -> None:
    assert masked("VALUES ('ses''ame')", API_KEY="ses'ame") == "VALUES ('[redacted]')"


@pytest.mark.parametrize("secret", ["\u4e38\u8005\u7530\u4e2d\u5c71\u672c", "\u00e41\u00e42\u00e43\u00e44"])
def test_secret_of_other_letters_is_masked(secret: str) -> None:
    for form in (secret, quote(secret), json.dumps(secret)[1:-1]):
        assert masked(f"it is {form}.", API_KEY=secret) == "it is [redacted]."
    assert masked("1234", API_KEY=secret) == "1234"


def test_secret_after_a_backslash_is_masked() -> None:
    """The backslash and the first letter are not an escape."""
    assert masked(r"CORP\nina-sesame", API_KEY="nina-sesame") == r"CORP\[redacted]"


@pytest.mark.parametrize("before", ["", "u", "u:"])
def test_secret_inside_base64_is_masked(before: str) -> None:
    text = base64.b64encode(f"{before}sesame-five;rest".encode()).decode()
    assert "[redacted]" in masked(text, API_KEY="sesame-five")


def test_longer_secret_is_masked_as_one() -> None:
    for text in ("sesame-5-street", "SESAME%2D5-STREET"):
        assert masked(text, A_KEY="sesame-5", B_KEY="sesame-5-street") == "[redacted]"


def test_truncated_secret_is_masked() -> None:
    environ = {"A_KEY": "sesame-5-street"}
    assert masked("x" * 10 + "sesame-5-s…", **environ) == "x" * 10 + "[redacted]…"
    assert masked("got 'sesame-5-st…; sesam… sesame-5-street…", **environ) == "got '[redacted]…; sesam… [redacted]…"
    assert masked("sesamesesame-5…", A_KEY="sesame-5-street") == "sesame[redacted]…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'xx sesame-5-st...'", "'xx [redacted]...'"),
        ("'sesame-5...street' and", "'[redacted]...[redacted]' and"),
        ("'sesame-5[...]xx'", "'[redacted][...]xx'"),
        ("…e-5-street is wrong", "…[redacted] is wrong"),
        ("(%53esame%2D5…)", "([redacted]…)"),
        ("use sesa&mes…", "use [redacted]…"),
        ("a sesame…street b", "a [redacted]…[redacted] b"),
        ("sesame-5%2…, sesame-5\\x…, sesame-5&#4…", "[redacted]…, [redacted]…, [redacted]…"),
        ("sesam... treet", "sesam... treet"),
        ("sesame-6... 5-streets", "sesame-6...[redacted]s"),
    ],
)
def test_secret_without_a_part_is_masked(text: str, shown: str) -> None:
    assert masked(text, A_KEY="sesame-5-street", B_KEY="sesa&mesesame") == shown


@pytest.mark.parametrize("text", ["it is sesame-5.", "it is %73esame-5.", f"it is {b'sesame-5'.hex()}"])
def test_check_names_the_variable_and_not_the_value(text: str) -> None:
    with pytest.raises(ReportRefusedError, match=r"the variable DB_PASSWORD, .* env -u DB_PASSWORD") as caught:
        Secrets({"DB_PASSWORD": "sesame-5"}).check(text)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("value", ["x" * 16_384, "a@" * 8_192, "http://a:" + "@b" * 8_000, "k=" * 8_192, "[" * 16_384])
def test_long_and_odd_values_are_read(value: str) -> None:
    """A pattern that backtracks would take minutes."""
    assert Secrets({"A_KEY": value, "OTHER": value}).mask(value) == "[redacted]"


def test_check_accepts_fixed_words_of_reports() -> None:
    for value in ("Platform", "platform", "PLATFORM"):
        Secrets({"DB_PASSWORD": value}).check("== Platform ==", fixed="Platform")


def test_only_the_login_of_a_url_is_masked() -> None:
    url = "postgresql://etl:sesame-5@database/costs"
    assert masked(f"no route to {url}", DATABASE_URL=url) == "no route to postgresql://[redacted]@database/costs"


def test_value_that_is_not_text_is_masked() -> None:
    """Python represents its bytes by surrogates."""
    assert masked("it is sesame\udcff\udc80.", A_KEY="sesame\udcff\udc80", B_KEY="\ud800sesame") == "it is [redacted]."
