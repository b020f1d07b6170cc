"""Work orders to somebody's HTTP server: CloudEvents, signed."""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from telemetry.errors import ConfigurationError
from workorder_bridge.connector import Delivery, OutboxEvent, Outcome

__all__ = ["SIGNATURE_HEADER", "TIMESTAMP_HEADER", "WebhookConnector", "retry_after_s", "sign"]

TIMESTAMP_HEADER = "X-Precursor-Timestamp"
SIGNATURE_HEADER = "X-Precursor-Signature"

_BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_WORTH_ANOTHER_TRY = _BUSY | {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}
_DETAIL_BYTES = 300


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The signature of a body sent at `timestamp` (seconds since 1970, as sent): HMAC-SHA256, hexadecimal.

    The time is signed too, so that a recorded request cannot be played again later.
    """
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header (RFC 9110, 10.2.3) asks for; None: absent or unreadable.

    >>> retry_after_s("120", datetime(2026, 1, 1, tzinfo=UTC))
    120.0
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000": UTC of unknown origin
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


class WebhookConnector:
    """POSTs each event to one URL. Use as an async context manager, or call `aclose`."""

    def __init__(self, url: str, *, secret: str, source: str = "precursor", timeout_s: float = 10.0) -> None:
        """`timeout_s` bounds one whole exchange, in seconds.

        Raises:
            ConfigurationError: the URL is not one of HTTP, or the secret is empty.
        """
        parsed = httpx.URL(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ConfigurationError(f"webhook {url!r}: expected http://host/... or https://host/...")
        if not secret:
            raise ConfigurationError("the webhook has no secret; receivers could not tell our events from others'")
        self._url = parsed
        self._secret = secret.encode()
        self._source = source
        self._timeout_s = timeout_s
        # No redirects: what was meant for one receiver must not wander to another, and POST would become GET.
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)

    @property
    def name(self) -> str:
        """The receiver's host; paths and queries of webhooks may carry secrets."""
        return f"webhook {self._url.host}"

    async def deliver(self, event: OutboxEvent, now: datetime) -> Delivery:
        """Send the event, signed at `now`."""
        body = event.cloud_event(self._source)
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "Idempotency-Key": event.key,
            "Accept-Encoding": "identity",  # an answer we only glance at must not unpack into gigabytes
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: sign(self._secret, timestamp, body),
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # httpx's own counts anew with each byte of a slow answer
                self._client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code
                if response.is_success:
                    return Delivery(outcome=Outcome.DELIVERED)
                said = await _beginning(response)
                wish = retry_after_s(response.headers.get("Retry-After"), now)
        except (httpx.RequestError, TimeoutError) as error:
            detail = f"no answer: {type(error).__name__} {error}".rstrip()
            return Delivery(outcome=Outcome.RETRY, detail=detail, unavailable=True)
        retry = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _WORTH_ANOTHER_TRY
        return Delivery(
            outcome=Outcome.RETRY if retry else Outcome.REFUSED,
            detail=f"HTTP {status}: {said}".rstrip(": "),
            retry_after_s=wish,
            unavailable=status in _BUSY,
        )

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer as one line: enough to say why, whatever the size of an error page."""
    said = b""
    async for chunk in response.aiter_bytes():
        said += chunk
        if len(said) >= _DETAIL_BYTES:
            break
    # PostgreSQL's text has no NUL.
    return " ".join(said[:_DETAIL_BYTES].decode(errors="replace").replace("\0", "").split())
