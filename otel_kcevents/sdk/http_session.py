"""The `requests` session of the stock OTLP exporters over HTTP, which fails unless the response is an OTLP one."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from requests import PreparedRequest, Response, Session
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from otel_kcevents.sdk.settings import Signal

__all__ = ["MAX_RESPONSE", "OtlpResponseError", "OtlpSession"]

MAX_RESPONSE = 1 << 20
"""Bytes of a response's body; an OTLP response has a few dozen."""

_CHUNK = 1 << 14


class OtlpResponseError(RequestException):
    """The endpoint's response is not that of an OTLP receiver: it is unknown whether the data was accepted."""


class OtlpSession(Session):
    """A session whose requests fail unless the response is an error status or an OTLP response.

    The stock exporters take each status below 400 for a success, whatever the response holds. Redirects are not
    followed: a followed one turns the POST into a GET, or sends the data and its credentials elsewhere.

    Args:
        signal: Whose data it sends.
        authorization: The `Authorization` header of requests that have no other; None for none.
    """

    rejected: int
    """Records that the last successful response reports as rejected, in spans or data points."""

    def __init__(self, signal: Signal, authorization: str | None = None) -> None:
        super().__init__()
        self.rejected = 0
        self.auth = partial(_authorize, authorization) if authorization else None
        self.headers["Accept-Encoding"] = "identity"  # a few bytes need no compression, and cannot be a bomb
        self._message = ExportTraceServiceResponse if signal == "traces" else ExportMetricsServiceResponse

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Response:
        """Send a request; see `requests.Session.request`.

        Raises:
            OtlpResponseError: If the response is a redirect, not an OTLP response, larger than 1 MiB, or takes longer
                than the timeout in all. The message holds no part of the response's body or headers.
            RequestException: As the base class does.
        """
        self.rejected = 0
        timeout = options.get("timeout")
        deadline = monotonic() + timeout if isinstance(timeout, (int, float)) else float("inf")
        response = super().request(method, url, *args, **{**options, "allow_redirects": False, "stream": True})
        with response:
            if response.status_code < 400:
                if not 200 <= response.status_code < 300:
                    raise OtlpResponseError(
                        f"HTTP {response.status_code}: redirects are not followed; set the endpoint to the final URL"
                    )
                body = _read_body(response, deadline)
                if body:  # the message without a partial success is empty, and so are a 202 and a 204
                    self.rejected = self._read_rejected(response, body)
        return response

    def _read_rejected(self, response: Response, body: bytes) -> int:
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type not in ("", "application/x-protobuf", "application/json", "application/octet-stream"):
            raise OtlpResponseError(
                f"HTTP {response.status_code} with a body that is not OTLP; "
                "set the endpoint to that of an OTLP receiver, including its path"
            )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise OtlpResponseError("the response has a content encoding that was not requested")
        message: Any = self._message()
        try:
            if media_type == "application/json":
                Parse(body, message, ignore_unknown_fields=True)
            else:
                message.ParseFromString(body)
        except (ParseError, DecodeError, UnicodeDecodeError) as error:
            raise OtlpResponseError(f"the body is not an OTLP response: {type(error).__name__}") from None
        return sum(count for field, count in message.partial_success.ListFields() if field.name.startswith("rejected_"))


def _authorize(authorization: str, request: PreparedRequest) -> PreparedRequest:
    """Add the header, unless the program's own settings have another."""
    request.headers.setdefault("Authorization", authorization)
    return request


def _read_body(response: Response, deadline: float) -> bytes:
    """Read the body until it ends, is too large, or the deadline has passed."""
    body = b""
    # Read what has arrived without waiting for more, so that a slow body meets the deadline. urllib3 1 has no `read1`.
    read, size = (response.raw.read1, _CHUNK) if hasattr(response.raw, "read1") else (response.raw.read, 1)
    try:
        while chunk := read(size, decode_content=False):
            body += chunk
            if len(body) > MAX_RESPONSE:
                raise OtlpResponseError(f"the response has more than {MAX_RESPONSE} bytes")
            if monotonic() > deadline:
                raise OtlpResponseError("the response took longer than the timeout")
    except HTTPError as error:
        raise OtlpResponseError(f"the response broke off: {type(error).__name__}") from None
    return body
