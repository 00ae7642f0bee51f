"""The laws of an alert channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from trimtab.protocols import AlertChannel
from trimtab.types import Alert, Severity

GRACE_SECONDS = 1.0


async def check_alert_channel(
    channel: AlertChannel,
    received: Callable[[], Sequence[str]],
    *,
    broken: Sequence[AlertChannel],
    timeout_seconds: float,
) -> None:
    """Check that a channel delivers when it returns, and otherwise raises in time.

    Args:
        channel: One that works.
        received: What has arrived at the other end so far, a text for each delivery.
        broken: Channels of the same kind that cannot deliver: refused, answered with an error, never
            answered. Empty only for a kind that cannot fail.
        timeout_seconds: The time-out that all of them were made with.

    Raises:
        AssertionError: naming the law that is broken.
    """
    _require(bool(channel.name), "a channel has a name")
    await _check_delivery(channel, received)
    for other in broken:
        await _check_failure(other, timeout_seconds)


async def _check_delivery(channel: AlertChannel, received: Callable[[], Sequence[str]]) -> None:
    before = len(received())
    await channel.send(_alert(0))
    _require(len(received()) == before + 1, "an alert has arrived when send returns")
    _require(_alert(0).key in received()[-1], "what arrives names the alert's key")
    await channel.send(_alert(0))
    _require(len(received()) == before + 2, "the same alert sent again arrives again")
    several = [_alert(number) for number in range(1, 6)]
    await asyncio.gather(*(channel.send(alert) for alert in several))
    arrived = received()[before + 2 :]
    _require(len(arrived) == len(several), "alerts sent at the same time arrive one by one")
    for alert in several:
        found = sum(alert.key in text for text in arrived)
        _require(found == 1, "alerts sent at the same time arrive once each")


async def _check_failure(channel: AlertChannel, timeout_seconds: float) -> None:
    sending = asyncio.create_task(channel.send(_alert(0)))
    done, _ = await asyncio.wait({sending}, timeout=timeout_seconds + GRACE_SECONDS)
    if not done:
        sending.cancel()
        await asyncio.wait({sending})
    _require(bool(done), "a channel that cannot deliver raises within its time-out")
    _require(sending.exception() is not None, "a channel that cannot deliver raises")


def _alert(number: int) -> Alert:
    """An alert whose body has a line break and letters beyond ASCII."""
    return Alert(
        key=f"conformance/{number}/",
        severity=Severity.PAGE,
        title=f"Conformance {number}",
        body="first line\nsecond line: Überprüfung ✓",
        model="conformance",
        version=1,
        event_time=1_700_000_000.0 + number,
    )


def _require(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)
