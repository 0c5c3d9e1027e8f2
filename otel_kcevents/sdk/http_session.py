"""The `requests` session for the stock OTLP exporters over HTTP: what is not an OTLP answer is a failure."""

from __future__ import annotations

from time import monotonic
from typing import Any

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError, Message
from requests import PreparedRequest, Response, Session
from requests.auth import AuthBase
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

__all__ = ["MAX_ANSWER", "NotAnOtlpAnswer", "OtlpSession"]

MAX_ANSWER = 1 << 20
"""Bytes of an answer's body; an OTLP answer has a few dozen."""

_CHUNK = 1 << 14


class NotAnOtlpAnswer(RequestException):
    """The endpoint answered, but not as an OTLP receiver does: whether it took the data is unknown."""


class BasicAuth(AuthBase):
    """User name and password of an endpoint's URL, unless the headers already have an `Authorization`."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers.setdefault("Authorization", self._authorization)
        return request


class OtlpSession(Session):
    """A session whose requests fail unless the answer is an error status or an OTLP response.

    The stock exporters take each status below 400 for a success, whatever the answer holds. Redirects are not followed:
    a followed one turns the POST into a GET, or sends the data and its credentials elsewhere.

    Args:
        response: The protobuf message of the signal's answer, `ExportTraceServiceResponse` or
            `ExportMetricsServiceResponse`.
        auth: Authenticates the requests; None if the headers do.
    """

    auth: AuthBase | None

    rejected: int
    """Records that the last successful answer reports as rejected: spans or data points."""

    def __init__(self, response: type[Message], auth: AuthBase | None = None) -> None:
        super().__init__()
        self.rejected = 0
        self.auth = auth
        self.headers["Accept-Encoding"] = "identity"  # a few bytes need no compression, and can then be no bomb
        self._response = response

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Response:
        """Send a request; see `requests.Session.request`.

        Raises:
            NotAnOtlpAnswer: If the answer is a redirect, not an OTLP response, larger than 1 MiB, or slower than the
                timeout in all. The message holds no part of the answer's body or headers.
            RequestException: As the base class does.
        """
        self.rejected = 0
        timeout = options.get("timeout")
        deadline = monotonic() + timeout if isinstance(timeout, (int, float)) else float("inf")
        answer = super().request(method, url, *args, **{**options, "allow_redirects": False, "stream": True})
        if answer.status_code >= 400:
            answer.close()
            return answer
        try:
            if not 200 <= answer.status_code < 300:
                raise NotAnOtlpAnswer(
                    f"HTTP {answer.status_code}: redirects are not followed; set the endpoint to the final URL"
                )
            body = _body(answer, deadline)
            if body:  # the message without a partial success is empty, and so are a 202 and a 204
                self.rejected = self._read_rejected(answer, body)
        finally:
            answer.close()
        return answer

    def _read_rejected(self, answer: Response, body: bytes) -> int:
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type not in ("", "application/x-protobuf", "application/json", "application/octet-stream"):
            raise NotAnOtlpAnswer(
                f"HTTP {answer.status_code} with a body that is not OTLP; "
                "set the endpoint to that of an OTLP receiver, its path included"
            )
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise NotAnOtlpAnswer("the answer is in a content encoding that was not asked for")
        message: Any = self._response()
        try:
            if media_type == "application/json":
                Parse(body, message, ignore_unknown_fields=True)
            else:
                message.ParseFromString(body)
        except (ParseError, DecodeError, UnicodeDecodeError) as error:
            raise NotAnOtlpAnswer(f"the answer is not an OTLP response: {type(error).__name__}") from None
        return sum(count for field, count in message.partial_success.ListFields() if field.name.startswith("rejected_"))


def _body(answer: Response, deadline: float) -> bytes:
    """The body, read until it ends, is too large, or the time is up."""
    body = b""
    # Read what has arrived without waiting for more, so a slow body meets the deadline; urllib3 1 needs single bytes.
    read, size = (answer.raw.read1, _CHUNK) if hasattr(answer.raw, "read1") else (answer.raw.read, 1)
    try:
        while chunk := read(size, decode_content=False):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise NotAnOtlpAnswer(f"the answer has more than {MAX_ANSWER} bytes")
            if monotonic() > deadline:
                raise NotAnOtlpAnswer("the answer took longer than the timeout")
    except HTTPError as error:
        raise NotAnOtlpAnswer(f"the answer broke off: {type(error).__name__}") from None
    return body
