"""Rankings are judged like every other metric: interval, segment, correction, alarm."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.unit.performance.recorded import FEATURES, new_state, prediction, version

from trimtab.config import PerformanceConfig, WatchConfig
from trimtab.judge import DriftJudge
from trimtab.performance import (
    Counted,
    HeldOut,
    PerformanceComparer,
    PerformanceWindows,
    evaluate,
    make_promise,
)
from trimtab.performance.segments import SegmentSpec
from trimtab.performance.tally import Item
from trimtab.types import Columns, Comparison, FloatArray, Matured, Task, Window
from trimtab.watch import plain_facts

CONFIG = PerformanceConfig(ranking_k=3, segments=("distance",))
ROWS = 6
RANKINGS = ("ndcg_at_3", "mrr", "hit_rate_at_3")


def drawn(requests: int, seed: int, noise: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Scores and gains, shape ``(requests, ROWS)``: two relevant rows each."""
    rng = np.random.default_rng(seed)
    appeal = rng.normal(size=(requests, ROWS))
    gains = (appeal > np.sort(appeal, axis=1)[:, [-3]]).astype(np.float64)
    scores = appeal + noise * rng.normal(size=appeal.shape)
    return 1 / (1 + np.exp(-scores)), gains


def held_out(requests: int, seed: int) -> HeldOut:
    scores, gains = drawn(requests, seed)
    distance = np.repeat(np.arange(requests) % 2, ROWS).astype(np.float64)
    return HeldOut(
        columns=Columns(features=FEATURES, arrays=(distance,)),
        scores=scores.ravel(),
        outcomes=gains.ravel(),
        requests=np.repeat([f"r{at}" for at in range(requests)], ROWS),
    )


def figures(known: HeldOut) -> dict[str, float]:
    return evaluate(
        known.scores, known.outcomes, version().signature, config=CONFIG, requests=known.requests
    )


def counted(scores: FloatArray, gains: FloatArray) -> Counted:
    requests = tuple(
        {
            f"{at}": Item(float(score), float(gain))
            for at, (score, gain) in enumerate(zip(s, g, strict=True))
        }
        for s, g in zip(scores, gains, strict=True)
    )
    size = scores.size
    return Counted(task=Task.BINARY, predictions=size, outcomes=size, tables=({0: (1, 1)},), requests=requests)  # fmt: skip


def compared(reference: dict[str, float], content: Counted) -> list[Comparison]:
    window = Window(subject="performance", model="m", version=1, start=0.0, end=1.0, rows=content.outcomes, content=content)  # fmt: skip
    found = PerformanceComparer(reference, CONFIG).compare(window)
    return [one for one in found if one.name in RANKINGS]


def test_held_out_requests_give_figures_with_their_errors() -> None:
    known = figures(held_out(500, 1))
    for name in RANKINGS:
        assert 0.3 < known[name] < 1
        assert 0.0 < known[f"{name}_se"] < 0.05


def test_without_requests_rankings_have_no_figures() -> None:
    known = held_out(200, 1)
    plain = evaluate(known.scores, known.outcomes, version().signature, config=CONFIG)
    assert not set(RANKINGS) & set(plain)


def test_a_ranking_that_got_worse_alarms_and_says_how() -> None:
    reference = figures(held_out(2_000, 1))
    judge = DriftJudge("performance", WatchConfig())
    found = compared(reference, counted(*drawn(400, 2, noise=4.0)))
    for one in found:
        assert one.score > one.floor
        assert (one.p_value or 1.0) < 1e-6
        assert one.interval is not None
        assert one.interval[0] < (one.current_value or 0) < one.interval[1]
    window = Window(subject="performance", model="m", version=1, start=0.0, end=1.0, rows=2_400, content=None)  # fmt: skip
    verdict = judge.judge(window, found)
    assert set(RANKINGS) == set(verdict.flagged)
    assert judge.judge(window, found).alarmed


def test_a_better_ranking_is_no_alarm() -> None:
    reference = figures(held_out(2_000, 1))
    assert all((c.p_value or 0) > 0.5 for c in compared(reference, counted(*drawn(400, 2, 0.2))))


def test_false_alarms_keep_their_level() -> None:
    """240 windows of rankings that did not change, each against a reference of its own."""
    alarms = dict.fromkeys(RANKINGS, 0)
    for seed in range(240):
        reference = figures(held_out(300, 1_000 + seed))
        for one in compared(reference, counted(*drawn(100, seed))):
            alarms[one.name] += (one.p_value or 1.0) < 0.05
    # 12 are expected; 22 are the upper end of the 99 % binomial band.
    assert max(alarms.values()) <= 22
    assert min(alarms.values()) >= 3


def test_few_requests_are_shown_and_not_judged() -> None:
    found = compared(figures(held_out(500, 1)), counted(*drawn(29, 2, noise=9.0)))
    assert [None] * 3 == [one.p_value for one in found]


def folded(requests: int, *, broken: int) -> Window:
    """Two segments of requests; in segment ``broken`` the scores say nothing."""
    scores, gains = drawn(requests, 3)
    noise = np.random.default_rng(4).random(scores.shape)
    made, known = [], []
    for request in range(requests):
        for row in range(ROWS):
            segment = float(request % 2)
            score = noise[request, row] if segment == broken else scores[request, row]
            one = msgspec.structs.replace(
                prediction(f"p{request}.{row}", 100.0, score),
                request_id=f"r{request}",
                values=(segment,),
            )
            facts = msgspec.structs.replace(
                plain_facts(one), request_id=one.request_id, segments={"distance": segment}
            )
            made.append(one)
            known.append(Matured(facts=facts, value=float(gains[request, row]), outcome_time=0.0, previous=None))  # fmt: skip
    spec = SegmentSpec(feature="distance", values=("0", "1"))
    windows = PerformanceWindows(version(), WatchConfig(), segments=(spec,), ranking=True)
    (window,) = windows.fold([*made, prediction("end", 1e9)], known, new_state())
    return window


@pytest.mark.parametrize("broken", [0, 1])
def test_the_segment_in_which_the_ranking_broke_is_flagged(broken: int) -> None:
    known = held_out(2_000, 1)
    promise = make_promise(known, version().signature, CONFIG)
    comparer = PerformanceComparer(figures(known), CONFIG, promise.segment_figures)
    window = folded(600, broken=broken)
    flagged = (
        DriftJudge("performance", WatchConfig()).judge(window, comparer.compare(window)).flagged
    )
    assert f"ndcg_at_3, distance = {broken}" in flagged
    assert f"ndcg_at_3, distance = {1 - broken}" not in flagged


def test_a_request_over_two_segments_belongs_to_neither() -> None:
    made = [
        msgspec.structs.replace(prediction(f"p{at}", 100.0, 0.5), request_id="r", values=(at,))
        for at in range(2)
    ]
    known = [
        Matured(
            facts=msgspec.structs.replace(plain_facts(one), request_id="r", segments={"distance": at}),
            value=1.0, outcome_time=0.0, previous=None,
        )
        for at, one in enumerate(made)
    ]  # fmt: skip
    spec = SegmentSpec(feature="distance", values=("0", "1"))
    windows = PerformanceWindows(version(), WatchConfig(), segments=(spec,), ranking=True)
    (window,) = windows.fold([*made, prediction("end", 1e9)], known, new_state())
    assert 1 == len(window.content.requests)
    assert [0, 0] == [len(window.content.segments[f"distance = {at}"].requests) for at in (0, 1)]
