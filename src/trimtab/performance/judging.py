"""compare -> judge, of windows that may be counted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from trimtab.performance.estimated import WARNING
from trimtab.performance.tally import Counted
from trimtab.protocols import Judge
from trimtab.types import Comparison, State, Verdict, Window


class _Saved(msgspec.Struct, frozen=True):
    """The inner judge's memory, and the newest verdicts that may be revised, without comparisons."""

    inner: bytes
    known: list[Verdict]


class RevisingJudge:
    """Judges each window once, when it closes; a revision changes its figures and no evidence.

    What came late says nothing of windows after it, and evidence that was taken twice would not be
    anytime-valid. So a revised window's comparisons, flags, score and words are those of all that is
    known now, while its evidence and its part in an excursion stay what they were.

    Args:
        make: A new judge of the subject.
        most: How many windows may be revised.
    """

    def __init__(self, make: Callable[[], Judge], most: int) -> None:
        self._make = make
        self._inner = make()
        self._most = most
        self._known: dict[float, Verdict] = {}

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The state after this window, or what a closed window looks like now."""
        if window.revision and not self._waited_for(window):
            return self._revised(window, comparisons)
        verdict = _said(self._inner.judge(window, comparisons), window)
        self._known[window.start] = msgspec.structs.replace(verdict, comparisons=(), flagged=())
        for start in sorted(self._known)[: -self._most]:
            del self._known[start]
        return verdict

    def dump(self) -> bytes:
        """What is remembered of earlier windows."""
        known = [verdict for _, verdict in sorted(self._known.items())]
        return msgspec.msgpack.encode(_Saved(self._inner.dump(), known))

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._inner.load(saved.inner)
        self._known = {verdict.start: verdict for verdict in saved.known}

    def _waited_for(self, window: Window) -> bool:
        """Whether a window that could not be judged when it closed has all its outcomes now."""
        first = self._known.get(window.start)
        return (
            first is not None
            and first.state is State.NOT_ENOUGH_DATA
            and isinstance(window.content, Counted)
            and not window.content.partial
        )

    def _revised(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        fresh = self._make().judge(window, comparisons)
        first = self._known.get(window.start)
        judged = first is not None and first.state is not State.NOT_ENOUGH_DATA
        return _said(
            msgspec.structs.replace(
                fresh,
                state=first.state if first is not None and judged else fresh.state,
                evidence=first.evidence if first else 0.0,
                alarmed=first.alarmed if first else False,
                since=first.since if first else None,
                revision=window.revision,
                words=f"{fresh.words} Counted again: outcomes came after it had closed.",
            ),
            window,
        )


def _said(verdict: Verdict, window: Window) -> Verdict:
    """Why a window with rows enough has no verdict."""
    counted = window.content
    if isinstance(counted, Counted) and counted.partial and counted.selected():
        words = (
            f"Not judged: {counted.outcomes:,} of {counted.predictions:,} outcomes are known, and "
            "those predictions have other scores than all."
        )
        return msgspec.structs.replace(verdict, words=words)
    return verdict


class EstimatedJudge:
    """A judge whose words say that nothing was measured, and on what that rests.

    Args:
        inner: Judges the estimates.
    """

    def __init__(self, inner: Judge) -> None:
        self._inner = inner

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The state after this window, with its words."""
        verdict = self._inner.judge(window, comparisons)
        if verdict.state is State.NOT_ENOUGH_DATA:
            return verdict
        said = f"Estimated, not measured: {verdict.words} {WARNING}"
        return msgspec.structs.replace(verdict, words=said)

    def dump(self) -> bytes:
        """What is remembered of earlier windows."""
        return self._inner.dump()

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._inner.load(blob)
