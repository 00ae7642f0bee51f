"""Windows that overlap are no evidence of their own; verdicts bear their segment."""

from __future__ import annotations

from msgspec.structs import replace

from trimtab.config import WatchConfig
from trimtab.judge import DriftJudge
from trimtab.types import Comparison, State, Window
from trimtab.windows import WindowJudge


def window(at: float, *, overlaps: bool = False, segment: str = "") -> Window:
    return Window(
        subject="data_drift", model="m", version=1, start=at, end=at + 1, rows=1_000,
        content=None, overlaps=overlaps, segment=segment,
    )  # fmt: skip


STRONG = Comparison(
    name="x", statistic="ks", score=0.4, noise_floor=0.01, floor=0.05, p_value=1e-9, words="moved"
)
STEADY = replace(STRONG, score=0.01, p_value=0.5)


def judge() -> WindowJudge:
    return WindowJudge(DriftJudge("data_drift", WatchConfig()))


def test_an_overlapping_window_is_shown_and_not_remembered() -> None:
    judged = judge()
    judged.judge(window(0.0), [STEADY])
    before = judged.dump()
    passing = judged.judge(window(0.5, overlaps=True), [STRONG])
    assert (State.WATCH, ("x",), False) == (passing.state, passing.flagged, passing.alarmed)
    assert passing.evidence < 1.0
    assert before == judged.dump()


def test_sliding_windows_conclude_what_their_disjoint_ones_do() -> None:
    sliding, tumbling = judge(), judge()
    for at in range(6):
        expected = tumbling.judge(window(float(at)), [STRONG if at > 2 else STEADY])
        assert expected == sliding.judge(window(float(at)), [STRONG if at > 2 else STEADY])
        sliding.judge(window(at + 0.5, overlaps=True), [STRONG])
    assert tumbling.dump() == sliding.dump()


def test_a_verdict_bears_its_segment() -> None:
    verdict = judge().judge(window(0.0, segment="country = DE"), [STEADY])
    assert ("data_drift/country = DE", "country = DE") == (verdict.subject, verdict.segment)
    assert "" == judge().judge(window(0.0), [STEADY]).segment
