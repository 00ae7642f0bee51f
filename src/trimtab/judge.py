"""compare -> judge: what a window means, given all windows before it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from trimtab.config import WatchConfig
from trimtab.types import Comparison, State, Verdict, Window

LEVEL = 0.05
QUIET_WINDOWS = 2
PERSISTENT_WINDOWS = 2
_MOST_EVIDENCE = 1e12
_LEAST_P = 1e-12
_NAMED = 3
_DAY, _WEEK = 86_400.0, 604_800.0
_SLACK_RATIO = 0.15
_LARGER = 1.5


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """What an excursion had of one comparison: its largest score, first and last flagged window."""

    score: float
    first: float
    last: float

    def returns(self, score: float, start: float) -> bool:
        """Whether this is the same again, a day or a week later, and not much larger."""
        return score <= _LARGER * self.score and any(
            -_SLACK_RATIO <= (start - self.first) / lag - 1
            and (start - self.last) / lag - 1 <= _SLACK_RATIO
            for lag in (_DAY, _WEEK)
        )

    def forgotten(self, start: float) -> bool:
        """Whether it is too long ago to return."""
        return start - self.last > (1 + _SLACK_RATIO) * _WEEK


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of earlier windows.

    ``strong`` counts flagged windows in a row that score at least the drift threshold; ``quiet``
    those in a row in which nothing is flagged, within an excursion. ``seen`` has what was flagged in this
    excursion, ``told`` what was in those that people were told of.
    """

    evidence: float = 0.0
    since: float | None = None
    alarmed: bool = False
    drifted: bool = False
    strong: int = 0
    quiet: int = 0
    seen: dict[str, _Told] = {}
    told: dict[str, _Told] = {}


class DriftJudge:
    """Judges windows of one subject, one after the other.

    *Flagged* is a comparison that Benjamini and Hochberg's procedure rejects at 5 % among all of the
    window's, and whose score is at least its floor. A comparison below its floor counts as p = 1
    throughout: a shift too small to matter is no evidence, at any sample size.

    *Evidence* is the Shiryaev-Roberts value ``M ← (M + 1) · e``, with e the mean over comparisons of
    ``(1 - p + p ln p) / (p ln² p)``. Without drift it reaches ``run_length_windows`` at most once in
    so many windows on average.

    An *excursion* begins with a flagged window, or when the evidence reaches ``run_length_windows``,
    and ends after two windows in a row in which nothing is flagged. ``alarmed`` is true from the
    window in which the evidence first gets there to the end of the excursion: one alarm. When such
    an excursion ends, the evidence starts again at 0.

    *What returns* is told once: a comparison that was flagged in an alarmed excursion and is again a day
    or a week later, give or take 15 %, at most half as large again, is flagged but no evidence.
    New names that come every weekend are one alarm, not one a weekend; what breaks again out of step
    is another.

    *States*: ``not_enough_data`` below ``min_rows``, and such a window is not remembered;
    ``drifted`` from the alarm, or from the second flagged window in a row whose score is at least
    ``drift_threshold``, to the end of the excursion; ``watch`` otherwise in an excursion; else
    ``steady``.

    Args:
        subject: For example ``data_drift``.
        config: ``min_rows``, ``drift_threshold`` and ``run_length_windows``.
        against: What windows are compared with, in words.

    Source:
        Benjamini and Hochberg, 1995, JRSS B 57; Vovk and Wang, 2021, Annals of Statistics 49 (the
        calibrator); Shin, Ramdas and Rinaldo, 2023, NEJSDS 2 (the run length).
        tests/property/test_drift_is_calibrated.py measures both rates.
    """

    def __init__(self, subject: str, config: WatchConfig, against: str = "the reference") -> None:
        self._subject = subject
        self._config = config
        self._against = against
        self._memory = _Memory()

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The state after this window, with its words."""
        tested = any(c.p_value is not None for c in comparisons)
        if window.rows < self._config.min_rows or not tested:
            return self._verdict(window, comparisons, (), State.NOT_ENOUGH_DATA)
        flagged = flag(comparisons)
        self._memory = self._next(window, comparisons, flagged)
        return self._verdict(window, comparisons, flagged, self._state())

    def dump(self) -> bytes:
        """What is remembered of earlier windows."""
        return msgspec.msgpack.encode(self._memory)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._memory = msgspec.msgpack.decode(blob, type=_Memory)

    def _next(
        self, window: Window, comparisons: Sequence[Comparison], flagged: Sequence[Comparison]
    ) -> _Memory:
        old = self._memory
        known = {
            c.name
            for c in flagged
            if c.name in old.told and old.told[c.name].returns(c.score, window.start)
        }
        news = evidence_of(comparisons, known)
        evidence = min(_MOST_EVIDENCE, (old.evidence + 1) * news)
        alarmed = old.alarmed or evidence >= self._config.run_length_windows
        quiet = 0 if flagged or alarmed > old.alarmed else old.quiet + 1
        seen = _seen(old.seen, flagged, window.start)
        if quiet >= QUIET_WINDOWS:
            told = old.told | {n: one for n, one in seen.items() if alarmed or n in old.told}
            recent = {n: one for n, one in told.items() if not one.forgotten(window.start)}
            return _Memory(evidence=0.0 if alarmed else evidence, told=recent)
        strongest = max((c.score for c in flagged), default=0.0)
        strong = old.strong + 1 if strongest >= self._config.drift_threshold else 0
        in_excursion = bool(flagged) or alarmed
        since = old.since if old.since is not None or not in_excursion else window.start
        return _Memory(
            evidence=evidence,
            since=since,
            alarmed=alarmed,
            drifted=old.drifted or alarmed or strong >= PERSISTENT_WINDOWS,
            strong=strong,
            quiet=quiet,
            seen=seen,
            told=old.told,
        )

    def _state(self) -> State:
        if self._memory.drifted:
            return State.DRIFTED
        return State.STEADY if self._memory.since is None else State.WATCH

    def _verdict(
        self,
        window: Window,
        comparisons: Sequence[Comparison],
        flagged: Sequence[Comparison],
        state: State,
    ) -> Verdict:
        enough = state is not State.NOT_ENOUGH_DATA
        return Verdict(
            subject=self._subject,
            model=window.model,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            state=state,
            score=_score(comparisons, flagged) if enough else 0.0,
            evidence=self._memory.evidence,
            alarm_at=self._config.run_length_windows,
            alarmed=self._memory.alarmed,
            since=self._memory.since,
            comparisons=tuple(comparisons),
            flagged=tuple(c.name for c in flagged),
            words=self._words(window, comparisons, flagged, state),
        )

    def _words(
        self,
        window: Window,
        comparisons: Sequence[Comparison],
        flagged: Sequence[Comparison],
        state: State,
    ) -> str:
        if state is State.NOT_ENOUGH_DATA:
            return f"Not enough data: {window.rows} rows, {self._config.min_rows} are needed."
        if not flagged:
            if self._memory.alarmed and not self._memory.quiet:
                return "Nothing stands out in this window alone; the evidence of many adds up."
            over = " The excursion is not over yet." if state is not State.STEADY else ""
            return f"Nothing has drifted.{over}"
        said = "; ".join(f"{c.name}: {c.words}" for c in flagged[:_NAMED])
        more = f"; and {len(flagged) - _NAMED} more" if len(flagged) > _NAMED else ""
        return f"{len(flagged)} of {len(comparisons)} differ from {self._against}. {said}{more}."


def flag(comparisons: Sequence[Comparison], level: float = LEVEL) -> tuple[Comparison, ...]:
    """Those that differ significantly after correction, and enough to matter.

    Benjamini-Hochberg: with k comparisons, reject the i smallest p-values for the largest i with
    ``p_(i) <= level · i / k``. A comparison below its floor has p = 1; one without a p-value is left
    out.

    Returns:
        Ranked by score times importance, largest first.
    """
    tested = [c for c in comparisons if c.p_value is not None]
    ranked = sorted(material_p(c) for c in tested)
    limit = max((p for i, p in enumerate(ranked, 1) if p <= level * i / len(ranked)), default=-1.0)
    kept = [c for c in tested if material_p(c) <= limit and c.score >= c.floor]
    return tuple(sorted(kept, key=lambda c: (-c.score * c.importance, c.name)))


def material_p(comparison: Comparison) -> float:
    """The p-value, or 1 if there is none or the effect is too small to matter."""
    if comparison.p_value is None or comparison.score < comparison.floor:
        return 1.0
    return comparison.p_value


def evidence_of(comparisons: Sequence[Comparison], known: Collection[str] = ()) -> float:
    """The mean e-value of the comparisons that have a p-value; 1 if none has.

    Args:
        comparisons: Of one window.
        known: Names of those that are no news, and count as p = 1.
    """
    tested = [
        e_value(1.0 if c.name in known else material_p(c))
        for c in comparisons
        if c.p_value is not None
    ]
    return sum(tested) / len(tested) if tested else 1.0


def _seen(
    before: dict[str, _Told], flagged: Sequence[Comparison], start: float
) -> dict[str, _Told]:
    """What was flagged in this excursion, with this window's."""
    found = dict(before)
    for one in flagged:
        old = before.get(one.name, _Told(0.0, start, start))
        found[one.name] = _Told(max(old.score, one.score), old.first, start)
    return found


def e_value(p: float) -> float:
    """The e-value ``(1 - p + p ln p) / (p ln² p)`` of a p-value: expectation 1 without drift.

    >>> e_value(1.0)
    0.5
    >>> round(e_value(0.001), 1)
    20.8
    """
    p = max(p, _LEAST_P)
    log = math.log(p)
    if log > -1e-4:
        return 0.5 - log / 6
    return (1 - p + p * log) / (p * log * log)


def _score(comparisons: Sequence[Comparison], flagged: Sequence[Comparison]) -> float:
    """The largest flagged effect, else the largest effect above its noise floor."""
    if flagged:
        return max(c.score for c in flagged)
    return max((max(0.0, c.score - c.noise_floor) for c in comparisons), default=0.0)
