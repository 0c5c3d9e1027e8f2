"""The embedded server's check of the hosts that requests name."""

from __future__ import annotations

import socket

import pytest
from clients import Answer, ask_port, ask_raw

from otel_kcevents import start_http_server
from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.serve.hosts import HostCheck
from otel_kcevents.store.log import EventLog

KNOWN = [
    *["127.0.0.1", "127.0.0.1:9003", "127.8.9.10", "[::1]", "[::1]:9003", "[0:0::1]", "[::ffff:127.0.0.1]"],
    *["localhost", "LOCALHOST.", "localhost:1", "localhost:", "etl.localhost"],
    *["etl.example", "Etl.Example:80", "192.0.2.7", "[2001:db8::7]", "[2001:DB8::8]", "[2001:db8::8%25eth0]"],
]
FOREIGN = [
    *["evil.example", "evil.example:9003", "localhost.evil.example", "127.evil.example", "xlocalhost"],
    *[
        "192.0.2.1",
        "[2001:db8::1]",
        "0.0.0.0",
        "127.1",
        "example",
        "sub.etl.example",
        socket.gethostname() + ".invalid",
    ],
]
WRONG = [
    *["", "[::1", "::1", "[::g]", "[1.2.3.4]", "localhost:99999", "localhost:port", "localhost:-1"],
    *["user@localhost", "localhost,evil.example", "local host", "größe", "http://localhost"],
]


@pytest.fixture
def hosts() -> HostCheck:
    return HostCheck("127.0.0.1", ["ETL.example.:9003", "192.0.2.7", "2001:db8::7", "[2001:db8::8]:80"])


@pytest.mark.parametrize("host", KNOWN)
def test_known_host_is_answered(hosts: HostCheck, host: str) -> None:
    """Loopback in any spelling and the `allowed_hosts`, with any port."""
    assert hosts.problem([host], "127.0.0.1") is None


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_host_is_a_421(hosts: HostCheck, host: str) -> None:
    """The refusal shows the host and how to allow it."""
    status, message = hosts.problem([host], "127.0.0.1") or (0, "")
    assert status == 421
    assert f"{host!r} is not a host of this server" in message
    assert f"allowed_hosts=[{host!r}]" in message


@pytest.mark.parametrize("host", WRONG)
def test_wrong_host_is_a_400(hosts: HostCheck, host: str) -> None:
    status, message = hosts.problem([host], "127.0.0.1") or (0, "")
    assert status == 400
    assert f"{host!r} is not a host; expected a name or an IP address" in message


def test_every_host_of_a_request_is_checked(hosts: HostCheck) -> None:
    assert hosts.problem([], "127.0.0.1") is None
    assert (hosts.problem(["localhost", "evil.example"], "127.0.0.1") or (0,))[0] == 421


def test_star_allows_every_host() -> None:
    assert HostCheck("127.0.0.1", ("*",)).problem(["evil.example"], "127.0.0.1") is None


def ask_host(port: int, *hosts: str, target: str = LOG_PATH) -> Answer:
    headers = "".join(f"Host: {host}\r\n" for host in hosts)
    return ask_raw(port, f"GET {target} HTTP/1.1\r\n{headers}\r\n".encode())


@pytest.mark.parametrize(
    ("hosts", "status"),
    [((), 200), (("localhost",), 200), (("evil.example",), 421), (("",), 400), (("localhost", "localhost"), 400)],
)
def test_server_checks_the_host_header(port: int, hosts: tuple[str, ...], status: int) -> None:
    """HTTP/1.0 clients may omit it; browsers always send it."""
    assert ask_host(port, *hosts).status == status


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost:9003/model/etl/log?kind=AssetSetSaved", 200),
        ("HTTPS://LOCALHOST/model/etl/log", 200),
        ("http://localhost/metrics", 404),
        ("http://localhost?kind=AssetSetSaved", 200),
        ("http://evil.example/model/etl/log", 421),
        ("http:///model/etl/log", 400),
    ],
)
def test_server_checks_the_host_in_the_target(port: int, target: str, status: int) -> None:
    """Clients send such targets to proxies."""
    assert ask_host(port, "localhost", target=target).status == status


def own_address() -> str:
    """Return the address from which this machine reaches others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


def test_server_on_every_address_knows_its_names() -> None:
    """With `addr="0.0.0.0"`, only the machine's own names and addresses are known."""
    name, own = socket.gethostname(), own_address()
    with start_http_server(0, "0.0.0.0", EventLog(), max_load=1) as server:
        for host in (name, name.partition(".")[0].upper(), socket.getfqdn(), f"{name}.:80", "0.0.0.0", "localhost"):
            assert ask_host(server.port, host).status == 200
        assert ask_host(server.port, f"{name}.evil.example").status == 421
        assert ask_port(server.port, host=own).status == 200
