"""A program whose exceptions are full of secrets: those of its environment, and others in forms that can be recognized.

Its environment is `environment()`. The last exception is not caught.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from otel_kcevents import allocation, asset, configure

PLAIN = "s3cr3t-Pl4nt+ed/1"
PASSWORD = "correct horse&battery=staple"
KEY = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "plantedplantedplantedplanted1234",
        "-----END PRIVATE KEY-----",
    ]
)
HEADER_TOKEN = "planted-Header.Token_2"
PATH_OF_KEY = "/run/secrets/key.pem"


def environment(home: str) -> dict[str, str]:
    """Return variables that hold secrets, a user, and a home folder."""
    return {
        "HOME": home,
        "USER": "plantedperson",
        "LOGNAME": "plantedperson",
        "DB_PASSWORD": PLAIN,
        "SESSION_COOKIE": f"sid={PASSWORD}",
        "ADMIN_PASSWD": PASSWORD,
        "TLS_PRIVATE_KEY": KEY,
        "SERVICE_ACCOUNT_JSON": json.dumps({"client": "etl", "private_key": "planted-in-json-7", "id": 5}),
        "SENTRY_DSN": "https://plantedsentry8@o1.ingest.example/42",
        "DATABASE_URL": "postgresql://etl:planted-in-url-9@db.example:5432/costs",
        "BASIC_AUTH": "etl:planted-login-10",
        "AZURE_CONNECTION_STRING": "AccountName=costs;AccountKey=cGxhbnRlZC1henVyZS0xMQ==;EndpointSuffix=core",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={HEADER_TOKEN},authorization=Basic%20{_base64('u:planted-basic-12')}",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=nightly,owner.token=planted-attribute-13",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": PATH_OF_KEY,
        "SLACK_WEBHOOK": "https://hooks.slack.example/services/T0/B0/plantedhook14",
        "KEYBOARD": "qwertz-keyboard",
        "TOKEN_CHECK": "true",
        "PIN": "4711",
    }


PLANTED = (
    *(
        PLAIN,
        PASSWORD,
        "plantedplantedplanted",
        HEADER_TOKEN,
        "planted-in-json-7",
        "plantedsentry8",
        "planted-in-url-9",
    ),
    *("planted-login-10", "cGxhbnRlZC1henVyZS0xMQ", "planted-azure-11", "planted-basic-12", "planted-attribute-13"),
    *("plantedhook14", "plantedperson", "planted.person@mail.example", "planted-unknown-15", "planted-unknown-16"),
    *("planted-unknown-17", "planted-unknown-18", "AKIAPLANTED123456789", "ghp_planted0123456789planted0123456789"),
)
"""What no report may hold, in any encoding."""


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def messages() -> Iterator[str]:
    """Return messages with the secrets, as programs and libraries write them."""
    home = os.path.expanduser("~")
    for value in (PLAIN, PASSWORD, HEADER_TOKEN, "planted-login-10", "planted-in-json-7", "plantedhook14"):
        yield f"refused {value}"
        yield f"GET /prices?day=1&x={quote(value)}&y={quote(value, safe='')}"
        yield f"sent {json.dumps(json.dumps({'x': value}))} and {value!r} and {value.encode()!r}"
        yield f"header Y-{_base64(value)}, {_base64('a' + value)}, {_base64('ab' + value + 'c')}"
        yield f"bytes {value.encode().hex()}"
        yield f"{'x' * 4085} {value} and more"  # cut in the middle
    yield os.environ["TLS_PRIVATE_KEY"]
    yield "cannot parse plantedplantedplantedplanted1234"
    yield os.environ["DATABASE_URL"]
    yield f"cannot open {os.environ['AZURE_CONNECTION_STRING']} as {os.environ['SENTRY_DSN']}"
    yield f"no such file: {home}/bills/plantedperson.csv, /home/plantedperson/x, C:\\Users\\plantedperson\\y"
    yield "mail from planted.person@mail.example to planted.person%40mail.example"
    yield "login postgresql://etl:planted-unknown-15@db/costs, password=planted-unknown-16"
    yield '{"Authorization": "Bearer planted-unknown-17", "api_key": "planted-unknown-18"}'
    yield "key AKIAPLANTED123456789, token ghp_planted0123456789planted0123456789"
    yield f"owner.token=planted-attribute-13, {os.environ['OTEL_EXPORTER_OTLP_HEADERS']}"


@asset.load
def load(message: str) -> None:
    error = type(f"Error_of_plantedperson_{PLAIN}", (ValueError,), {})(message)
    if sys.version_info >= (3, 11):
        error.add_note(f"note: {message}")
    raise error


@allocation.reconcile(window="day")
def reconcile(day: str, message: str) -> None:
    try:
        load(message)
    except ValueError as error:
        raise RuntimeError(f"{day} does not add up: {message}") from error


def main() -> None:
    allocation.emit("saved", size=3, window="2024-09-18T22:00:00Z,2024-09-18T23:00:00Z")
    for message in messages():
        with suppress(RuntimeError):
            reconcile("2024-09-18", message)
    reconcile("2024-09-19", " ".join(messages()))


if __name__ == "__main__":
    configure()
    main()
