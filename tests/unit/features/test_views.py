from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidConfig
from trimtab.features.views import PlannedFeature, PlannedView, compile_plan, conform
from trimtab.types import FeatureKind, FeatureSpec, Scalar, Signature, Task

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="origin", kind=FeatureKind.CATEGORICAL),
        FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="gates", kind=FeatureKind.INTEGER),
        FeatureSpec(name="fog", kind=FeatureKind.BOOLEAN),
    ),
    task=Task.BINARY,
)


def config(views: Mapping[str, ViewConfig]) -> FeaturesConfig:
    return FeaturesConfig(
        stores={"online": StoreConfig(kind="memory"), "nightly": StoreConfig(kind="parquet")},
        views=dict(views),
    )


def weather(*features: ViewFeature, realtime: str = "online", batch: str = "nightly") -> ViewConfig:
    return ViewConfig(
        entity="origin", features=features, realtime=realtime, batch=batch, ttl_seconds=3600.0
    )


def refused(views: Mapping[str, ViewConfig], *names: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidConfig) as caught:
        compile_plan(config(views), SIGNATURE, names)
    return caught.value.code, caught.value.path


def test_a_plan_places_the_features_of_its_views() -> None:
    views = {
        "weather": weather(ViewFeature(name="fog", kind="boolean"), ViewFeature(name="wind")),
        "airport": ViewConfig(
            entity="airport",
            features=(ViewFeature(name="gates", kind="integer", default=3.0),),
        ),
        "unused": weather(ViewFeature(name="wind")),
    }
    plan = compile_plan(config(views), SIGNATURE, ["weather", "airport"])
    assert plan.views == (
        PlannedView(
            name="weather",
            keys=("origin",),
            features=(
                PlannedFeature(index=3, name="fog", kind=FeatureKind.BOOLEAN, ttl_seconds=3600.0),
                PlannedFeature(index=1, name="wind", kind=FeatureKind.NUMERIC, ttl_seconds=3600.0),
            ),
            realtime="online",
            batch="nightly",
            ttl_seconds=3600.0,
        ),
        PlannedView(
            name="airport",
            keys=("airport",),
            features=(PlannedFeature(index=2, name="gates", kind=FeatureKind.INTEGER, default=3),),
        ),
    )
    assert plan.provided == {"fog", "wind", "gates"}
    assert plan.entities == ("origin", "airport")


def test_a_model_without_views_has_an_empty_plan() -> None:
    plan = compile_plan(config({"weather": weather(ViewFeature(name="wind"))}), SIGNATURE)
    assert (plan.views, plan.provided, plan.entities) == ((), frozenset(), ())


def test_a_feature_that_the_model_does_not_take_is_ignored() -> None:
    views = {"weather": weather(ViewFeature(name="snow"), ViewFeature(name="wind"))}
    assert compile_plan(config(views), SIGNATURE, ["weather"]).provided == {"wind"}


def test_a_view_named_twice_is_one_view() -> None:
    views = {"weather": weather(ViewFeature(name="wind"))}
    assert len(compile_plan(config(views), SIGNATURE, ["weather", "weather"]).views) == 1


def test_an_integer_view_may_feed_a_numeric_feature() -> None:
    views = {"weather": weather(ViewFeature(name="wind", kind="integer", default=4))}
    (feature,) = compile_plan(config(views), SIGNATURE, ["weather"]).views[0].features
    assert (feature.kind, feature.default, type(feature.default)) == (
        FeatureKind.NUMERIC,
        4.0,
        float,
    )


def test_an_unknown_view_is_refused() -> None:
    assert refused({}, "weather") == ("unknown_view", "features.views.weather")


@pytest.mark.parametrize("role", ["realtime", "batch"])
def test_an_unknown_store_is_refused(role: str) -> None:
    view = weather(ViewFeature(name="wind"), **{role: "nowhere"})
    assert refused({"weather": view}, "weather") == (
        "unknown_store",
        f"features.views.weather.{role}",
    )


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("numeric", "4"),
        ("numeric", True),
        ("numeric", float("inf")),
        ("integer", 1.5),
        ("boolean", 1),
        ("categorical", 7),
    ],
)
def test_a_default_of_the_wrong_type_is_refused(kind: str, default: Scalar) -> None:
    feature = ViewFeature(name="snow", kind=kind, default=default)  # type: ignore[arg-type]
    view = weather(ViewFeature(name="wind"), feature)
    assert refused({"weather": view}, "weather") == (
        "default_of_wrong_type",
        "features.views.weather.features[1].default",
    )


def test_two_views_with_one_feature_are_refused() -> None:
    views = {"weather": weather(ViewFeature(name="wind")), "sea": weather(ViewFeature(name="wind"))}
    assert refused(views, "weather", "sea") == (
        "feature_provided_twice",
        "features.views.sea.features[0].name",
    )


def test_a_feature_twice_in_one_view_is_refused() -> None:
    views = {"weather": weather(ViewFeature(name="wind"), ViewFeature(name="wind"))}
    assert refused(views, "weather") == (
        "feature_provided_twice",
        "features.views.weather.features[1].name",
    )


def test_a_feature_without_a_name_is_refused() -> None:
    views = {"weather": weather(ViewFeature(name="wind"), ViewFeature(name=""))}
    assert refused(views, "weather") == ("invalid_name", "features.views.weather.features[1].name")


@pytest.mark.parametrize(("name", "kind"), [("wind", "categorical"), ("gates", "numeric")])
def test_another_kind_than_the_model_takes_is_refused(name: str, kind: str) -> None:
    views = {"weather": weather(ViewFeature(name=name, kind=kind))}  # type: ignore[arg-type]
    assert refused(views, "weather") == (
        "feature_kind_mismatch",
        "features.views.weather.features[0].kind",
    )


@pytest.mark.parametrize(
    ("kind", "raw", "served"),
    [
        (FeatureKind.NUMERIC, 3, 3.0),
        (FeatureKind.NUMERIC, np.float32(0.5), 0.5),
        (FeatureKind.NUMERIC, np.int64(3), 3.0),
        (FeatureKind.NUMERIC, 1e300, 1e300),
        (FeatureKind.INTEGER, 3.0, 3),
        (FeatureKind.INTEGER, np.int8(3), 3),
        (FeatureKind.BOOLEAN, np.bool_(True), True),
        (FeatureKind.CATEGORICAL, "é", "é"),
        (FeatureKind.CATEGORICAL, np.str_("a"), "a"),
    ],
)
def test_a_value_is_served_as_its_kind(kind: FeatureKind, raw: object, served: Scalar) -> None:
    value = conform(kind, raw)
    assert (value, type(value)) == (served, type(served))


@pytest.mark.parametrize("kind", list(FeatureKind))
@pytest.mark.parametrize("nothing", [None, float("nan"), np.float64("nan"), np.float32("nan")])
def test_none_and_nan_are_missing_in_every_kind(kind: FeatureKind, nothing: object) -> None:
    assert conform(kind, nothing) is None


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (FeatureKind.NUMERIC, "3"),
        (FeatureKind.NUMERIC, True),
        (FeatureKind.NUMERIC, float("-inf")),
        (FeatureKind.NUMERIC, 2**53 + 1),
        (FeatureKind.NUMERIC, 10**400),
        (FeatureKind.NUMERIC, [1.0]),
        (FeatureKind.INTEGER, 0.5),
        (FeatureKind.INTEGER, 1e300),
        (FeatureKind.INTEGER, float("inf")),
        (FeatureKind.BOOLEAN, 0),
        (FeatureKind.BOOLEAN, "true"),
        (FeatureKind.CATEGORICAL, 3),
        (FeatureKind.CATEGORICAL, b"a"),
        (FeatureKind.CATEGORICAL, "\ud800"),
        (FeatureKind.CATEGORICAL, "a" * 10_001),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: FeatureKind, raw: object) -> None:
    with pytest.raises(ValueError, match="not "):
        conform(kind, raw)


def planned(feature: ViewFeature) -> PlannedFeature:
    (view,) = compile_plan(config({"weather": weather(feature)}), SIGNATURE, ["weather"]).views
    return view.features[0]


def test_a_value_out_of_range_is_refused() -> None:
    wind = planned(ViewFeature(name="wind", minimum=0.0, maximum=200.0))
    assert [wind.conform(value) for value in (0.0, 200.0, 12, None)] == [0.0, 200.0, 12.0, None]
    for value in (-0.5, 200.5, 201, "12", float("inf")):
        with pytest.raises(ValueError, match="not "):
            wind.conform(value)


def test_a_value_that_is_not_allowed_is_refused() -> None:
    origin = planned(ViewFeature(name="origin", kind="categorical", allowed=("JFK", "LGA")))
    assert origin.conform("JFK") == "JFK"
    with pytest.raises(ValueError, match="allowed"):
        origin.conform("EWR")


@pytest.mark.parametrize(
    ("feature", "code", "part"),
    [
        (ViewFeature(name="wind", minimum=2.0, maximum=1.0), "range_is_empty", "minimum"),
        (
            ViewFeature(name="origin", kind="categorical", maximum=1.0),
            "range_of_wrong_kind",
            "maximum",
        ),
        (ViewFeature(name="wind", maximum=1.0, default=2.0), "default_out_of_range", "default"),
        (ViewFeature(name="wind", allowed=(1.0,), default=2.0), "default_out_of_range", "default"),
        (ViewFeature(name="wind", allowed=(1.0, "a")), "allowed_of_wrong_type", "allowed[1]"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(feature: ViewFeature, code: str, part: str) -> None:
    assert refused({"weather": weather(feature)}, "weather") == (
        code,
        f"features.views.weather.features[0].{part}",
    )


@pytest.mark.parametrize("entity", ["", (), ("a", "a"), ("a", "")])
def test_a_view_with_features_needs_its_keys(entity: str | tuple[str, ...]) -> None:
    view = ViewConfig(entity=entity, features=(ViewFeature(name="wind"),))
    assert refused({"weather": view}, "weather") == (
        "entity_required",
        "features.views.weather.entity",
    )


def test_a_view_without_anything_is_refused() -> None:
    assert refused({"weather": ViewConfig(entity="origin")}, "weather") == (
        "empty_view",
        "features.views.weather.features",
    )


def test_several_keys_are_one_entity_only_together() -> None:
    view = ViewConfig(entity=("user", "shop"), features=(ViewFeature(name="wind"),))
    plan = compile_plan(config({"weather": view}), SIGNATURE, ["weather"])
    (found,) = plan.views
    assert plan.entities == ("user", "shop")
    assert found.entity_of({"user": "a|b", "shop": "é"}) == "a%7Cb|é"
    assert found.entity_of({"user": "a", "shop": "b|é"}) == "a|b%7Cé"
    assert found.entity_of({"user": "a"}) is None
    assert found.entity_of({"user": "a", "shop": ""}) is None


def test_the_shorter_freshness_limit_counts() -> None:
    wind = planned(ViewFeature(name="wind", ttl_seconds=60.0))
    fog = planned(ViewFeature(name="fog", kind="boolean", ttl_seconds=7200.0))
    assert (wind.ttl_seconds, fog.ttl_seconds) == (60.0, 3600.0)
