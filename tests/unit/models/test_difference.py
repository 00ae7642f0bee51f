from __future__ import annotations

from msgspec.structs import replace

from trimtab.models.difference import Difference, differences, metrics_of
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task, Version

AMOUNT = FeatureSpec(name="amount", kind=FeatureKind.NUMERIC, unit="EUR")
COUNTRY = FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL)
FIRST = Version(
    model="fraud",
    version=1,
    digest="sha256:a",
    format="skops",
    size_bytes=1_000,
    signature=Signature(features=(AMOUNT, COUNTRY), task=Task.BINARY, labels=("0", "1")),
    created_at=0.0,
    metrics={"roc_auc": 0.7},
    lineage={"code": "abc"},
)


def test_a_version_does_not_differ_from_itself_under_another_number() -> None:
    assert () == differences(FIRST, replace(FIRST, version=2, created_at=9.0))


def test_each_fact_that_differs_is_told_with_both_sides() -> None:
    hour = FeatureSpec(name="hour", kind=FeatureKind.INTEGER, nullable=True)
    second = replace(
        FIRST,
        digest="sha256:b",
        signature=replace(FIRST.signature, features=(COUNTRY, AMOUNT, hour), threshold=0.3),
        metrics={"roc_auc": 0.75, "brier": 0.1},
        lineage={},
    )
    assert (
        Difference(what="digest", before="sha256:a", after="sha256:b"),
        Difference(what="threshold", before="0.5", after="0.3"),
        Difference(what="feature hour", before="", after="integer, may be missing"),
        Difference(what="order of features", before="amount, country", after="country, amount"),
        Difference(what="held-out roc_auc", before="0.7", after="0.75"),
        Difference(what="held-out brier", before="", after="0.1"),
        Difference(what="code", before="abc", after=""),
    ) == differences(FIRST, second)


def test_a_metric_is_told_with_its_standard_error() -> None:
    version = replace(FIRST, metrics={"roc_auc": 0.73591, "roc_auc_se": 0.01678, "rmse": 2.0})
    assert {"roc_auc": "0.7359 ± 0.017", "rmse": "2"} == metrics_of(version)
