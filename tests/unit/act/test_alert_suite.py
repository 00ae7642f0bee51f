"""The suite for alert channels finds channels that break its laws."""

from __future__ import annotations

import asyncio

import pytest

from trimtab.errors import Unavailable
from trimtab.testing import check_alert_channel
from trimtab.types import Alert


class Recorder:
    """A channel that delivers, with one thing wrong if told so."""

    def __init__(self, *, wrong: str = "", name: str = "recorder") -> None:
        self.name = name
        self.got: list[str] = []
        self._wrong = wrong

    async def send(self, alert: Alert) -> None:
        if self._wrong == "raises":
            raise Unavailable("no")
        if self._wrong == "hangs":
            await asyncio.Event().wait()
        if self._wrong == "later":
            return
        if self._wrong == "drops repeats" and alert.key in self.got:
            return
        self.got.append("" if self._wrong == "no key" else alert.key)


async def check(channel: Recorder, broken: Recorder) -> None:
    await check_alert_channel(channel, lambda: channel.got, broken=[broken], timeout_seconds=0.01)


@pytest.mark.anyio
async def test_a_right_channel_passes() -> None:
    await check(Recorder(), Recorder(wrong="raises"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("later", "an alert has arrived when send returns"),
        ("no key", "what arrives names the alert's key"),
        ("drops repeats", "the same alert sent again arrives again"),
    ],
)
async def test_a_channel_that_does_not_deliver_is_found(wrong: str, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        await check(Recorder(wrong=wrong), Recorder(wrong="raises"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("", "a channel that cannot deliver raises"),
        ("hangs", "a channel that cannot deliver raises within its time-out"),
    ],
)
async def test_a_channel_that_hides_its_failure_is_found(wrong: str, law: str) -> None:
    with pytest.raises(AssertionError, match=f"{law}$"):
        await check(Recorder(), Recorder(wrong=wrong))


@pytest.mark.anyio
async def test_a_channel_without_a_name_is_found() -> None:
    with pytest.raises(AssertionError, match="has a name"):
        await check(Recorder(name=""), Recorder(wrong="raises"))
