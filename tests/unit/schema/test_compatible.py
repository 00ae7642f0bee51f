from __future__ import annotations

import pytest

from trimtab.schema import compatible
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task

NUMBER = FeatureSpec(name="x", kind=FeatureKind.NUMERIC)
COUNT = FeatureSpec(name="x", kind=FeatureKind.INTEGER)
MAYBE = FeatureSpec(name="x", kind=FeatureKind.NUMERIC, nullable=True)
MILE = FeatureSpec(name="x", kind=FeatureKind.NUMERIC, unit="mile")
KM = FeatureSpec(name="x", kind=FeatureKind.NUMERIC, unit="km")
OTHER = FeatureSpec(name="y", kind=FeatureKind.NUMERIC)
MAYBE_OTHER = FeatureSpec(name="y", kind=FeatureKind.NUMERIC, nullable=True)


def signature(*features: FeatureSpec) -> Signature:
    return Signature(features=features, task=Task.BINARY)


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        ([NUMBER], [NUMBER], []),
        ([NUMBER, OTHER], [OTHER, NUMBER], []),
        ([COUNT], [NUMBER], []),
        ([NUMBER], [MAYBE], []),
        ([NUMBER], [MILE], []),
        ([NUMBER], [NUMBER, MAYBE_OTHER], []),
        ([NUMBER], [COUNT], ["The feature 'x' changes from numeric to integer."]),
        ([MAYBE], [NUMBER], ["The feature 'x' may no longer be missing."]),
        ([MILE], [KM], ["The unit of 'x' changes from 'mile' to 'km'."]),
        ([NUMBER], [NUMBER, OTHER], ["The feature 'y' is new and required."]),
        ([NUMBER, OTHER], [NUMBER], ["The feature 'y' is no longer taken."]),
    ],
)
def test_features_may_widen_but_not_narrow(
    old: list[FeatureSpec], new: list[FeatureSpec], reasons: list[str]
) -> None:
    assert compatible(signature(*old), signature(*new)) == reasons


def test_a_new_feature_that_a_view_provides_is_no_reason() -> None:
    assert compatible(signature(NUMBER), signature(NUMBER, OTHER), provided=["y"]) == []


def test_task_and_labels_must_stay() -> None:
    old = Signature(features=(NUMBER,), task=Task.BINARY, labels=("a", "b"))
    new = Signature(features=(NUMBER,), task=Task.MULTICLASS, labels=("b", "a"))
    assert compatible(old, new) == [
        "The labels change from ['a', 'b'] to ['b', 'a'].",
        "The task changes from binary to multiclass.",
    ]
