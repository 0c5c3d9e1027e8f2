"""`otel_kcevents.model.scrub`: the secrets of a message are removed, and nothing else."""

from __future__ import annotations

from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.model.scrub import REDACTED, scrub

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
AWS_KEY, AWS_SECRET = "AKIA" + "Q" * 16, "wJalr/" + "x" * 34
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"
LOGIN = "pg://[redacted]@db:5432/costs"


@pytest.mark.parametrize("password", ["hunter2", "a@b", "a/b", "1/b", "a:b", "a?b", "a#b", "a b", "it's", "%40x", ""])
def test_user_info_of_a_url_is_removed(password: str) -> None:
    """With any characters in the password, even those that should be encoded."""
    assert scrub(f"no route to pg://etl:{password}@db:5432/costs?a=1 (113)") == f"no route to {LOGIN}?a=1 (113)"


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        ("redis://:hunter2@cache/0", "redis://[redacted]@cache/0"),
        ("https://hunter2@git.example/a.git", "https://[redacted]@git.example/a.git"),
        ("http://a:b@one:80,http://c:d@two:80", "http://[redacted]@one:80,http://[redacted]@two:80"),
        ("https://a:b/c@host/x?to=d@e", "https://[redacted]@host/x?to=d@e"),
        ("pg://etl:hunter2?x@db", "pg://[redacted]@db"),
        ("azure://app:hunter2?tenant=1", "azure://[redacted]?tenant=1"),
        ("from 'pg//etl:hunter2@db/costs'", "from 'pg//etl:[redacted]@db/costs'"),
        ("curl -u etl:hunter2 db", "curl -u [redacted] db"),
        ("['curl', '--user', 'etl:hunter2', 'db']", "['curl', '--user', '[redacted]', 'db']"),
        ("etl/hunter2@//db:1521/ORCL", "etl/[redacted]@//db:1521/ORCL"),
        ("jdbc:oracle:thin:etl/hunter2@db:1521/x", "jdbc:oracle:thin:etl/[redacted]@db:1521/x"),
        ("etl:hunter2@tcp(db:3306)/costs", "etl:[redacted]@tcp(db:3306)/costs"),
        ("https%3A%2F%2Fetl%3Ahunter2%40db%2Fa", "https%3A%2F%2F[redacted]%40db%2Fa"),
        ("sqlplus -S etl/hunter2@ORCL failed", "sqlplus -S etl/[redacted]@ORCL failed"),
        ("hooks.slack.com/services/T0/B0/abc", "hooks.slack.com/services/[redacted]"),
    ],
)
def test_login_of_an_address_is_removed(message: str, scrubbed: str) -> None:
    assert scrub(message) == scrubbed


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        ("password=hunter2 host=db", "password=[redacted] host=db"),
        (r"password='hun\'ter2' host=db", "password=[redacted] host=db"),
        ("connect(host=db,password=a,b)c,port=1)", "connect(host=db,password=[redacted],port=1)"),
        ("password='it''s hunter2' host='db'", "password=[redacted] host='db'"),
        ("password='' token=f'{x}' host=db", "password='' token=[redacted] host=db"),
        ("['etl', '--password', 'hunter2', 'db']", "['etl', '--password', [redacted], 'db']"),
        ("SERVER=db;UID=sa;PWD=hunter2;Encrypt=yes", "SERVER=db;UID=sa;PWD=[redacted];Encrypt=yes"),
        ("UID=sa;PWD=hun ter2;SERVER=db", "UID=sa;PWD=[redacted];SERVER=db"),
        ("UID=sa;PWD=hunter2 refused by db", "UID=sa;PWD=[redacted] refused by db"),
        ("PWD={my}}pass;word};SERVER=db", "PWD=[redacted];SERVER=db"),
        ("SERVER%3Ddb%3BPWD%3Dhunter2%3BUID%3Dsa", "SERVER%3Ddb%3BPWD%3D[redacted]%3BUID%3Dsa"),
        ("AccountName=a;AccountKey=ab+/12==;x=1", "AccountName=a;AccountKey=[redacted];x=1"),
        ("url: /x?day=1&key=hunter2 (refused)", "url: /x?day=1&key=[redacted] (refused)"),
        ("url: /x?My_api_key=hunter2&day=1", "url: /x?My_api_key=[redacted]&day=1"),
        ("?X-Amz-Credential=a%2Fb&X-Amz-Signature=ab", "?X-Amz-Credential=[redacted]&X-Amz-Signature=[redacted]"),
        ("?sv=2022&sig=ab%3D", "?sv=2022&sig=[redacted]"),
        ('{"password": "hun\\"ter2", "host": "db"}', '{"password": [redacted], "host": "db"}'),
        ("{'apiKey': 'hunter2', 'host': 'db'}", "{'apiKey': [redacted], 'host': 'db'}"),
        (r"{\"password\": \"hunter2\", \"host\": 1}", r"{\"password\": [redacted], \"host\": 1}"),
        (r"{\"password\": \"hunter2", r"{\"password\": [redacted]"),
        ("[['password', 'hunter2'], ['host', 'db']]", "[['password', [redacted]], ['host', 'db']]"),
        ("os.environ['DB_PASS'] = 'hunter2'", "os.environ['DB_PASS'] = [redacted]"),
        ("auth=('etl', 'hunter2'), timeout=5", "auth=[redacted], timeout=5"),
        ("auth=('etl', 'hunter2", "auth=[redacted]"),
        ("password='hunter2", "password=[redacted]"),
        ("Authorization: Bearer hunter2", "Authorization: [redacted]"),
        ("(b'authorization', b'Basic aDI='), 1", "(b'authorization', [redacted]), 1"),
        ("Authorization: Digest a=1, b=2\nnext", "Authorization: [redacted]\nnext"),
        ("401 for Bearer hunter2", "401 for Bearer [redacted]"),
        ("Set-Cookie: a=1; b=2\nnext", "Set-Cookie: [redacted]\nnext"),
        ("<password>hunter2</password><host>db</host>", "<password>[redacted]</password><host>db</host>"),
        ("etl --password hunter2 --host db", "etl --password [redacted] --host db"),
        ("API key: hunter2 is unknown", "API key: [redacted] is unknown"),
        ("connect(password=SecretStr('hunter2'), port=1)", "connect(password=[redacted], port=1)"),
        ("key = SecretStr('hunter2')", "key = SecretStr([redacted])"),
        ("SecretStr('**********')", "SecretStr('**********')"),
        ("<Cookie session=hunter2 for db>, <Cookie a='b>", "<Cookie session=[redacted] for db>, <Cookie a='b>"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-team=hunter2, 5", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=[redacted], 5"),
        ("OTEL_EXPORTER_OTLP_HEADERS is malformed", "OTEL_EXPORTER_OTLP_HEADERS is malformed"),
        ("'x-honeycomb-team': 'hunter2'", "'x-honeycomb-team': [redacted]"),
        ("auth=HTTPBasicAuth('etl', 'hunter2'), timeout=5", "auth=[redacted], timeout=5"),
        ("HTTPBasicAuth('etl', 'hunter2').x, 5", "HTTPBasicAuth([redacted]).x, 5"),
        ("client.set_token('hunter2", "client.set_token([redacted]"),
        ("def f(password: str = 'hunter2', day=1)", "def f(password: [redacted], day=1)"),
        ("CREATE USER a PASSWORD 'hunter2' x", "CREATE USER a PASSWORD [redacted] x"),
        ("IDENTIFIED BY 'hunter2' x", "IDENTIFIED BY [redacted] x"),
        ("IDENTIFIED BY hunter2 x", "IDENTIFIED BY [redacted] x"),
        ("the password was 'hunter2' x", "the password was [redacted] x"),
        ("Invalid API key provided: hunter2. See", "Invalid API key provided: [redacted] See"),
        ("password:\n  hunter2\nhost: db", "password:\n  [redacted]\nhost: db"),
        ("password: >-\n  hunter2\nhost: db", "password: >-\n  [redacted]\nhost: db"),
        ("password\xa0: hunter2, password\uff1ahunter2", "password\xa0: [redacted], password\uff1a[redacted]"),
        ("%22password%22%3A%22hunter2%22%2C", "%22password%22%3A[redacted]%2C"),
        ("{'name': 'DB_PASSWORD', 'value': 'hunter2'}", "{'name': 'DB_PASSWORD', 'value': [redacted]}"),
        (
            "Invalid parameter SecretString, value: 12, type: int",
            "Invalid parameter SecretString, value: [redacted], type: int",
        ),
        ('<add key="ApiKey" value="hunter2" />', '<add key="ApiKey" value=[redacted] />'),
        ("name: DB_PASSWORD\n  value: hunter2\n", "name: DB_PASSWORD\n  value: [redacted]\n"),
    ],
)
def test_value_of_a_secret_name_is_removed(message: str, scrubbed: str) -> None:
    """In the notations of Python, JSON, URLs, headers, connection strings, XML, command lines and SQL."""
    assert scrub(message) == scrubbed


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        ("mysqldump -P 3306 -phunter2 costs", "mysqldump -P 3306 -p[redacted] costs"),
        ("['mysql', '-u', 'etl', '-phunter2', 'costs']", "['mysql', '-u', 'etl', '-p[redacted]', 'costs']"),
        ("mysqldump -phunter2 costs | gzip -p 9", "mysqldump -p[redacted] costs | gzip -p 9"),
        ("sshpass -p hunter2 scp a b", "sshpass -p [redacted] scp a b"),
        ("['docker', 'login', '-p', 'hunter2', 'a']", "['docker', 'login', '-p', '[redacted]', 'a']"),
        ("sqlcmd -S db -P hunter2 -Q x", "sqlcmd -S db -P [redacted] -Q x"),
        ("redis-cli -a hunter2 ping", "redis-cli -a [redacted] ping"),
    ],
)
def test_password_in_a_command_is_removed(message: str, scrubbed: str) -> None:
    assert scrub(message) == scrubbed


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        ("Invalid header value b'hunter2\\n'", "Invalid header value b'[redacted]'"),
        ("character(s) in header value: ' hunter2'", "character(s) in header value: '[redacted]'"),
        (
            "Header part (12) from ('X-Api-Key', 12) must be str",
            "Header part ([redacted]) from ('X-Api-Key', [redacted]) must be str",
        ),
        ("Command # 1 (AUTH hunter2) of pipeline caused", "Command # 1 (AUTH [redacted]) of pipeline caused"),
    ],
)
def test_value_that_a_client_quotes_is_removed(message: str, scrubbed: str) -> None:
    assert scrub(message) == scrubbed


@pytest.mark.parametrize(
    "secret",
    [JWT, AWS_KEY, f"{AWS_KEY}', '{AWS_SECRET}", "ghp_" + "a" * 36, "xoxb-1234-abcd", "AIza" + "b" * 35, PEM, PEM[:35]]
    + [f"{start}{'a1' * 24}" for start in ("dckr_pat_", "lin_api_", "rubygems_", "sntrys_", "dp.pt.", "tskey-auth-")]
    + [f"pul-{'a1' * 20}"],
)
def test_secret_of_a_known_format_is_removed(secret: str) -> None:
    assert scrub(f"refused: {secret}") == f"refused: {REDACTED}"


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        (
            "no such table\n[SQL: SELECT * FROM t WHERE a = ? AND b = 'x']\n[parameters: ('hunter2', \"]'\")]\n(See",
            "no such table\n[SQL: SELECT * FROM t WHERE a = ? AND b = '?']\n[parameters: [redacted]]\n(See",
        ),
        ("x [parameters: ('hunter2', 'c", "x [parameters: [redacted]"),
        ("failed with params {'a': 'hunter2'} on db", "failed with params [redacted] on db"),
        ("DETAIL:  Key (a)=(x) y) already exists.", "DETAIL:  Key (a)=([redacted]) already exists."),
        ("Key (a)=(x) conflicts with existing key (a)=(y).", "Key (a)=([redacted]) conflicts with an existing key"),
        ("Failing row contains (1, x, null).\nnext", "Failing row contains ([redacted]).\nnext"),
        ("row with column values (A:'x') already exists", "row with column values ([redacted]) already exists"),
        (r"'Duplicate entry \'x\' for key \'a\''", r"'Duplicate entry \'[redacted]' for key \'a\''"),
        ("Duplicate entry 'x' for key 't.a'", "Duplicate entry '[redacted]' for key 't.a'"),
        ("LINE 1: SELECT 'x' FROM t", "LINE 1: SELECT '?' FROM t"),
        ("[SQL: SELECT 'x' FROM t] failed", "[SQL: SELECT '?' FROM t] failed"),
        ("input_value=x", "input_value=[redacted]"),
        ('invalid input syntax for type date: "x"\nLINE', 'invalid input syntax for type date: "[redacted]"\nLINE'),
        ("Incorrect integer value: 'x' for column 'a'", "Incorrect integer value: '[redacted]' for column 'a'"),
        ("Could not convert string 'x' to INT32", "Could not convert string '[redacted]' to INT32"),
        ("Execution failed on sql 'SELECT 'x'': no table t", "Execution failed on sql 'SELECT '?'': no table t"),
        ("Execution failed on sql: SELECT 'x'\nno table t", "Execution failed on sql: SELECT '?'\nno table t"),
        ("error\n== SQL ==\nSELECT 'x'\n---^^^\nat 'a'", "error\n== SQL ==\nSELECT '?'\n---^^^\nat 'a'"),
    ],
)
def test_values_of_a_database_error_are_removed(message: str, scrubbed: str) -> None:
    assert scrub(message) == scrubbed


@pytest.mark.parametrize(
    "message",
    [
        "[Errno 28] No space left on device: '/data/2024-09-18T22.parquet'",
        "https://example.com/a?to=etl@example.com",
        "https://example.com/@scope/package",
        "abfss://container@account.dfs.core.windows.net/x",
        "s3://bucket/part@1.parquet",
        "Unexpected token: '}' at line 3",
        "max_tokens=4096, token_count: 5, tokens: 17",
        "no such column: password",
        "password authentication failed for user 'etl' (using password: YES)",
        "docker pull repo:tag@sha256:0abc, kafka://broker:9092/topic, sqlite:///C:/costs.db",
        "may not secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu:1:secret:prod/db",
        "password_file=/run/secrets/db has_password=False secret=None",
        "Basic authentication required; the bearer token expired",
        "no matching signature found: (int, str)",
        "a->token->b, token://x, ['id', 'password', 'day']",
        "Missing value for password:\n\nSee the docs; secretary=Jane, at 12:30@office",
        "could not convert string to float: '12,5', invalid token '}', {'name': 'cost', 'value': 'USD'}",
        "mysql -h db -P 3306 costs; sqlplus @load.sql; docker login failed; header value is missing",
    ],
)
def test_message_without_a_secret_is_unchanged(message: str) -> None:
    assert scrub(message) == message


PIECES = [
    *(
        "a",
        "0",
        " ",
        "\n",
        "'",
        '"',
        "\\",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "@",
        "/",
        ":",
        "://",
        "=",
        "&",
        ";",
        ",",
        ".",
        "-",
    ),
    *("%3D", "password", "password=", "token: ", "Key (a)=(", "[parameters: (", "[SQL: '", "eyJhbGciOiJI", "AKIA"),
    *("Basic ", "Bearer ", "-----BEGIN A-----", "pg://u:", "a:b@", "Failing row contains (", "--token ", "<token>"),
    *(
        "header value '",
        "mysql -p",
        "Command # 1 (a ",
        ") of pipeline",
        "Header part (",
        "%3A%2F%2F",
        "%40",
        "%22",
        "value",
    ),
    *(
        "set_token(",
        "auth=f(",
        "IDENTIFIED BY ",
        "Execution failed on sql '",
        "sqlplus a/",
        "password is ",
        "\xa0",
        ">",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_scrubbing_twice_changes_nothing(message: str) -> None:
    assert scrub(scrub(message)) == scrub(message)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "[parameters: (",
        "[SQL: '",
        "Key (a)=(",
        "password='",
        "a:b@cookie: ",
        "u://",
        "mysql -p ",
        "header value '",
    ],
)
def test_time_is_linear_in_the_length(piece: str) -> None:
    """Each takes a tenth of a second; quadratic time would be minutes."""
    start = thread_time()
    scrub(f'{piece}\\"' * 10_000)
    assert thread_time() - start < 10
