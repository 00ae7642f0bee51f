from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab.errors import Conflict, InvalidRequest, NotFound, Unavailable
from trimtab.protocols import StateStore, StateTx
from trimtab.store.state import open_state
from trimtab.types import (
    EVERY_CHANNEL,
    Alert,
    Alias,
    Arm,
    AuditEntry,
    Comparison,
    Exposure,
    FeatureKind,
    FeatureSpec,
    GuardrailSpec,
    OutcomeRecord,
    PredictionFacts,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    Route,
    Severity,
    Signature,
    State,
    Task,
    UnitEvent,
    Verdict,
    Version,
)


def version(number: int = 1, model: str = "flights", **changes: Any) -> Version:
    signature = Signature(
        features=(
            FeatureSpec(name="distance", kind=FeatureKind.NUMERIC, unit="mile"),
            FeatureSpec(name="carrier", kind=FeatureKind.CATEGORICAL, nullable=True),
        ),
        task=Task.BINARY,
        labels=("on time", "late"),
        threshold=0.3,
    )
    fields: dict[str, Any] = {
        "model": model,
        "version": number,
        "digest": f"sha256:{number:064x}",
        "format": "skops",
        "size_bytes": 2**40,
        "signature": signature,
        "created_at": 1.25,
        "metrics": {"roc_auc": 0.1 + 0.2, "lift": math.inf},
        "lineage": {"code": "abc"},
        "views": ("weather",),
    }
    return Version(**fields | changes)


def route(model: str = "flights", epoch: int = 1, champion: int = 1) -> Route:
    return Route(
        model=model,
        epoch=epoch,
        arms=(
            Arm(name="control", version=champion, share=0.9),
            Arm(name="candidate", version=2, share=0.1),
        ),
        slots=bytes([0] * 9_000 + [1] * 1_000),
        salt="s1",
        rollout="r1",
        strategy="canary",
    )


def rollout(name: str = "r1", model: str = "flights", **changes: Any) -> Rollout:
    plan = RolloutPlan(
        steps=(RampStep(share=0.01, bake_seconds=60.0), RampStep(share=1.0, bake_seconds=0.0)),
        guardrails=(GuardrailSpec(name="wrong", event=UnitEvent.WRONG_DECISION, margin=0.1),),
    )
    fields: dict[str, Any] = {
        "id": name,
        "model": model,
        "control": 1,
        "candidate": 2,
        "plan": plan,
        "state": RolloutState.RUNNING,
        "step": 0,
        "salt": "s1",
        "started_at": 10.0,
    }
    return Rollout(**fields | changes)


def entry(seq: int, model: str = "flights") -> AuditEntry:
    return AuditEntry(
        seq=seq,
        at=float(seq),
        actor="ada",
        action="deploy",
        model=model,
        detail={"share": 0.1, "arms": [1, 2], "note": "é", "none": None},
        reason="a reason",
        previous=f"h{seq - 1}",
        hash=f"h{seq}",
    )


def facts(name: str, model: str = "flights", **changes: Any) -> PredictionFacts:
    fields: dict[str, Any] = {
        "prediction_id": name,
        "model": model,
        "version": 1,
        "rollout": "r1",
        "arm": 1,
        "share": 0.1,
        "unit": f"unit {name}",
        "event_time": 5.5,
        "score": 0.25,
        "positive": True,
    }
    return PredictionFacts(**fields | changes)


def outcome(
    name: str, value: float = 1.0, model: str = "flights", at: float = 9.0
) -> OutcomeRecord:
    return OutcomeRecord(
        model=model, prediction_id=name, value=value, event_time=at, received_at=at + 1.0
    )


def verdict(end: float = 20.0, **changes: Any) -> Verdict:
    comparison = Comparison(
        name="distance",
        statistic="js",
        score=0.2,
        noise_floor=0.01,
        floor=0.05,
        p_value=None,
        reference_value=math.nan,
    )
    fields: dict[str, Any] = {
        "subject": "data_drift",
        "model": "flights",
        "version": 1,
        "start": end - 10.0,
        "end": end,
        "rows": 100,
        "state": State.DRIFTED,
        "score": 0.2,
        "evidence": math.inf,
        "alarm_at": 1000.0,
        "alarmed": True,
        "since": None,
        "comparisons": (comparison,),
        "flagged": ("distance",),
        "words": "Distances grew.",
    }
    return Verdict(**fields | changes)


def alert(key: str = "drift", model: str = "flights", title: str = "Drift") -> Alert:
    return Alert(
        key=key,
        severity=Severity.PAGE,
        title=title,
        body="It drifts.",
        model=model,
        version=None,
        event_time=3.0,
    )


# --------------------------------------------------------------------------- transactions


class Stop(Exception):
    pass


def test_everything_in_a_transaction_commits_together(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.registry.add_version(version())
        tx.control.put_route(route())
        tx.save_setting("secret", "x")
    with store.reading() as tx:
        assert (["flights"], route(), "x") == (
            tx.registry.models(),
            tx.control.route("flights"),
            tx.setting("secret"),
        )


def test_an_exception_rolls_everything_back(store: StateStore) -> None:
    def change_all_and_stop(tx: StateTx) -> None:
        tx.registry.add_version(version())
        tx.control.advance(0)
        tx.outcomes.index([facts("a")])
        tx.outcomes.add([outcome("a")])
        tx.watch.save_offsets({"s": 1})
        tx.alerts.open(alert(), ["mail"])
        raise Stop

    with pytest.raises(Stop), store.transaction() as tx:
        change_all_and_stop(tx)
    with store.reading() as tx:
        assert ([], 0, [], {}, [], {}) == (
            tx.registry.models(),
            tx.control.epoch(),
            tx.alerts.due(99.0, 9),
            tx.watch.offsets(),
            tx.alerts.alerts(),
            tx.outcomes.counts("flights"),
        )


def test_reading_sees_one_snapshot_while_others_write(store: StateStore) -> None:
    with store.reading() as before:
        assert 0 == before.control.epoch()
        with store.transaction() as tx:
            tx.control.advance(0)
        assert 0 == before.control.epoch()
    with store.reading() as after:
        assert 1 == after.control.epoch()


def test_reading_refuses_to_write(store: StateStore) -> None:
    with pytest.raises(Unavailable) as refused, store.reading() as tx:
        tx.save_setting("a", "b")
    assert "state_unavailable" == refused.value.code
    with store.transaction() as tx:
        assert tx.setting("a") is None
        tx.save_setting("a", "b")


def test_state_outlives_the_store(url: str) -> None:
    first = open_state(url)
    with first.transaction() as tx:
        tx.control.advance(0)
    first.close()
    first.close()
    second = open_state(url)
    with second.reading() as tx:
        assert 1 == tx.control.epoch()
    second.close()


def test_text_that_a_database_cannot_keep_is_refused_whole(store: StateStore) -> None:
    def save_both(tx: StateTx) -> None:
        tx.save_setting("first", "1")
        tx.save_setting("second", "unpaired \ud800 surrogate")

    with pytest.raises(InvalidRequest) as refused, store.transaction() as tx:
        save_both(tx)
    assert "value_not_storable" == refused.value.code
    with store.reading() as tx:
        assert tx.setting("first") is None


def test_settings_are_replaced(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.save_setting("key", "old")
        tx.save_setting("key", "new")
        assert ("new", None) == (tx.setting("key"), tx.setting("other"))


# --------------------------------------------------------------------------- registry


def test_versions_come_back_as_they_were(store: StateStore) -> None:
    with store.transaction() as tx:
        assert 1 == tx.registry.next_version("flights")
        for kept in (version(2), version(1), version(1, "fraud")):
            tx.registry.add_version(kept)
        assert 3 == tx.registry.next_version("flights")
    with store.reading() as tx:
        assert [version(1), version(2)] == tx.registry.versions("flights")
        assert version(2) == tx.registry.version("flights", 2)
        assert tx.registry.version("flights", 3) is None
        assert ["flights", "fraud"] == tx.registry.models()


def test_a_version_never_changes(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.registry.add_version(version())
    with pytest.raises(Conflict) as refused, store.transaction() as tx:
        tx.registry.add_version(version(digest="sha256:0"))
    assert "version_exists" == refused.value.code


def test_an_alias_moves(store: StateStore) -> None:
    def champion(number: int) -> Alias:
        return Alias(
            model="flights", alias="champion", version=number, since=1.0, actor="ada", reason="r"
        )

    with store.transaction() as tx:
        tx.registry.add_version(version(1))
        tx.registry.add_version(version(2))
        tx.registry.set_alias(champion(1))
        tx.registry.set_alias(champion(2))
        assert [champion(2)] == tx.registry.aliases("flights")
        assert [] == tx.registry.aliases("fraud")
        tx.registry.drop_alias("flights", "champion")
        tx.registry.drop_alias("flights", "champion")
        assert [] == tx.registry.aliases("flights")
        tx.registry.set_alias(champion(2))
    with pytest.raises(NotFound) as missing, store.transaction() as tx:
        tx.registry.set_alias(champion(3))
    assert "version_not_found" == missing.value.code


# --------------------------------------------------------------------------- control, audit


def test_the_epoch_rises_by_one_and_a_stale_writer_changes_nothing(store: StateStore) -> None:
    with store.transaction() as tx:
        assert (0, 1, 1) == (tx.control.epoch(), tx.control.advance(0), tx.control.epoch())

    def act_on_epoch_0(tx: StateTx) -> None:
        tx.control.put_route(route())
        tx.control.advance(0)

    with pytest.raises(Conflict) as stale, store.transaction() as tx:
        act_on_epoch_0(tx)
    assert "stale_epoch" == stale.value.code
    with store.reading() as tx:
        assert (1, None) == (tx.control.epoch(), tx.control.route("flights"))


def test_routes_are_replaced_but_never_by_older_ones(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.control.put_route(route(epoch=1))
        tx.control.put_route(route("fraud"))
        tx.control.put_route(route(epoch=3, champion=2))
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.control.put_route(route(epoch=2))
    with store.reading() as tx:
        assert [route(epoch=3, champion=2), route("fraud")] == tx.control.routes()


def test_rollouts_are_replaced_and_listed_oldest_first(store: StateStore) -> None:
    ended = rollout(state=RolloutState.ROLLED_BACK, ended_at=12.0, reason="wrong")
    later, other = rollout("r0", started_at=11.0), rollout("r2", model="fraud", started_at=9.0)
    with store.transaction() as tx:
        for kept in (rollout(), later, other, ended):
            tx.control.put_rollout(kept)
        assert ended == tx.control.rollout("r1")
        assert tx.control.rollout("r9") is None
        assert [ended, later] == tx.control.rollouts("flights")
        assert [other, ended, later] == tx.control.rollouts()


def test_what_was_handed_over_is_taken_once_and_kept_if_the_taker_fails(store: StateStore) -> None:
    with store.transaction() as tx:
        for body in (b"one", b"two"):
            tx.watch.hand_over("r1", body)
        tx.watch.hand_over("r2", b"three")
    left = [("r1", b"one"), ("r1", b"two"), ("r2", b"three")]

    def take_and_fail() -> None:
        with store.transaction() as tx:
            assert left == tx.watch.take_handed()
            assert not tx.watch.has_handed()
            tx.control.advance(99)

    with pytest.raises(Conflict):
        take_and_fail()
    with store.transaction() as tx:
        assert tx.watch.has_handed()
        assert left == tx.watch.take_handed()
    with store.transaction() as tx:
        assert (False, []) == (tx.watch.has_handed(), tx.watch.take_handed())


def test_the_audit_log_lists_the_newest_oldest_first(store: StateStore) -> None:
    with store.transaction() as tx:
        assert tx.audit.last() is None
        for kept in (entry(1), entry(2, "fraud"), entry(3)):
            tx.audit.add(kept)
    with store.reading() as tx:
        assert entry(3) == tx.audit.last()
        assert [entry(2, "fraud"), entry(3)] == tx.audit.entries(limit=2)
        assert [entry(1), entry(3)] == tx.audit.entries("flights")
    with pytest.raises(Conflict) as moved, store.transaction() as tx:
        tx.audit.add(entry(3))
    assert "audit_moved" == moved.value.code


# --------------------------------------------------------------------------- outcomes


def statuses(tx: StateTx, *outcomes: OutcomeRecord) -> list[str]:
    return [receipt.status for receipt in tx.outcomes.add(outcomes)]


def taken(tx: StateTx, limit: int = 100) -> list[tuple[str, float, float | None]]:
    matured = tx.outcomes.take_matured(limit)
    return [(one.facts.prediction_id, one.value, one.previous) for one in matured]


def test_outcomes_are_recorded_duplicated_corrected(store: StateStore) -> None:
    with store.transaction() as tx:
        assert ["recorded", "recorded"] == statuses(tx, outcome("a"), outcome("b", 0.0))
    with store.transaction() as tx:
        sent = (outcome("b", 0.0), outcome("c"), outcome("a", 0.5))
        receipts = tx.outcomes.add(sent)
    assert [("b", "duplicate"), ("c", "recorded"), ("a", "corrected")] == [
        (receipt.prediction_id, receipt.status) for receipt in receipts
    ]
    assert "0.5 replaces 1." == receipts[2].message
    with store.reading() as tx:
        assert {"a": 0.5, "b": 0.0, "c": 1.0} == tx.outcomes.values(
            "flights", ["a", "b", "c", "a", "d"]
        )


def test_duplicates_within_one_batch_are_taken_in_order(store: StateStore) -> None:
    sent = (outcome("a", 1.0), outcome("a", 1.0), outcome("a", 2.0), outcome("a", 1.0))
    with store.transaction() as tx:
        assert ["recorded", "duplicate", "corrected", "corrected"] == statuses(tx, *sent)
        assert {"a": 1.0} == tx.outcomes.values("flights", ["a"])
        assert ["duplicate", "corrected", "duplicate", "corrected"] == statuses(
            tx, outcome("a"), outcome("a", 3.0), outcome("a", 3.0), outcome("a", 4.0)
        )
        assert {"a": 4.0} == tx.outcomes.values("flights", ["a"])


def test_the_same_prediction_id_of_two_models_is_two_predictions(store: StateStore) -> None:
    with store.transaction() as tx:
        assert ["recorded", "recorded"] == statuses(tx, outcome("a"), outcome("a", model="fraud"))
        tx.outcomes.index([facts("a", "fraud")])
        assert [("a", 1.0, None)] == taken(tx)
        assert {} == tx.outcomes.facts("flights", ["a"])
        assert {"a": facts("a", "fraud")} == tx.outcomes.facts("fraud", ["a"])


def test_an_outcome_that_is_no_number_is_refused(store: StateStore) -> None:
    with pytest.raises(InvalidRequest) as refused, store.transaction() as tx:
        tx.outcomes.add([outcome("a"), outcome("b", math.nan)])
    assert ("outcome_not_finite", "outcomes[1].value") == (refused.value.code, refused.value.path)


def test_index_says_what_was_new_and_keeps_the_first(store: StateStore) -> None:
    with store.transaction() as tx:
        assert [0, 1] == list(
            tx.outcomes.index(
                [facts("a"), facts("b", positive=None, rollout=None), facts("a", score=0.9)]
            )
        )
        assert [1] == list(tx.outcomes.index([facts("b", score=0.9), facts("c")]))
        assert [] == list(tx.outcomes.index([]))
        assert {"a": facts("a"), "b": facts("b", positive=None, rollout=None)} == (
            tx.outcomes.facts("flights", ["b", "a", "zz"])
        )


def test_index_tells_new_predictions_from_known_ones_and_from_outcomes_without_one(
    store: StateStore,
) -> None:
    rich = facts("b", "fraud", shares=(0.5, 0.25, 0.25), segments={"country": "fr"})
    with store.transaction() as tx:
        tx.outcomes.index([facts("a"), facts("b")])
        tx.outcomes.add([outcome("c"), outcome("d"), outcome("a", model="fraud")])
        again, more = facts("a", score=0.9), [facts("c"), facts("a", "fraud"), rich, facts("e")]
        assert [1, 2, 3, 4] == list(tx.outcomes.index([again, *more, facts("b"), facts("c")]))
        assert {"a": facts("a"), "b": facts("b"), "c": facts("c"), "e": facts("e")} == (
            tx.outcomes.facts("flights", ["a", "b", "c", "d", "e"])
        )
        assert {"a": facts("a", "fraud"), "b": rich} == tx.outcomes.facts("fraud", ["a", "b"])
        assert [("c", 1.0, None), ("a", 1.0, None)] == taken(tx)
        assert {1: (4, 1)} == tx.outcomes.counts("flights")
        assert {1: (2, 1)} == tx.outcomes.counts("fraud")


def test_outcomes_mature_whichever_comes_first(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.outcomes.index([facts("b")])
        tx.outcomes.add([outcome("a"), outcome("b", 0.0), outcome("c")])
        assert [("b", 0.0, None)] == taken(tx)
    with store.transaction() as tx:
        assert [0, 1] == list(tx.outcomes.index([facts("c"), facts("a")]))
        assert [("a", 1.0, None), ("c", 1.0, None)] == taken(tx)
        assert [] == taken(tx)


def test_what_few_models_need_of_a_prediction_comes_back_as_it_was(store: StateStore) -> None:
    rich = facts(
        "rich",
        outputs=(0.25, 0.5, 0.25),
        request_id="r",
        segments={"country": "fr", "hour": 3, "m": None},
    )
    with store.transaction() as tx:
        tx.outcomes.index([facts("plain"), rich])
        tx.outcomes.add([outcome("plain"), outcome("rich")])
        assert [facts("plain"), rich] == [one.facts for one in tx.outcomes.take_matured(2)]
        assert {"rich": rich} == tx.outcomes.facts("flights", ["rich"])


def test_matured_carries_the_facts_and_the_outcome(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.outcomes.index([facts("a")])
        tx.outcomes.add([outcome("a", 2.5, at=7.0)])
        (matured,) = tx.outcomes.take_matured(1)
    assert (facts("a"), 2.5, 7.0, None) == (
        matured.facts,
        matured.value,
        matured.outcome_time,
        matured.previous,
    )


def test_take_matured_is_bounded_and_goes_on(store: StateStore) -> None:
    names = [f"p{number}" for number in range(5)]
    with store.transaction() as tx:
        tx.outcomes.index([facts(name) for name in reversed(names)])
        tx.outcomes.add([outcome(name) for name in names])
    found = []
    for _ in range(4):
        with store.transaction() as tx:
            found.append([name for name, *_ in taken(tx, 2)])
    assert [["p0", "p1"], ["p2", "p3"], ["p4"], []] == found


def test_a_correction_comes_again_with_what_was_taken(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.outcomes.index([facts("a"), facts("b")])
        tx.outcomes.add([outcome("a", 1.0), outcome("b", 1.0)])
        tx.outcomes.add([outcome("a", 2.0)])
        assert [("b", 1.0, None), ("a", 2.0, None)] == taken(tx)
        tx.outcomes.add([outcome("a", 3.0), outcome("b", 1.0)])
        assert [("a", 3.0, 2.0)] == taken(tx)
        tx.outcomes.add([outcome("a", 4.0), outcome("a", 3.0)])
        assert [] == taken(tx)


def test_counts_are_by_version(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.outcomes.index([facts("a"), facts("b"), facts("c", version=2), facts("d", "fraud")])
        tx.outcomes.add([outcome("a"), outcome("c"), outcome("later")])
        assert {1: (2, 1), 2: (1, 1)} == tx.outcomes.counts("flights")
        taken(tx, 1)
        assert {1: (2, 1), 2: (1, 1)} == tx.outcomes.counts("flights")
        tx.outcomes.add([outcome("a", 5.0), outcome("b")])
        assert {1: (2, 2), 2: (1, 1)} == tx.outcomes.counts("flights")
        taken(tx)
        assert {1: (2, 2), 2: (1, 1)} == tx.outcomes.counts("flights")
        assert {1: (1, 0)} == tx.outcomes.counts("fraud")


def test_batches_larger_than_one_statement(store: StateStore) -> None:
    names = [f"p{number}" for number in range(7_000)]
    with store.transaction() as tx:
        assert list(range(7_000)) == list(tx.outcomes.index([facts(name) for name in names]))
        assert ["recorded"] * 7_000 == statuses(tx, *map(outcome, names))
        assert ["corrected"] * 7_000 == statuses(tx, *(outcome(name, 2.0) for name in names))
        assert names == [name for name, *_ in taken(tx, 9_000)]
        assert 7_000 == len(tx.outcomes.facts("flights", names))
        exposed = [
            Exposure(rollout="r", unit=name, arm=0, share=0.1, event_time=1.0) for name in names
        ]
        assert exposed == tx.watch.new_exposures(exposed)
        assert names == tx.watch.new_events("r", "g", names)
        assert 7_000 == len(tx.watch.exposures("r", names))


# --------------------------------------------------------------------------- watching


def test_offsets_and_blobs(store: StateStore) -> None:
    with store.transaction() as tx:
        assert ({}, None) == (tx.watch.offsets(), tx.watch.blob("windows"))
        tx.watch.save_offsets({"b": 2**40, "a": 1})
        tx.watch.save_offsets({"a": 5})
        tx.watch.save_offsets({})
        tx.watch.save_blob("windows", b"\x00\xff")
        tx.watch.save_blob("windows", b"\x00\xff\x01")
        assert {"a": 5, "b": 2**40} == tx.watch.offsets()
        assert b"\x00\xff\x01" == tx.watch.blob("windows")


def test_blobs_are_found_by_how_their_keys_begin(store: StateStore) -> None:
    names = (
        "m/1/data_drift@a",
        "m/1/data_drift@b",
        "m/1/dataXdrift@c",
        "M/1/data_drift@d",
        "m/1/data_%@e",
    )
    with store.transaction() as tx:
        for name in names:
            tx.watch.save_blob(name, name.encode())
        tx.watch.lock("m/1/data_drift")
        assert list(names[:2]) == list(tx.watch.blobs("m/1/data_drift@"))
        assert {names[4]: names[4].encode()} == tx.watch.blobs("m/1/data_%")
        assert {} == tx.watch.blobs("m/2/")


def test_verdicts_are_listed_by_their_window(store: StateStore) -> None:
    kept = [verdict(20.0), verdict(30.0, version=2), verdict(40.0, subject="performance")]
    with store.transaction() as tx:
        for one in (kept[2], kept[0], kept[1], verdict(50.0, model="fraud")):
            tx.watch.add_verdict(one)
    with store.reading() as tx:

        def ends(**names: Any) -> list[float]:
            return [one.end for one in tx.watch.verdicts("flights", **names)]

        assert [20.0, 30.0, 40.0] == ends()
        assert [30.0, 40.0] == ends(limit=2)
        assert [20.0, 30.0] == ends(subject="data_drift")
        assert [30.0] == ends(version=2)
        assert [] == ends(subject="performance", version=2)


def test_a_verdict_comes_back_as_it_was_and_is_replaced_when_made_again(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.watch.add_verdict(verdict(words="first"))
        tx.watch.add_verdict(verdict())
        (found,) = tx.watch.verdicts("flights")
    assert repr(verdict()) == repr(found)  # NaN is not equal to itself


def test_a_unit_is_exposed_once(store: StateStore) -> None:
    def exposure(unit: str, share: float = 0.1, rollout: str = "r1") -> Exposure:
        return Exposure(rollout=rollout, unit=unit, arm=1, share=share, event_time=2.0)

    with store.transaction() as tx:
        sent = [exposure("z"), exposure("a"), exposure("z", 0.5), exposure("z", rollout="r2")]
        assert [sent[0], sent[1], sent[3]] == tx.watch.new_exposures(sent)
        later = [exposure("a", 0.9), exposure("c")]
        assert [later[1]] == tx.watch.new_exposures(later)
        assert [] == tx.watch.new_exposures([])
        assert {"a": exposure("a"), "c": exposure("c")} == tx.watch.exposures(
            "r1", ["c", "a", "c", "nobody"]
        )


def test_a_unit_has_one_event_a_guardrail(store: StateStore) -> None:
    with store.transaction() as tx:
        assert ["z", "a"] == tx.watch.new_events("r1", "wrong", ["z", "a", "z"])
        assert ["b"] == tx.watch.new_events("r1", "wrong", ["a", "b", "z"])
        assert ["a"] == tx.watch.new_events("r1", "slow", ["a"])
        assert ["a"] == tx.watch.new_events("r2", "wrong", ["a"])
        assert [] == tx.watch.new_events("r2", "wrong", [])


# --------------------------------------------------------------------------- alerts


def test_an_open_alert_counts_repeats_and_is_sent_once(store: StateStore) -> None:
    with store.transaction() as tx:
        assert tx.alerts.open(alert(), ["mail", "chat", "mail"])
        assert not tx.alerts.open(alert(title="Again"), ["mail"])
        assert not tx.alerts.open(alert(), ["mail"])
        assert [(alert(), 2, None)] == tx.alerts.alerts()
        due = tx.alerts.due(0.0, 10)
    assert [("mail", alert(), 0), ("chat", alert(), 0)] == [delivery[1:] for delivery in due]


def test_a_closed_alert_opens_anew(store: StateStore) -> None:
    with store.transaction() as tx:
        assert not tx.alerts.close("drift", 4.0)
        tx.alerts.open(alert(), [])
        assert tx.alerts.close("drift", 5.0)
        assert not tx.alerts.close("drift", 6.0)
        assert tx.alerts.open(alert(title="Second"), [])
        tx.alerts.open(alert("other", "fraud"), [])
        second = (alert(title="Second"), 0, None)
        assert [(alert(), 0, 5.0), second] == tx.alerts.alerts("flights")
        assert [second, (alert("other", "fraud"), 0, None)] == tx.alerts.alerts(limit=2)


def test_deliveries_are_retried_until_delivered(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.alerts.open(alert(), ["mail", "chat"])
        (mail, *_), (chat, *_) = tx.alerts.due(1.0, 10)
        tx.alerts.retry(mail, 50.0, "refused")
        tx.alerts.delivered(chat, 1.0)
        assert [] == tx.alerts.due(49.0, 10)
        assert [(mail, "mail", alert(), 1)] == tx.alerts.due(50.0, 10)
        tx.alerts.delivered(mail, 51.0)
        assert [] == tx.alerts.due(99.0, 10)


def test_a_delivery_to_every_channel_is_spread_over_those_there_are(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.alerts.open(alert(), [EVERY_CHANNEL])
        ((every, *_),) = tx.alerts.due(1.0, 10)
        tx.alerts.spread(every, ["mail", "chat"], 1.0)
        due = tx.alerts.due(1.0, 10)
        assert [("mail", alert(), 0), ("chat", alert(), 0)] == [each[1:] for each in due]
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.alerts.spread(77, ["mail"], 1.0)


def test_due_is_bounded_and_longest_due_first(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.alerts.open(alert(), ["a", "b", "c"])
        first = tx.alerts.due(0.0, 1)[0][0]
        tx.alerts.retry(first, 5.0, "refused")
        assert ["b", "c"] == [channel for _, channel, *_ in tx.alerts.due(9.0, 2)]
        assert ["b", "c", "a"] == [channel for _, channel, *_ in tx.alerts.due(9.0, 3)]


def test_an_unknown_delivery_is_an_error(store: StateStore) -> None:
    with pytest.raises(NotFound) as missing, store.transaction() as tx:
        tx.alerts.delivered(77, 1.0)
    assert "delivery_not_found" == missing.value.code
