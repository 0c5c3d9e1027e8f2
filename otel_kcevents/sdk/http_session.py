"""The `requests` session of the stock OTLP exporters over HTTP, which accepts only OTLP responses as a success."""

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
"""The maximum size of a response body, in bytes; an OTLP response has a few dozen."""

_CHUNK = 1 << 14


class OtlpResponseError(RequestException):
    """Raised if a response is not from an OTLP receiver: whether the data was accepted is unknown."""


class OtlpSession(Session):
    """A session whose requests fail unless the response is an error status or an OTLP response.

    The stock exporters treat every status below 400 as a success, whatever the response contains. Redirects are not
    followed: following one would turn the POST into a GET, or send the data and its credentials elsewhere.

    Args:
        signal: The signal that it sends.
        authorization: The `Authorization` header of requests that have none of their own; None for none.
    """

    rejected: int
    """How many spans or data points the last successful response reports as rejected."""

    def __init__(self, signal: Signal, authorization: str | None = None) -> None:
        super().__init__()
        self.rejected = 0
        self.auth: Any = partial(_authorize, authorization) if authorization else None
        self.headers["Accept-Encoding"] = "identity"  # small responses need no compression
        self._message = ExportTraceServiceResponse if signal == "traces" else ExportMetricsServiceResponse

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Response:
        """Send a request; see `requests.Session.request`.

        Raises:
            OtlpResponseError: The response is a redirect, not an OTLP response, larger than 1 MiB, or takes longer than
                the timeout in all. The message contains no part of the response's body or headers.
            RequestException: The request failed, as in the base class.
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
                if body:  # empty without a partial success, and with a 202 or a 204
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
    """Add the header, unless the program's own settings have one."""
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
        raise OtlpResponseError(f"the response is incomplete: {type(error).__name__}") from None
    return body
