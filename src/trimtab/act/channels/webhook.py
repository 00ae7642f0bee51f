"""Alerts posted as JSON to an address.

``X-Trimtab-Alert-Id`` is the same at every attempt, so that a receiver can leave out repeats. With
the option ``secret`` (``env:NAME`` or ``file:PATH``), ``X-Trimtab-Signature`` is ``sha256=`` and the
hex HMAC-SHA256 of the body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import httpx
import msgspec

from trimtab.act.alerts import alert_id
from trimtab.config import ChannelConfig, secret
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.types import Alert


class Webhook:
    """Posts to one address; any answer but 2xx is a failure, redirects too.

    Args:
        name: The channel's name in the configuration.
        url: An ``http`` or ``https`` address; it may hold a token and is never logged.
        timeout_seconds: Bound of one whole attempt.
        key: Signs bodies; empty means unsigned.
    """

    def __init__(self, name: str, url: str, timeout_seconds: float, key: bytes = b"") -> None:
        self.name = name
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._key = key

    async def send(self, alert: Alert) -> None:
        """Post once.

        Raises:
            Unavailable: no connection, no answer in time, or an answer other than 2xx.
        """
        name = alert_id(alert)
        body = msgspec.json.encode({"id": name, **msgspec.structs.asdict(alert)})
        headers = {"content-type": "application/json", "x-trimtab-alert-id": name}
        if self._key:
            headers["x-trimtab-signature"] = f"sha256={signature(self._key, body)}"
        try:
            # The client comes first: what it takes to read certificates is not the receiver's time.
            async with (
                httpx.AsyncClient(timeout=self._timeout_seconds) as client,
                asyncio.timeout(self._timeout_seconds),
            ):
                answer = await client.post(self._url, content=body, headers=headers)
        except (TimeoutError, httpx.TimeoutException) as late:
            raise self._failure(f"did not answer within {self._timeout_seconds:g} s") from late
        except httpx.HTTPError as error:
            raise self._failure(f"cannot be reached ({type(error).__name__})") from error
        if not answer.is_success:
            raise self._failure(f"answered {answer.status_code}")

    def _failure(self, what: str) -> Unavailable:
        return Unavailable(f"The webhook {self.name!r} {what}.", code="channel_unavailable")


def signature(key: bytes, body: bytes) -> str:
    """The hex HMAC-SHA256 of a body, for senders and receivers."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def create(name: str, config: ChannelConfig) -> Webhook:
    """A channel that posts to ``url``.

    Raises:
        InvalidConfig: the address is none, or the secret is missing.
    """
    try:
        address = httpx.URL(config.url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in {"http", "https"} or not address.host:
        raise InvalidConfig(
            f"The alert channel {name!r} needs an http or https address.",
            path=f"alerts.channels.{name}.url",
        )
    reference = config.options.get("secret")
    key = secret(str(reference)).encode() if reference else b""
    return Webhook(name, config.url, config.timeout_seconds, key)
