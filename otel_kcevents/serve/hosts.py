"""Which hosts the embedded server answers for: those of this machine, and those that the program allows."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from otel_kcevents.model.messages import short_repr

__all__ = ["HostCheck", "is_loopback"]

# The zone of an IPv6 address, as in [fe80::1%eth0], does not identify a machine.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)(?:%[\w.~-]+)?\]|([\w.-]+))(?::(\d{0,5}))?", re.ASCII | re.IGNORECASE)
_MAX_PORT = 65_535


class HostCheck:
    """Decides which hosts a server answers for.

    Args:
        addr: The address to listen on, as the program specified it: a name or an IP address.
        allowed_hosts: Further names and IP addresses, whose ports are ignored; `"*"` allows every host.

    Raises:
        TypeError: *allowed_hosts* is a string, or has an entry that is not a string.
        ValueError: An entry of *allowed_hosts* is not a host.
    """

    def __init__(self, addr: str, allowed_hosts: Iterable[str]) -> None:
        if isinstance(allowed_hosts, str):
            raise TypeError(
                f"allowed_hosts={short_repr(allowed_hosts)} is a string; give a list such as ['etl.example'] or ['*']"
            )
        given = list(allowed_hosts)
        self._all = "*" in given
        self._hosts = {_parse_allowed(host) for host in given if host != "*"}
        self._hosts.add(_normal(addr))
        self._wildcard = addr in ("0.0.0.0", "::")

    def problem(self, hosts: Iterable[str], local_address: str) -> tuple[int, str] | None:
        """Return why a request is refused, as a status code and a message; None if it is accepted.

        Args:
            hosts: The hosts that the request names.
            local_address: The IP address that the connection arrived at.
        """
        for host in hosts:
            try:
                known = self._is_known(_parse(host), local_address)
            except ValueError:
                return 400, f"{short_repr(host)} is not a host; expected a name or an IP address, with an optional port"
            if not known:
                remedy = f"allow it with start_http_server(allowed_hosts=[{short_repr(host)}]), or with --allowed-host"
                return 421, f"{short_repr(host)} is not a host of this server; {remedy}"
        return None

    def _is_known(self, host: _Host, local_address: str) -> bool:
        if self._all or host in self._hosts or host == _normal(local_address):
            return True
        if not isinstance(host, str):
            return host.is_loopback
        if host == "localhost" or host.endswith(".localhost"):
            return True
        name = socket.gethostname().lower()
        return self._wildcard and (host in (name, name.partition(".")[0]) or host == _full_name())


_Host: TypeAlias = str | IPv4Address | IPv6Address


def _parse(text: str) -> _Host:
    """Return the host of a `Host` header, without its port.

    Raises:
        ValueError: *text* is not a host.
    """
    match = _HOST.fullmatch(text.strip())
    if match is None or int(match[3] or 0) > _MAX_PORT:
        raise ValueError(text)
    return _normal(str(IPv6Address(match[1])) if match[1] else match[2])


def is_loopback(address: str) -> bool:
    """Return whether a string is a loopback address.

    Args:
        address: The IP address; another string is not one.
    """
    host = _normal(address)
    return not isinstance(host, str) and host.is_loopback


def _parse_allowed(host: object) -> _Host:
    if not isinstance(host, str):
        raise TypeError(f"allowed_hosts has {short_repr(host)}; give strings such as 'etl.example'")
    try:
        return _parse(f"[{host}]" if host.count(":") > 1 and "[" not in host else host)
    except ValueError:
        raise ValueError(
            f"allowed_hosts has {short_repr(host)}, which is not a host; give a name such as 'etl.example', "
            "an IP address, or '*' for every host"
        ) from None


def _normal(host: str) -> _Host:
    """Return a name in lower case without a final dot, or an IP address without its zone."""
    name = host.partition("%")[0].lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    # A socket for both protocols reports an IPv4 client's addresses as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address


@cache
def _full_name() -> str:
    """Return this machine's name with its domain; the DNS query may take seconds."""
    return socket.getfqdn().lower().removesuffix(".")
