from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.errors import Conflict
from trimtab.rollout import controller
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.types import (
    GuardrailSpec,
    Harm,
    Matured,
    PredictionRecord,
    Rollout,
    RolloutPlan,
    UnitEvent,
    Window,
)

Make = Callable[..., Any]


@pytest.fixture
def rollout(state: Any, plan: RolloutPlan, who: Any) -> Rollout:
    controller.deploy_first(Change(state, **who), "flights", 1)
    at_once = replace(plan, outcome_delay_seconds=0.0)
    return controller.start(Change(state, **who), "flights", at_once, 2)


def counts(window: Window) -> dict[str, tuple[int, int]]:
    return {reading.guardrail: reading.events for reading in window.content.readings}


def test_each_guardrail_counts_its_own_events(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    records = [
        record("a", event_time=10.0),
        record("b", arm=1, event_time=12.0, failed="model_failure"),
        record("c", arm=1, event_time=11.0, latency_ms=51.0, positive=False),
        record("d", latency_ms=50.0, positive=False),
    ]
    matured = [outcome(records[0], 0.0), outcome(records[2], 1.0), outcome(records[3], 0.0)]
    (window,) = GuardrailWindows(rollout).fold(records, matured, state)
    assert {"wrong": (1, 1), "errors": (0, 1), "bookings": (0, 1), "slow": (0, 1)} == counts(window)
    assert ("guardrail", "flights", 2, 10.0, 12.0, 4) == (
        window.subject,
        window.model,
        window.version,
        window.start,
        window.end,
        window.rows,
    )
    assert {(2, 2)} == {reading.units for reading in window.content.readings}


def test_an_answer_with_a_value_from_a_fallback_is_an_event(
    rollout: Rollout, state: Any, record: Make, plan: RolloutPlan
) -> None:
    spec = GuardrailSpec(name="fallbacks", event=UnitEvent.FALLBACK)
    guarded = replace(rollout, plan=replace(plan, guardrails=(spec,)))
    records = [
        record(f"p{n}", arm=n % 2, sources=sources)
        for n, sources in enumerate(["qr", "qb", "rd", "d-", "q-", "rr"])
    ]
    (window,) = GuardrailWindows(guarded).fold(records, [], state)
    assert counts(window) == {"fallbacks": (1, 2)}


def test_outcomes_count_in_the_order_of_answers_after_the_delay(
    rollout: Rollout, state: Any, new_state: Any, record: Make, outcome: Make, plan: RolloutPlan
) -> None:
    delayed = replace(rollout, plan=plan)
    answers = [record(f"p{i}", arm=i % 2, event_time=10.0 * i) for i in range(10)]
    known = [outcome(answer, 0.0) for answer in answers]

    def evidence(order: Sequence[Matured], fresh: Any) -> tuple[Window, ...]:
        windows = GuardrailWindows(delayed)
        found = [*windows.fold(answers, order[:5], fresh), *windows.fold([], order[5:], fresh)]
        late = [record("late", event_time=200.0)]
        return (*found, *windows.fold(late, [], fresh))

    as_they_came, reversed_ = evidence(known, state), evidence(known[::-1], new_state())
    assert (3, 2) == counts(as_they_came[1])["wrong"]
    assert (5, 5) == counts(as_they_came[2])["wrong"]
    assert as_they_came[2].content.readings == reversed_[2].content.readings


def test_missed_positives_and_false_alarms_are_the_two_kinds_of_wrong(
    rollout: Rollout, state: Any, record: Make, outcome: Make, plan: RolloutPlan
) -> None:
    kinds = ("wrong_decision", "missed_positive", "false_alarm")
    guardrails = tuple(
        replace(plan.guardrails[0], name=kind, event=type(plan.guardrails[0].event)(kind))
        for kind in kinds
    )
    records = [record(f"{p}{i}", positive=p) for p in (True, False, None) for i in (0, 1)]
    matured = [outcome(r, float(r.prediction_id[-1])) for r in records]
    at_once = replace(plan, guardrails=guardrails, outcome_delay_seconds=0.0)
    windows = GuardrailWindows(replace(rollout, plan=at_once))
    (window,) = windows.fold(records, matured, state)
    expected = {"wrong_decision": (2, 0), "missed_positive": (1, 0), "false_alarm": (1, 0)}
    assert expected == counts(window)


def test_a_unit_counts_once_and_its_first_event_stands(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    windows = GuardrailWindows(rollout)
    first = [record(f"p{i}", unit="u", failed="late", arm=1) for i in range(3)]
    windows.fold(first, [outcome(first[0], 0.0)], state)
    corrections = [outcome(first[0], 1.0, previous=0.0), outcome(first[1], 0.0)]
    (window,) = windows.fold([record("p9", unit="u", failed="late", arm=1)], corrections, state)
    assert {"wrong": (0, 1), "errors": (0, 1), "bookings": (0, 1), "slow": (0, 0)} == counts(window)
    assert (0, 1) == window.content.readings[0].units


@pytest.mark.parametrize(
    "changes",
    [{"rollout": None}, {"rollout": "other"}, {"sticky": False}, {"shadow": True}],
)
def test_what_the_split_did_not_assign_is_left_out(
    rollout: Rollout, state: Any, record: Make, outcome: Make, changes: dict[str, Any]
) -> None:
    stranger = record("a", arm=1, failed="late", **changes)
    assert [] == list(GuardrailWindows(rollout).fold([stranger], [outcome(stranger, 0.0)], state))


def test_the_outcome_of_a_pinned_row_is_not_the_splits(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    windows = GuardrailWindows(rollout)
    pinned = record("pinned", unit="u", arm=1, sticky=False)
    (window,) = windows.fold([record("a", unit="u"), pinned], [outcome(pinned, 0.0)], state)
    assert (0, 0) == counts(window)["wrong"]


def test_a_moved_unit_counts_for_the_arm_and_share_of_the_answer(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    windows = GuardrailWindows(rollout)
    windows.fold([record("before", unit="u", share=0.1)], [], state)
    after = record("after", unit="u", arm=1, share=0.5, event_time=99.0)
    (window,) = windows.fold([after], [outcome(after, 0.0)], state)
    alone = GuardrailWindows(replace(rollout, id="other"))
    fresh = replace(after, rollout="other")
    (expected,) = alone.fold([fresh], [outcome(fresh, 0.0)], state)
    assert (0, 1) == counts(window)["wrong"]
    assert expected.content.readings[0].e_value == window.content.readings[0].e_value


def test_excess_and_cost_follow_from_the_share_at_exposure(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    control = [record(f"a{i}", share=0.2) for i in range(8)]
    candidate = [record(f"b{i}", share=0.5, arm=1) for i in range(5)]
    more = [record(f"c{i}", share=0.5) for i in range(2)]
    everything = [*control, *candidate, *more]
    (window,) = GuardrailWindows(rollout).fold(
        everything, [outcome(r, 0.0) for r in everything], state
    )
    wrong, _, bookings, _ = window.content.readings
    assert 5 - (8 * 0.25 + 2 * 1.0) == pytest.approx(wrong.excess)
    assert (2.0, "USD") == (pytest.approx(wrong.cost), wrong.currency)
    assert (0.0, None) == (bookings.excess, bookings.cost)
    compared = GuardrailComparer(rollout.plan).compare(window)[0]
    assert 0.25 == pytest.approx(compared.score)
    assert (wrong.e_value, wrong.limit) == (compared.current_value, compared.reference_value)
    assert min(1.0, 1 / wrong.e_peak) == compared.p_value
    assert compared.words == (
        "wrong: the candidate had 5 among 5 units, control 10 among 10; about 1 more than its share "
        f"explains, an estimated cost of 2 USD (evidence {wrong.e_value:.3g}, limit 80)."
    )


def test_a_crossing_is_told_as_it_was_however_the_records_came(
    rollout: Rollout, state: Any, new_state: Any, record: Make, outcome: Make
) -> None:
    worse = [record(f"a{i}", share=0.1, arm=1) for i in range(12)]
    then_better = [record(f"b{i}", share=0.1) for i in range(60)]
    records = [*worse, *then_better]
    matured = [outcome(r, 0.0) for r in records]
    (at_once,) = GuardrailWindows(rollout).fold(records, matured, state)
    wrong = at_once.content.readings[0]
    crossing = wrong.crossing
    assert wrong.e_value < wrong.limit <= crossing.e_value
    assert (0, 10) == crossing.events, "the plan wants ten events"
    one_by_one, fresh = GuardrailWindows(rollout), new_state()
    windows = [
        window
        for answer, known in zip(records, matured, strict=True)
        for window in one_by_one.fold([answer], [known], fresh)
    ]
    last = windows[-1].content.readings[0]
    assert replace(last.crossing, units=crossing.units) == crossing
    assert (0, 10) == last.crossing.units
    restarted = GuardrailWindows(rollout)
    restarted.load(one_by_one.dump())
    (after,) = restarted.fold([record("c", share=0.1)], [], fresh)
    assert last.crossing == after.content.readings[0].crossing
    said = GuardrailComparer(rollout.plan).compare(at_once)[0].words
    assert f"the candidate had 10 among 12 units, control 0 among {len(then_better)}" in said
    assert said.endswith(
        f"(evidence {crossing.e_value:,.0f}, limit {wrong.limit:.3g}, {wrong.e_value:,.3g} now)."
    )


def test_fewer_conversions_are_a_positive_excess(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    records = [record(f"a{i}", share=0.5) for i in range(6)]
    records += [record(f"b{i}", share=0.5, arm=1) for i in range(2)]
    (window,) = GuardrailWindows(rollout).fold(records, [outcome(r, 1.0) for r in records], state)
    bookings = window.content.readings[2]
    assert ((6, 2), 4.0) == (bookings.events, pytest.approx(bookings.excess))
    compared = GuardrailComparer(rollout.plan).compare(window)[2]
    assert 4 / 6 == pytest.approx(compared.score)


def test_event_time_never_goes_back_and_steps_begin_with_their_first_unit(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    windows = GuardrailWindows(rollout)
    late = [record("a", event_time=50.0), record("b", event_time=20.0, share=0.25)]
    (window,) = windows.fold(late, [outcome(late[0], 1.0)], state)
    assert (50.0, 50.0, 50.0) == (window.start, window.end, window.content.now)
    first, second = window.content.at(0.1), window.content.at(0.25)
    assert (50.0, True) == (first.since, first.informed)
    assert (50.0, False) == (second.since, second.informed)
    assert window.content.at(0.5) is None


def test_nothing_new_is_no_window(rollout: Rollout, state: Any) -> None:
    assert [] == list(GuardrailWindows(rollout).fold([], [], state))


def test_a_clock_that_goes_backwards_neither_takes_back_nor_brings_forward(
    rollout: Rollout, state: Any, new_state: Callable[[], Any], record: Make
) -> None:
    times = (10.0, 500.0, 20.0, 480.0)
    records = [
        record(f"p{i}", arm=i % 2, event_time=at, failed="late" if i % 2 else None)
        for i, at in enumerate(times)
    ]
    windows = GuardrailWindows(rollout)
    found = [window for one in records for window in windows.fold([one], [], state)]
    assert [10.0, 500.0, 500.0, 500.0] == [window.end for window in found]
    (forward,) = GuardrailWindows(rollout).fold(
        sorted(records, key=lambda one: one.event_time), [], new_state()
    )
    assert counts(forward) == counts(found[-1])
    assert forward.end == found[-1].end


def test_outcomes_before_the_exposure_is_known_do_not_count(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    early = outcome(record("a"), 0.0)
    assert [] == list(GuardrailWindows(rollout).fold([], [early], state))


def test_the_readings_of_another_rollout_are_refused(rollout: Rollout) -> None:
    blob = GuardrailWindows(replace(rollout, id="other")).dump()
    with pytest.raises(Conflict, match="'other'"):
        GuardrailWindows(rollout).load(blob)


Stream = list[tuple[int, bool, float, bool, bool, float]]
STREAM: st.SearchStrategy[Stream] = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.booleans(),
        st.sampled_from([0.1, 0.25, 0.5]),
        st.booleans(),
        st.booleans(),
        st.floats(0, 1_000),
    ),
    max_size=40,
)


def folded(
    rollout: Rollout,
    state: Any,
    records: Sequence[PredictionRecord],
    matured: Sequence[Matured],
    cuts: Sequence[int],
    *,
    restart: bool,
) -> bytes:
    """Fold in batches, with the state of the object saved and loaded in between."""
    windows = GuardrailWindows(rollout)
    edges = [0, *sorted(cuts), len(records)]
    for begin, end in pairwise(edges):
        windows.fold(records[begin:end], matured[begin:end], state)
        if restart:
            blob = windows.dump()
            windows = GuardrailWindows(rollout)
            windows.load(blob)
    return windows.dump()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(stream=STREAM, cuts=st.lists(st.integers(0, 40), max_size=4), twice=st.booleans())
def test_batches_restarts_and_duplicates_change_nothing(
    rollout: Rollout,
    record: Make,
    outcome: Make,
    new_state: Callable[[], Any],
    stream: Stream,
    cuts: list[int],
    twice: bool,
) -> None:
    records = [
        record(
            f"p{i}",
            unit=f"u{unit}",
            arm=int(candidate),
            share=share,
            failed="late" if failed else None,
            event_time=when,
        )
        for i, (unit, candidate, share, failed, _, when) in enumerate(stream)
    ]
    matured = [
        outcome(r, float(positive)) for r, (*_, positive, _) in zip(records, stream, strict=True)
    ]
    once = folded(rollout, new_state(), records, matured, [], restart=False)
    batched = folded(rollout, new_state(), records, matured, cuts, restart=True)
    assert once == batched
    if twice:
        assert once == folded(rollout, new_state(), records * 2, matured * 2, cuts, restart=True)


def test_a_guardrail_on_values_counts_first_outcomes_by_their_amount(
    rollout: Rollout, state: Any, record: Make, outcome: Make, plan: RolloutPlan
) -> None:
    spend = GuardrailSpec(
        name="spend", event=UnitEvent.OUTCOME_VALUE, harm=Harm.FEWER, low=10.0, high=110.0,
        cost_per_event=2.0, currency="EUR",
    )  # fmt: skip
    valued = replace(rollout, plan=replace(plan, guardrails=(spend,), outcome_delay_seconds=0.0))
    records = [record(f"v{i}", arm=i % 2, share=0.5) for i in range(6)]
    values = [60.0, 20.0, 500.0, -3.0, 10.0, 10.0]
    matured = [outcome(*pair) for pair in zip(records, values, strict=True)]
    again = outcome(records[0], 110.0)
    (window,) = GuardrailWindows(valued).fold(records, [*matured, again], state)
    (reading,) = window.content.readings
    assert (3, 3) == reading.events
    assert (150.0, 10.0) == reading.amounts
    assert (140.0, 280.0) == (reading.excess, reading.cost)
    (spoken, _) = GuardrailComparer(valued.plan).compare(window)
    assert spoken.words.startswith(
        "spend: the candidate's 3 outcomes average 13.33, control's 3 60; about 140 less than its "
        "share explains, an estimated cost of 280 EUR"
    )
    assert 14 / 15 == pytest.approx(spoken.score)


def test_a_shadow_is_judged_by_its_own_answers_and_by_nothing_else(
    state: Any, plan: RolloutPlan, who: Any, record: Make
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    errors = (GuardrailSpec(name="errors", event=UnitEvent.ERROR),)
    shadow = controller.start(
        Change(state, **who), "flights", replace(plan, strategy="shadow", guardrails=errors), 2
    )
    route = state.route("flights")
    assert ("shadow", [1.0, 0.1]) == (route.strategy, [arm.share for arm in route.arms])
    answers = [record(f"a{i}", share=0.0, failed="timeout") for i in range(20)]
    shown = [record(f"s{i}", arm=1, shadow=True, failed="timeout") for i in range(20)]
    windows = GuardrailWindows(shadow)
    assert [] == windows.fold(answers, [], state)
    (window,) = windows.fold([*answers, *shown], [], state)
    assert {"errors": (0, 20)} == counts(window)
    (reading,) = window.content.readings
    assert reading.e_value > reading.limit
    assert 1.0 == window.content.split.e_value


def test_a_shadow_and_the_champion_are_compared_on_the_same_requests(
    state: Any, plan: RolloutPlan, who: Any, record: Make
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    slow = GuardrailSpec(name="slow", event=UnitEvent.SLOW, slow_ms=50.0)
    scores = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=0.5)
    shadow = controller.start(
        Change(state, **who),
        "flights",
        replace(plan, strategy="shadow", guardrails=(slow, scores)),
        2,
    )

    def shown(
        name: str, ours: tuple[float, float], theirs: tuple[float, float], **more: Any
    ) -> Any:
        asked = {"score": ours[0], "latency_ms": ours[1], "answered": theirs, "shadow": True}
        return record(name, arm=1, **asked | more)

    records = [
        shown("a", (0.9, 10.0), (0.2, 10.0)),
        shown("a", (0.9, 10.0), (0.2, 10.0), prediction_id="again"),
        shown("b", (0.2, 10.0), (0.9, 60.0)),
        shown("c", (0.9, 60.0), (0.9, 60.0)),
        shown("d", (0.1, 60.0), (0.2, 10.0)),
        shown("e", (float("nan"), 60.0), (0.9, 10.0), failed="timeout"),
    ]
    (window,) = GuardrailWindows(shadow).fold(records, [], state)
    assert {"slow": (1, 1), "scores": (1, 1)} == counts(window)
    assert {(0, 5)} == {reading.units for reading in window.content.readings}


def test_scores_above_the_threshold_count_once_a_unit_and_failed_rows_do_not(
    state: Any, plan: RolloutPlan, who: Any, record: Make
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    drift = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=0.5)
    guarded = replace(plan, guardrails=(drift,))
    made = controller.start(Change(state, **who), "flights", guarded, 2)
    records = [
        record("a", score=0.6),
        record("b", arm=1, score=0.9),
        record("b", arm=1, score=0.9, prediction_id="again"),
        record("c", arm=1, score=0.9, failed="timeout"),
        record("d", arm=1, score=0.5),
    ]
    (window,) = GuardrailWindows(made).fold(records, [], state)
    assert {"scores": (1, 1)} == counts(window)
    assert 1.0 == window.content.readings[0].certificate


@pytest.mark.parametrize("factor", [0.0, 3.0])
def test_scores_that_differ_either_way_cross(
    state: Any, plan: RolloutPlan, who: Any, record: Make, factor: float
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    drift = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=0.5)
    made = controller.start(Change(state, **who), "flights", replace(plan, guardrails=(drift,)), 2)
    records = [record(f"c{i}", share=0.5, score=0.6 if i % 5 == 0 else 0.4) for i in range(200)]
    records += [
        record(f"k{i}", arm=1, share=0.5, score=0.6 if i % 5 < factor else 0.4) for i in range(200)
    ]
    (window,) = GuardrailWindows(made).fold(records, [], state)
    (reading,) = window.content.readings
    assert reading.e_peak > reading.limit
    (found, _) = GuardrailComparer(made.plan).compare(window)
    assert found.score > 0.5
