"""Segments by values and by quartiles, each against its own held-out rows."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.performance.recorded import matured, new_state, prediction, version

from trimtab.config import PerformanceConfig, WatchConfig
from trimtab.judge import flag
from trimtab.performance import (
    HeldOut,
    PerformanceComparer,
    PerformanceWindows,
    Promise,
    SegmentSpec,
    make_promise,
    segment_spec,
)
from trimtab.performance.segments import Segments
from trimtab.recordtable import table_of
from trimtab.types import (
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Scalar,
    Signature,
    Task,
)

COUNTRY = FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL)
AMOUNT = FeatureSpec(name="amount", kind=FeatureKind.NUMERIC)
WATCH = WatchConfig()


def test_rare_categories_fall_together_and_missing_is_a_segment() -> None:
    column = np.array([*"abcdefghijkl" * 5, "rare", None], dtype=object)
    spec = segment_spec(COUNTRY, column)
    assert tuple("abcdefghijkl") == spec.values
    assert ["country = a", "country = other", "country = missing"] == [
        spec.name(value) for value in ("a", "zz", None)
    ]


def test_numbers_are_parted_at_their_quartiles_and_few_values_are_their_own() -> None:
    spec = segment_spec(AMOUNT, np.arange(101.0))
    assert (25.0, 50.0, 75.0) == spec.edges
    assert [
        "amount below 25",
        "amount from 25 to 50",
        "amount from 75",
        "amount = missing",
    ] == [spec.name(value) for value in (24.9, 25, 1e9, math.nan)]
    assert ("0", "1") == segment_spec(AMOUNT, np.array([0.0, 1.0, 1.0, 0.0, np.nan])).values


def test_what_no_feature_gave_before_has_a_segment() -> None:
    assert SegmentSpec(feature="amount", edges=(1.0,)).name("text") == "amount from 1"


VALUES = st.sampled_from(["de", "fr", "x", "", None, 3, 2.5, True, math.nan, 40.0])


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES, st.sampled_from([(), (0,), (1,), (0, 1)]))))
def test_segments_of_many_are_those_of_each(
    rows: list[tuple[Scalar, Scalar, tuple[int, ...]]],
) -> None:
    specs = (
        SegmentSpec(feature="amount", edges=(3.0, 30.0)),
        SegmentSpec(feature="nothing", values=("a",)),
        SegmentSpec(feature="country", values=("de", "3")),
    )
    known = Segments(specs, Signature(features=(COUNTRY, AMOUNT), task=Task.BINARY))
    records = [
        msgspec.structs.replace(prediction("p", 1.0), values=(one, other), withheld=withheld)
        for one, other, withheld in rows
    ]
    places = known.places(table_of(records))
    for at, record in enumerate(records):
        assert set(known.of(record)) == {name for name, inside in places.items() if at in inside}


def rows(count: int, seed: int, bad: str = "") -> tuple[list[str], FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    where = random.choice(["de", "fr", "nl"], count).tolist()
    truth = random.beta(2, 2, count)
    outcomes = (random.random(count) < truth).astype(np.float64)
    scores = np.where(np.array(where) == bad, 1.0 - truth, truth)
    return where, scores, outcomes


def promise() -> Promise:
    where, scores, outcomes = rows(4_000, 1)
    signature = msgspec.structs.replace(version().signature, features=(COUNTRY,))
    column = np.array(where, dtype=object)
    held_out = HeldOut(
        columns=Columns(features=(COUNTRY,), arrays=(column,)), scores=scores, outcomes=outcomes
    )
    made = make_promise(held_out, signature, PerformanceConfig(segments=("country",)))
    return Promise.load(made.dump())


def test_one_bad_segment_is_named_and_the_others_are_not() -> None:
    made = promise()
    assert {"country = de", "country = fr", "country = nl"} == set(made.segment_figures)
    where, scores, outcomes = rows(1_500, 2, bad="fr")
    model = msgspec.structs.replace(
        version(), signature=msgspec.structs.replace(version().signature, features=(COUNTRY,))
    )
    windows = PerformanceWindows(model, WATCH, segments=made.segments)
    predictions, known = [], []
    for i, (country, score, outcome) in enumerate(zip(where, scores, outcomes, strict=True)):
        values: tuple[Scalar, ...] = (country,)
        one = msgspec.structs.replace(prediction(f"p{i}", 10.0, score), values=values)
        fact = matured(one, outcome)
        predictions.append(one)
        known.append(
            msgspec.structs.replace(
                fact, facts=msgspec.structs.replace(fact.facts, segments={"country": country})
            )
        )
    predictions.append(msgspec.structs.replace(prediction("end", 1e9), values=("de",)))
    (window,) = windows.fold(predictions, known, new_state())
    compared = PerformanceComparer({}, PerformanceConfig(), made.segment_figures).compare(window)
    assert {"country = fr"} == {found.segment for found in flag(compared)}
    assert {"roc_auc, country = fr", "brier, country = fr", "accuracy, country = fr"} == {
        found.name for found in flag(compared)
    }
