from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.fallbacks import (
    FallbackActor,
    FallbackComparer,
    FallbackJudge,
    FallbackWindows,
)
from trimtab.features.views import compile_plan
from trimtab.protocols import StateTx
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Signature,
    State,
    Task,
    Verdict,
    Window,
)

NAMES = ("amount", "spent", "visits")
CONFIG = FeaturesConfig(
    fallback_ratio=0.1,
    fallback_min_values=10,
    fallback_window_seconds=60.0,
    stores={name: StoreConfig(kind="memory") for name in ("online", "nightly")},
    views={
        "fresh": ViewConfig(
            entity="user", realtime="online", batch="nightly", features=(ViewFeature(name="spent"),)
        ),
        "slow": ViewConfig(entity="user", batch="nightly", features=(ViewFeature(name="visits"),)),
    },
)
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=n, kind=FeatureKind.NUMERIC) for n in NAMES), task=Task.BINARY
)
PLAN = compile_plan(CONFIG, SIGNATURE, ["fresh", "slow"])


def record(event_time: float, sources: str, version: int = 1) -> PredictionRecord:
    return PredictionRecord(
        prediction_id="p", request_id=None, event_time=event_time, wall_time=event_time, model="m",
        version=version, digest="", epoch=1, rollout=None, arm=0, share=0.0, unit="u", sticky=True,
        values=(1.0, 1.0, 1.0), sources=sources, ages_seconds=(None,) * 3, score=0.5,
        outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    )  # fmt: skip


def windows() -> FallbackWindows:
    return FallbackWindows("m", 1, NAMES, PLAN, CONFIG.fallback_window_seconds)


STATE = cast("StateTx", None)


def verdicts(made: FallbackWindows, records: Sequence[PredictionRecord]) -> list[Verdict]:
    judge, comparer = FallbackJudge(), FallbackComparer(CONFIG)
    return [
        judge.judge(window, comparer.compare(window)) for window in made.fold(records, [], STATE)
    ]


def test_batch_is_a_fallback_only_where_there_is_a_realtime_store() -> None:
    rows = [record(float(i), "qbb" if i % 2 else "qrb") for i in range(20)]
    (verdict,) = verdicts(windows(), [*rows, record(60.0, "qrb")])
    assert verdict.state is State.DRIFTED
    assert verdict.flagged == ("spent",)
    assert {c.name: c.score for c in verdict.comparisons} == {"spent": 0.5, "visits": 0.0}
    assert verdict.words == "spent: 50.0% of 20 values were fallbacks."


def test_a_few_values_mean_nothing() -> None:
    rows = [record(float(i), "qdd") for i in range(9)]
    (verdict,) = verdicts(windows(), [*rows, record(60.0, "qrb")])
    assert (verdict.state, verdict.flagged) == (State.NOT_ENOUGH_DATA, ())


def test_values_that_requests_brought_do_not_count() -> None:
    rows = [record(float(i), "qqq") for i in range(100)]
    rows += [record(50.0, "qdb") for _ in range(9)]
    (verdict,) = verdicts(windows(), [*rows, record(60.0, "qrb")])
    assert verdict.flagged == ()


def test_other_versions_and_late_rows_are_left_out() -> None:
    made = windows()
    rows = [record(float(i), "qrb") for i in range(20)]
    found = list(made.fold([*rows, record(5.0, "qdd", version=2), record(70.0, "qrb")], [], STATE))
    assert [window.rows for window in found] == [20]
    (window,) = made.fold([record(6.0, "qdd"), record(130.0, "qrb")], [], STATE)
    assert window.rows == 1


def test_a_restart_changes_nothing() -> None:
    rows = [record(float(7 * i), "qdb" if i % 3 else "qrb") for i in range(60)]
    whole = [w.content for w in windows().fold(rows, [], STATE)]
    parts: list[Any] = []
    made = windows()
    for start in range(0, 60, 7):
        parts += [w.content for w in made.fold(rows[start : start + 7], [], STATE)]
        blob, made = made.dump(), windows()
        made.load(blob)
    assert whole == parts


def test_one_alert_an_excursion_closed_when_it_is_over() -> None:
    closed: list[str] = []

    def close(key: str, at: float) -> bool:
        del at
        closed.append(key)
        return True

    state = cast("StateTx", SimpleNamespace(alerts=SimpleNamespace(close=close)))
    actor, judge, comparer = FallbackActor(), FallbackJudge(), FallbackComparer(CONFIG)

    def step(window: Window) -> int:
        verdict = judge.judge(window, comparer.compare(window))
        return len(actor.act(window, verdict, state))

    bad, few, good = "qdb", "", "qrb"
    rows = [
        record(60.0 * at + i, sources)
        for at, sources in enumerate([good, bad, bad, few, bad, good, bad, good])
        if sources
        for i in range(20)
    ]
    opened = [step(window) for window in windows().fold(rows, [], STATE)]
    assert opened == [0, 1, 0, 0, 0, 1]
    assert closed == ["m/1/feature_fallback"] * 2
