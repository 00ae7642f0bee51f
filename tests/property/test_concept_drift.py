"""Concept drift: false alarms as rare as stated under any change of inputs, and real ones found."""

from __future__ import annotations

import numpy as np
from tests.unit.performance.recorded import version

from trimtab.config import WatchConfig
from trimtab.performance import ConceptComparer, ConceptJudge, Counted, HeldOut, make_promise
from trimtab.performance.bins import score_place
from trimtab.types import Columns, FloatArray, State, Task, Verdict, Window

CONFIG = WatchConfig()
ROWS = 400
REFERENCES = 12
WINDOWS = 500


def window(number: int, scores: FloatArray, outcomes: FloatArray) -> Window:
    table: dict[int, tuple[int, int]] = {}
    for score, outcome in zip(scores.tolist(), outcomes.tolist(), strict=True):
        place = score_place(score, int(score >= 0.5), 2)
        first, second = table.get(place, (0, 0))
        table[place] = (first + (outcome == 0), second + (outcome == 1))
    counted = Counted(
        task=Task.BINARY, predictions=len(scores), outcomes=len(scores), tables=(table,)
    )
    return Window(
        subject="concept_drift",
        model="m",
        version=1,
        start=float(number),
        end=number + 1.0,
        rows=len(scores),
        content=counted,
    )


def draw(rows: int, where: float, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    scores = random.beta(1.0 + where, 4.0 - where, rows)
    return scores, (random.random(rows) < scores).astype(np.float64)


def judged(random: np.random.Generator) -> tuple[ConceptComparer, ConceptJudge]:
    scores, outcomes = draw(2_000, 0.5, random)
    none = Columns(features=(), arrays=())
    promise = make_promise(
        HeldOut(columns=none, scores=scores, outcomes=outcomes), version().signature
    )
    assert promise.estimator is not None
    assert promise.excess is not None
    return ConceptComparer(promise.excess, promise.estimator.calibrations), ConceptJudge(CONFIG)


def test_inputs_that_wander_raise_at_most_one_false_alarm_in_a_thousand_windows() -> None:
    alarms = 0
    for seed in range(REFERENCES):
        random = np.random.default_rng(seed)
        comparer, judge = judged(random)
        before = False
        for number in range(WINDOWS):
            where = 1.2 + 1.2 * np.sin(number / 25.0)
            one = window(number, *draw(ROWS, where, random))
            verdict = judge.judge(one, comparer.compare(one))
            alarms += verdict.alarmed and not before
            before = verdict.alarmed
    assert alarms <= REFERENCES * WINDOWS / CONFIG.run_length_windows


def test_outcomes_that_no_longer_follow_are_found_and_the_words_say_what() -> None:
    random = np.random.default_rng(1)
    comparer, judge = judged(random)
    found: list[Verdict] = []
    for number in range(40):
        scores, outcomes = draw(ROWS, 1.0, random)
        if number >= 30:
            outcomes = (random.random(ROWS) < 1.0 - scores).astype(np.float64)
        one = window(number, scores, outcomes)
        found.append(judge.judge(one, comparer.compare(one)))
    assert {State.STEADY} == {verdict.state for verdict in found[:30]}
    assert State.DRIFTED == found[31].state
    assert found[31].since == 30.0
    assert "no longer follow" in found[31].words
    assert "squared error" in found[31].words


def test_a_fixed_model_restarted_between_windows_says_the_same() -> None:
    random = np.random.default_rng(2)
    comparer, judge = judged(random)
    _, other = judged(np.random.default_rng(2))
    for number in range(30):
        scores, outcomes = draw(ROWS, 1.0, random)
        if number > 20:
            outcomes = 1.0 - outcomes
        one = window(number, scores, outcomes)
        expected = judge.judge(one, comparer.compare(one))
        again = ConceptJudge(CONFIG)
        again.load(other.dump())
        other = again
        assert expected == other.judge(one, comparer.compare(one))
