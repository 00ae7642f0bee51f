"""Verdicts on windows that overlap, and on windows of a part of the traffic."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from trimtab.protocols import Judge
from trimtab.types import Comparison, State, Verdict, Window


class WindowJudge:
    """A judge of windows that may overlap or belong to a segment.

    A window whose rows were in an earlier one is no evidence of its own: its scores and flags are
    shown, at most as ``watch``, and it is not remembered. So the stated run length holds for sliding
    windows too.

    Verdicts on a segment bear its name, in the subject as well, so that they stand beside those on
    the whole traffic: ``data_drift/country = DE``.

    Args:
        judge: Judges windows that do not overlap.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.dump = judge.dump
        self.load = judge.load

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The state after this window, with its words."""
        verdict = (
            self._passing(window, comparisons)
            if window.overlaps
            else self._judge.judge(window, comparisons)
        )
        if not window.segment:
            return verdict
        return replace(
            verdict, subject=f"{verdict.subject}/{window.segment}", segment=window.segment
        )

    def _passing(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        before = self._judge.dump()
        verdict = self._judge.judge(window, comparisons)
        self._judge.load(before)
        known = self._judge.judge(replace(window, rows=0), ())
        shown = verdict.state
        if shown is State.DRIFTED and not known.alarmed:
            shown = State.WATCH
        return replace(
            verdict,
            state=shown,
            evidence=known.evidence,
            alarmed=known.alarmed,
            since=known.since if known.since is not None else verdict.since,
        )
