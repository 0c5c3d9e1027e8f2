"""Fork while a server has open connections, and take its port again while the child lives."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from http.client import HTTPConnection

from otel_kcevents import EventLog, start_http_server

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # of Python 3.12, about forking with threads

server, closed = (start_http_server(0, log=EventLog()) for _ in range(2))
closed.close()
client = socket.create_connection(("127.0.0.1", server.port))
second = HTTPConnection("127.0.0.1", server.port)
second.request("GET", "/")  # accepted after the first connection, which therefore is open now
second.getresponse().read()
from_child, to_parent = os.pipe()
from_parent, to_child = os.pipe()
if not (child := os.fork()):
    server.close()
    client.close()
    second.close()
    os.write(to_parent, b"closed")
    os.read(from_parent, 1)
    sys.exit()
assert os.read(from_child, 6) == b"closed"
server.close()
start_http_server(server.port, log=EventLog()).close()
assert client.recv(1) == b""
client.close()
second.close()
os.write(to_child, b".")
assert os.waitpid(child, 0)[1] == 0
print("free")
