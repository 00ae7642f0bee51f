"""Windows, comparisons and verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from trimtab.types.record import Record
from trimtab.types.rollouts import GuardrailReading


class Window(Record, frozen=True):
    """A span of event time ``[start, end)`` of one version that is ready to be compared.

    ``content`` is what the subject folded: sketches, score counts, or a rollout's readings.
    ``revision`` is 0 when the window closes, and counts how often it was counted again since, because
    more became known of it. ``segment`` names the part of the traffic, such as ``country = DE``; all of it if empty. ``overlaps``
    says that some of its rows were in an earlier window already, so that it is no evidence of its own.
    """

    subject: str
    model: str
    version: int
    start: float
    end: float
    rows: int
    content: Any
    revision: int = 0
    segment: str = ""
    overlaps: bool = False


class Comparison(Record, frozen=True):
    """One feature, metric or pair, compared with its reference over one window.

    ``score`` is an effect size in [0, 1] that grows with drift; ``noise_floor`` is the score expected
    without drift at this sample size; ``floor`` is the smallest effect that matters. ``p_value`` is
    None where a statistic has none. ``words`` says what changed, for people. ``interval`` is the 95 %
    interval of ``current_value``, where one is known; ``e_value`` is the window's evidence where it was
    measured by betting: without drift its expectation is at most 1.

    ``estimated`` says that ``current_value`` was not measured: then it has an interval and its words say
    so, or the comparison cannot be made. ``segment`` names the part of the rows that it is of, for
    example ``country = fr``; empty for all.
    """

    name: str
    statistic: str
    score: float
    noise_floor: float
    floor: float
    p_value: float | None
    words: str = ""
    reference_value: float | None = None
    current_value: float | None = None
    importance: float = 1.0
    interval: tuple[float, float] | None = None
    e_value: float | None = None
    estimated: bool = False
    segment: str = ""

    def __post_init__(self) -> None:
        if self.estimated and (self.interval is None or "estimated" not in self.words):
            message = f"{self.name} is estimated: it needs an interval, and the word."
            raise ValueError(message)


class State(StrEnum):
    """What a verdict says of a subject."""

    NOT_ENOUGH_DATA = "not_enough_data"
    STEADY = "steady"
    WATCH = "watch"
    DRIFTED = "drifted"


class Verdict(Record, frozen=True):
    """The judged state of one subject over one window.

    ``score`` is the largest flagged effect, else the largest effect above its noise floor, in [0, 1].
    ``evidence`` is the Shiryaev-Roberts value; an alarm to people is raised when it first reaches
    ``alarm_at`` in an excursion. ``since`` is the start of the first flagged window of this excursion.
    ``readings`` are a rollout's guardrails. ``revision`` is the window's: a verdict of a window that was
    counted again takes the place of the one before. ``segment`` is the window's, too. ``rollout`` is the one
    that guardrails are of.
    """

    subject: str
    model: str
    version: int
    start: float
    end: float
    rows: int
    state: State
    score: float
    evidence: float
    alarm_at: float
    alarmed: bool
    since: float | None
    comparisons: tuple[Comparison, ...]
    flagged: tuple[str, ...]
    words: str
    readings: tuple[GuardrailReading, ...] = ()
    revision: int = 0
    segment: str = ""
    rollout: str = ""
