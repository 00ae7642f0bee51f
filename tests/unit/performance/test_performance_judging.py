"""A window is judged once; what comes later changes its figures and no evidence."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.performance.recorded import DAY, matured, new_state, prediction, version

from trimtab.config import WatchConfig
from trimtab.judge import DriftJudge
from trimtab.performance import PerformanceComparer, PerformanceWindows, RevisingJudge
from trimtab.types import Matured, PredictionRecord, State, Verdict

CONFIG = WatchConfig()
REFERENCE = {"accuracy": 0.9, "accuracy_se": 0.001, "rows": 10_000.0}


class Walk:
    """Windows, comparer and judge, one after the other, as the watcher walks them."""

    def __init__(self) -> None:
        self.windows = PerformanceWindows(version(), CONFIG)
        self.comparer = PerformanceComparer(REFERENCE)
        self.judge = RevisingJudge(lambda: DriftJudge("performance", CONFIG), 35)
        self.state = new_state()

    def step(
        self, made: Sequence[PredictionRecord] = (), known: Sequence[Matured] = ()
    ) -> list[Verdict]:
        found = self.windows.fold(made, known, self.state)
        return [self.judge.judge(w, self.comparer.compare(w)) for w in found]


def day(number: int, rows: int = 200) -> list[PredictionRecord]:
    return [prediction(f"{number}/{i}", number * DAY + i, 0.9) for i in range(rows)]


def test_outcomes_that_come_late_change_figures_and_leave_the_evidence() -> None:
    walk = Walk()
    made = day(0)
    (first,) = walk.step([*made, prediction("a", 9 * DAY)], [matured(p, 1) for p in made[:150]])
    saved = walk.judge.dump()
    (again,) = walk.step((), [matured(p, 0) for p in made[150:]])
    assert (0, 1) == (first.revision, again.revision)
    assert (1.0, 0.75) == (first.comparisons[0].current_value, again.comparisons[0].current_value)
    assert (first.evidence, first.state) == (again.evidence, again.state)
    assert "Counted again" in again.words
    assert saved == walk.judge.dump()


def test_a_window_that_had_too_few_outcomes_is_judged_once_when_all_have_come() -> None:
    walk = Walk()
    made = day(0)
    (first,) = walk.step([*made, prediction("a", 9 * DAY)], [matured(p, 1) for p in made[:20]])
    half = walk.step((), [matured(p, 1) for p in made[20:150]])[-1]
    before = half.evidence
    whole = walk.step((), [matured(p, 0) for p in made[150:]])[-1]
    again = walk.step((), [matured(p, 0, previous=1.0) for p in made[:2]])[-1]
    assert State.NOT_ENOUGH_DATA == first.state
    assert 0.0 == before
    assert (0, State.DRIFTED) == (whole.revision, whole.state)
    assert whole.evidence > 0.0
    assert (whole.evidence, whole.state) == (again.evidence, again.state)


def test_outcomes_that_are_no_fair_sample_are_shown_and_not_judged() -> None:
    walk = Walk()
    made = [prediction(f"p{i}", i, 0.9 if i % 2 else 0.1) for i in range(400)]
    known = [matured(p, 0) for p in made if p.score > 0.5]
    (verdict,) = walk.step([*made, prediction("a", 9 * DAY)], known)
    assert State.NOT_ENOUGH_DATA == verdict.state
    assert verdict.words.startswith("Not judged: 200 of 400 outcomes are known")
    assert verdict.comparisons[0].current_value == 0.0


def test_what_is_remembered_is_bounded_and_survives_a_restart() -> None:
    walk = Walk()
    for number in range(60):
        made = day(number, 120)
        walk.step(made, [matured(p, 1) for p in made])
    walk.step([prediction("end", 100 * DAY)])
    again = RevisingJudge(lambda: DriftJudge("performance", CONFIG), 35)
    again.load(walk.judge.dump())
    assert walk.judge.dump() == again.dump()
    assert len(again.dump()) < 20_000
