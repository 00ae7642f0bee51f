"""What a window means after the windows before it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from trimtab.config import WatchConfig
from trimtab.judge import DriftJudge, e_value, evidence_of, flag
from trimtab.types import Comparison, State, Verdict, Window

CONFIG = WatchConfig(min_rows=100, drift_threshold=0.1, run_length_windows=1_000.0)


def comparison(
    name: str = "x",
    p: float | None = 0.5,
    score: float = 0.06,
    floor: float = 0.05,
    importance: float = 1.0,
) -> Comparison:
    return Comparison(
        name=name, statistic="ks", score=score, noise_floor=0.02, floor=floor, p_value=p,
        words="median 1 → 2", importance=importance,
    )  # fmt: skip


def window(number: int = 0, rows: int = 1_000) -> Window:
    return Window(
        subject="data_drift", model="m", version=3, start=100.0 * number,
        end=100.0 * (number + 1), rows=rows, content=None,
    )  # fmt: skip


def run(judge: DriftJudge, *p_values: float, score: float = 0.06) -> list[Verdict]:
    return [
        judge.judge(window(number), [comparison(p=p, score=score)])
        for number, p in enumerate(p_values)
    ]


def test_benjamini_hochberg_by_hand() -> None:
    found = flag([comparison(n, p) for n, p in zip("abcd", (0.012, 0.6, 0.02, 0.04), strict=True)])
    # Limits are .0125, .025, .0375 and .05: the third smallest is over its own.
    assert ["a", "c"] == [c.name for c in found]


def test_a_larger_p_value_can_carry_a_smaller_one() -> None:
    found = flag([comparison("a", 0.03), comparison("b", 0.04)])
    assert ["a", "b"] == [c.name for c in found]


def test_what_is_too_small_to_matter_is_neither_flagged_nor_evidence() -> None:
    small = comparison("small", 1e-30, score=0.049)
    assert () == flag([small])
    assert 0.5 == evidence_of([small])


def test_it_does_not_help_others_over_the_threshold_either() -> None:
    small = [comparison(f"s{i}", 1e-30, score=0.01) for i in range(9)]
    assert () == flag([*small, comparison("x", 0.04)])


def test_what_has_no_p_value_is_left_out() -> None:
    unknown = comparison("u", None, score=0.9)
    assert ["x"] == [c.name for c in flag([unknown, comparison("x", 0.04)])]
    assert 1.0 == evidence_of([unknown])


def test_flagged_features_are_ranked_by_effect_and_importance() -> None:
    found = flag(
        [
            comparison("a", 1e-6, score=0.4, importance=0.1),
            comparison("b", 1e-6, score=0.2, importance=1.0),
            comparison("c", 1e-6, score=0.3, importance=1.0),
        ]
    )
    assert ["c", "b", "a"] == [c.name for c in found]


def test_the_calibrator_is_a_fair_bet() -> None:
    # From 1e-9 on, the integral is 1 but for 1 / ln(1e9).
    fair, _ = quad(lambda log: e_value(np.exp(log)) * np.exp(log), np.log(1e-9), 0)
    assert fair == pytest.approx(1 - 1 / np.log(1e9), abs=1e-3)


@pytest.mark.parametrize("p", [0.99995, 0.9999, 0.99985, 0.9998])
def test_the_calibrator_is_smooth_near_one(p: float) -> None:
    assert e_value(p) == pytest.approx(0.5, abs=1e-4)


def test_evidence_is_shiryaev_roberts() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    first, second = run(judge, 0.01, 0.5)
    assert first.evidence == pytest.approx(e_value(0.01))
    assert second.evidence == pytest.approx((e_value(0.01) + 1) * e_value(0.5))


def test_too_few_rows_are_no_verdict_and_are_forgotten() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    before = judge.dump()
    found = judge.judge(window(rows=99), [comparison(p=1e-30, score=0.9)])
    assert (State.NOT_ENOUGH_DATA, 0.0, ()) == (found.state, found.score, found.flagged)
    assert "Not enough data: 99 rows, 100 are needed." == found.words
    assert before == judge.dump()


def test_nothing_to_compare_is_no_verdict() -> None:
    found = DriftJudge("data_drift", CONFIG).judge(window(), [])
    assert State.NOT_ENOUGH_DATA is found.state


def test_steady_then_watch_then_steady_after_two_quiet_windows() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = run(judge, 0.5, 0.04, 0.5, 0.5, 0.5)
    states = [State.STEADY, State.WATCH, State.WATCH, State.STEADY, State.STEADY]
    assert states == [v.state for v in found]
    assert [None, 100.0, 100.0, None, None] == [v.since for v in found]


def test_drifted_at_the_second_strong_window_in_a_row() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = run(judge, 0.02, 0.02, 0.5, score=0.1)
    assert [State.WATCH, State.DRIFTED, State.DRIFTED] == [v.state for v in found]
    assert not any(v.alarmed for v in found)


def test_weak_windows_in_a_row_are_only_watched() -> None:
    found = run(DriftJudge("data_drift", CONFIG), 0.02, 0.02, 0.02, score=0.09)
    assert {State.WATCH} == {v.state for v in found}


def test_overwhelming_evidence_alarms_at_once_and_to_the_end_of_the_excursion() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = run(judge, 0.5, 1e-12, 0.9, 0.9, 0.9)
    assert [False, True, True, False, False] == [v.alarmed for v in found]
    assert [State.DRIFTED, State.DRIFTED, State.STEADY] == [v.state for v in found[1:4]]


def test_after_an_alarmed_excursion_the_evidence_starts_again() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = run(judge, 1e-12, 0.9, 0.9, 0.9)
    assert 0.0 == found[2].evidence
    assert found[3].evidence == pytest.approx(e_value(0.9))
    again = judge.judge(window(9), [comparison(p=1e-12)])
    assert (True, 900.0) == (again.alarmed, again.since)


def test_small_shifts_add_up_over_windows() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = [
        judge.judge(window(n), [comparison("x", 0.004), *(comparison(f"y{i}") for i in range(4))])
        for n in range(40)
    ]
    assert not any(v.flagged and v.alarmed for v in found[:3])
    assert found[-1].alarmed


def test_evidence_without_a_flagged_window_begins_an_excursion() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = run(judge, *[0.051] * 60)
    alarmed = next(v for v in found if v.alarmed)
    assert (State.DRIFTED, alarmed.start, ()) == (alarmed.state, alarmed.since, alarmed.flagged)
    assert "Nothing stands out in this window alone; the evidence of many adds up." == alarmed.words


def test_a_restart_changes_nothing() -> None:
    p_values = np.random.default_rng(3).uniform(0, 0.2, 40).tolist()
    straight = run(DriftJudge("data_drift", CONFIG), *p_values)
    restarted: list[Verdict] = []
    blob = DriftJudge("data_drift", CONFIG).dump()
    for number, p in enumerate(p_values):
        judge = DriftJudge("data_drift", CONFIG)
        judge.load(blob)
        restarted.append(judge.judge(window(number), [comparison(p=p)]))
        blob = judge.dump()
    assert straight == restarted


def test_the_score_is_the_largest_flagged_effect_or_what_stands_above_the_noise() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    flagged = judge.judge(window(), [comparison("a", 1e-9, 0.3), comparison("b", 0.9, 0.8)])
    assert 0.3 == flagged.score
    quiet = judge.judge(window(1), [comparison("a", 0.4, 0.05), comparison("b", 0.9, 0.01)])
    assert quiet.score == pytest.approx(0.03)


def test_words_name_what_changed() -> None:
    judge = DriftJudge("data_drift", CONFIG)
    found = judge.judge(window(), [comparison(n, 1e-9) for n in "abcd"])
    assert (
        "4 of 4 differ from the reference. a: median 1 → 2; b: median 1 → 2; c: median 1 → 2; "
        "and 1 more."
    ) == found.words


DAY = 86_400.0


def alarms_of(days: dict[int, float], length: int = 40) -> list[int]:
    """The days in which an alarm is raised, if x is flagged with these scores on these days."""
    judge = DriftJudge("data_drift", CONFIG)
    raised, before = [], False
    for day in range(length):
        span = Window(
            subject="data_drift", model="m", version=3, start=day * DAY, end=(day + 1) * DAY,
            rows=1_000, content=None,
        )  # fmt: skip
        found = comparison(p=1e-12, score=days[day]) if day in days else comparison()
        verdict = judge.judge(span, [found])
        assert (day in days) == bool(verdict.flagged)
        raised += [day] if verdict.alarmed and not before else []
        before = verdict.alarmed
        judge.load(judge.dump())
    return raised


def test_what_comes_every_weekend_is_told_once() -> None:
    assert [5] == alarms_of(dict.fromkeys([5, 6, 12, 13, 19, 25, 26, 27, 33, 34], 0.06))


def test_what_breaks_again_out_of_step_is_told_again() -> None:
    assert [5, 9] == alarms_of({5: 0.06, 9: 0.06})


def test_what_returns_much_larger_is_told_again() -> None:
    assert [5, 12] == alarms_of({5: 0.06, 12: 0.1})
    assert [5] == alarms_of({5: 0.06, 12: 0.08, 19: 0.09})


def test_what_stayed_away_for_more_than_a_week_is_told_again() -> None:
    assert [5, 19] == alarms_of({5: 0.06, 19: 0.06})
