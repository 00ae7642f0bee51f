from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.registered import serve_all, version

from trimtab.config import (
    Config,
    FeaturesConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
    ViewTransform,
)
from trimtab.errors import Conflict, InvalidConfig, InvalidInput, TrimtabError
from trimtab.rollout import audit
from trimtab.types import (
    Task,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import apply_views, compare_views, served_features, versions_of

WIND = ViewFeature(name="wind", unit="km/h", default=0.0)
WEATHER = ViewConfig(entity="origin", realtime="online", features=(WIND,))
RATIOS = ViewConfig(
    transforms=(
        ViewTransform(name="gust", function="operator:add", inputs=("wind", "wind"), default=0.0),
    )
)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    features = FeaturesConfig(
        stores={"online": StoreConfig(kind="memory")}, views={"weather": WEATHER}
    )
    opened = Deployment.open(Config(state=StateConfig(dir=str(tmp_path)), features=features))
    yield opened
    opened.close()


def apply(
    deployment: Deployment, reason: str = "First.", **views: ViewConfig
) -> list[tuple[str, int, bool]]:
    found = apply_views(deployment, views, actor="ann", reason=reason)
    return [(one.view, one.version, one.changed) for one in found]


def deploy(deployment: Deployment, *names: str, views: tuple[str, ...]) -> None:
    """A model with traffic, as far as views are concerned."""
    late = version("late", 1, *names, task=Task.BINARY, views=views)
    with deployment.state.transaction() as state:
        serve_all(state, late)


def refused(deployment: Deployment, **views: ViewConfig) -> tuple[str, str]:
    with pytest.raises(TrimtabError) as caught:
        apply(deployment, "First.", **views)
    return caught.value.code, caught.value.message


def test_applying_is_idempotent_and_leaves_who_and_why(deployment: Deployment) -> None:
    assert apply(deployment, weather=WEATHER) == [("weather", 1, True)]
    assert apply(deployment, weather=WEATHER) == [("weather", 1, False)]
    with deployment.state.reading() as state:
        (entry,) = state.audit.entries()
        (view,) = state.features.versions("weather")
    assert (entry.actor, entry.action, entry.reason) == ("ann", "features_apply", "First.")
    assert entry.detail == {"weather": {"version": 1, "digest": view.digest}}
    assert audit.verify([entry]) is None


def test_a_change_is_a_new_version_and_an_old_one_never_changes(deployment: Deployment) -> None:
    apply(deployment, weather=WEATHER)
    owned = replace(WEATHER, owner="met office")
    assert apply(deployment, weather=owned) == [("weather", 2, True)]
    assert apply(deployment, weather=WEATHER) == [("weather", 3, True)]
    with deployment.state.reading() as state:
        one, two, three = state.features.versions("weather")
    assert one.digest == three.digest != two.digest
    assert "owner" not in one.body


def test_what_was_applied_is_served_not_what_is_configured(deployment: Deployment) -> None:
    assert served_features(deployment).views == {"weather": WEATHER}
    owned = replace(WEATHER, owner="met office")
    sea = ViewConfig(entity=("sea", "hour"), features=(ViewFeature(name="swell"),))
    apply(deployment, weather=owned, sea=sea)
    assert served_features(deployment).views == {"weather": owned, "sea": sea}


def test_a_difference_is_told_by_its_path(deployment: Deployment) -> None:
    apply(deployment, weather=WEATHER)
    warm = ViewFeature(name="temperature")
    changed = replace(
        WEATHER, features=(replace(WIND, default=1.0), warm), ttl_seconds=60.0, realtime=""
    )
    (found,) = compare_views(deployment, {"weather": changed})
    assert [(c.path, c.before, c.after) for c in found.differences] == [
        ("features.temperature", None, "declared"),
        ("features.wind.default", 0.0, 1.0),
        ("realtime", "online", None),
        ("ttl_seconds", None, 60.0),
    ]
    assert (found.version, found.changed) == (2, True)
    with deployment.state.reading() as state:
        assert len(state.features.versions("weather")) == 1


def test_a_model_remembers_the_views_it_was_trained_with(deployment: Deployment) -> None:
    before = versions_of(deployment, ["weather", "nothing"])
    assert list(before) == ["weather"]
    apply(deployment, weather=replace(WEATHER, owner="met office"))
    assert versions_of(deployment, ["weather"]) != before


def test_bad_definitions_are_refused_with_their_path(deployment: Deployment) -> None:
    wrong = {
        "features.views.weather.features[0].default": replace(
            WEATHER, features=(ViewFeature(name="wind", default="much"),)
        ),
        "features.views.weather.realtime": replace(WEATHER, realtime="nowhere"),
        "features.views.weather.transforms[0].function": replace(
            WEATHER,
            transforms=(ViewTransform(name="a", function="operator:none", inputs=()),),
        ),
        "features.views.weather.transforms[0].inputs": replace(
            WEATHER,
            transforms=(
                ViewTransform(name="a", function="operator:neg", inputs=("b",)),
                ViewTransform(name="b", function="operator:neg", inputs=("a",)),
            ),
        ),
    }
    for path, view in wrong.items():
        with pytest.raises(InvalidConfig) as caught:
            apply(deployment, weather=view)
        assert caught.value.path == path
    with deployment.state.reading() as state:
        assert (list(state.features.views()), list(state.audit.entries())) == ([], [])


def test_nobody_applies_without_a_reason(deployment: Deployment) -> None:
    with pytest.raises(InvalidInput):
        apply(deployment, reason=" ", weather=WEATHER)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(WEATHER, features=(ViewFeature(name="snow"),)), "nothing would provide 'wind'"),
        (replace(WEATHER, entity="airport"), "do not carry the key 'airport'"),
        (replace(WEATHER, features=(replace(WIND, unit="mph"),)), "would come in mph and not in"),
        (replace(WEATHER, features=(replace(WIND, default=None),)), "would lose its default"),
        (
            replace(WEATHER, features=(replace(WIND, kind="boolean", default=None),)),
            "the model takes it as numeric",
        ),
    ],
)
def test_a_change_that_breaks_a_model_with_traffic_is_refused(
    deployment: Deployment, changed: ViewConfig, said: str
) -> None:
    deploy(deployment, "wind", views=("weather",))
    code, message = refused(deployment, weather=changed)
    assert code == "view_breaks_model"
    assert message.startswith("late v1 has traffic and would break: ")
    assert said in message
    assert served_features(deployment).views["weather"] == WEATHER


def test_another_view_with_the_same_feature_breaks_only_models_that_read_both(
    deployment: Deployment,
) -> None:
    sea = ViewConfig(entity="origin", features=(ViewFeature(name="swell"),))
    apply(deployment, sea=sea)
    deploy(deployment, "wind", "swell", views=("weather", "sea"))
    windy = replace(sea, features=(*sea.features, ViewFeature(name="wind")))
    assert refused(deployment, sea=windy)[0] == "view_breaks_model"
    assert apply(deployment, other=windy) == [("other", 1, True)]


def test_a_transform_that_is_computed_otherwise_is_refused(deployment: Deployment) -> None:
    apply(deployment, ratios=RATIOS)
    deploy(deployment, "gust", views=("weather", "ratios"))
    other = replace(RATIOS, transforms=(replace(RATIOS.transforms[0], function="operator:sub"),))
    assert "computed otherwise" in refused(deployment, ratios=other)[1]


def test_models_that_read_a_changed_view_get_a_new_epoch(deployment: Deployment) -> None:
    deploy(deployment, "wind", views=("weather",))
    apply(deployment, weather=replace(WEATHER, owner="met office"))
    with deployment.state.reading() as state:
        route = state.control.route("late")
        assert route is not None
        assert (state.control.epoch(), route.epoch) == (1, 1)
    assert deployment.epoch.read() == 1
    apply(deployment, sea=ViewConfig(entity="sea", features=(ViewFeature(name="swell"),)))
    with deployment.state.reading() as state:
        assert state.control.epoch() == 1


def test_two_who_apply_at_once_are_one_after_the_other(deployment: Deployment) -> None:
    apply(deployment, weather=WEATHER)
    with deployment.state.transaction() as state, pytest.raises(Conflict):
        state.features.add_view(state.features.versions("weather")[0])
