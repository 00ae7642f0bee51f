from __future__ import annotations

from types import ModuleType

import pytest

from trimtab.config import ViewConfig, ViewFeature, ViewTransform
from trimtab.errors import InvalidConfig
from trimtab.features.declare import Feature, transform, view, views_in


@transform(default=1.0, unit="ratio")
def ratio(amount: float, mean: float) -> float:
    return amount / mean


@transform(inputs=["mean amount"], kind="boolean", takes_missing=True)
def known(mean: float | None) -> bool:
    return mean is not None


def test_a_view_in_python_is_the_same_as_in_toml() -> None:
    made = view(
        "payments",
        entity="customer_id",
        realtime="online",
        features=[Feature(name="mean", minimum=0.0)],
        transforms=[ratio, known],
        request=[Feature(name="amount")],
        ttl_seconds=60,
    )
    assert made.name == "payments"
    assert made.config == ViewConfig(
        entity="customer_id",
        realtime="online",
        features=(ViewFeature(name="mean", minimum=0.0),),
        transforms=(
            ViewTransform(
                name="ratio",
                function=f"{__name__}:ratio",
                inputs=("amount", "mean"),
                default=1.0,
                unit="ratio",
            ),
            ViewTransform(
                name="known",
                function=f"{__name__}:known",
                inputs=("mean amount",),
                kind="boolean",
                takes_missing=True,
            ),
        ),
        request=(ViewFeature(name="amount"),),
        ttl_seconds=60.0,
    )


def test_a_decorated_function_is_still_the_function() -> None:
    assert ratio(6.0, 3.0) == 2.0


def test_bounds_are_checked_where_the_view_is_written() -> None:
    with pytest.raises(InvalidConfig) as caught:
        view("payments", entity="customer_id", ttl_seconds=0)
    assert caught.value.path == "ttl_seconds"
    with pytest.raises(InvalidConfig, match="no transform"):
        view("payments", transforms=[len])


def test_the_views_of_a_module_are_found_by_their_names() -> None:
    module = ModuleType("definitions")
    one = view("one", entity="a", features=[Feature(name="x")])
    vars(module).update(first=one, again=one, other=view("two", entity="a"), number=3)
    assert list(views_in(module)) == ["one", "two"]
    vars(module)["twin"] = view("one", entity="b")
    with pytest.raises(InvalidConfig) as caught:
        views_in(module)
    assert caught.value.code == "view_twice"
