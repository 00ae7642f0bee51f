"""What a view says of a feature is withheld, also when the view was applied and is in no configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.registered import serve_all, version
from tests.unit.wiring.weather import RECORD

from trimtab.config import (
    Config,
    FeaturesConfig,
    JournalConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
)
from trimtab.errors import InvalidPlan, TrimtabError
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord, RampStep, RolloutPlan
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.recording import open_writer
from trimtab.wiring.views import apply_views

SHADOW = RolloutPlan(
    strategy="shadow", steps=(RampStep(share=0.5, bake_seconds=60.0),), guardrails=()
)
WHO = {"actor": "ann", "reason": "Test."}


def view(sensitivity: str) -> ViewConfig:
    wind = ViewFeature(name="wind", sensitivity=sensitivity)  # type: ignore[arg-type]
    return ViewConfig(entity="origin", realtime="online", features=(wind,))


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    opened = Deployment.open(
        Config(
            state=StateConfig(dir=str(tmp_path)),
            journal=JournalConfig(withhold=("secret",)),
            features=FeaturesConfig(
                stores={"online": StoreConfig(kind="memory")}, views={"weather": view("public")}
            ),
        )
    )
    with opened.state.transaction() as state:
        serve_all(state, version("late", 1, "wind", views=("weather",)))
        serve_all(state, version("other", 1, "amount"))
    yield opened
    opened.close()


def recorded(deployment: Deployment) -> list[PredictionRecord]:
    return list(SegmentReader(deployment.journal_dir, Metrics()).records())


def test_a_view_that_is_applied_while_records_are_written_withholds_from_its_epoch_on(
    deployment: Deployment,
) -> None:
    writer = open_writer(deployment, Metrics())
    for sensitivity in ("public", "secret", "internal"):
        apply_views(deployment, {"weather": view(sensitivity)}, **WHO)
        with deployment.state.reading() as state:
            epoch = state.control.epoch()
        writer.append([replace(RECORD, prediction_id=sensitivity, epoch=epoch)])
    writer.close()
    found = {one.prediction_id: (one.values, one.withheld) for one in recorded(deployment)}
    assert {"public": ((2.0,), ()), "secret": ((None,), (0,)), "internal": ((2.0,), ())} == found


def test_a_shadow_is_refused_where_its_model_takes_what_is_withheld_and_nowhere_else(
    deployment: Deployment,
) -> None:
    apply_views(deployment, {"weather": view("secret")}, **WHO)
    with pytest.raises(InvalidPlan) as refused:
        deployment.start_rollout("late", 1, SHADOW, **WHO)
    assert "withheld_feature" == refused.value.code
    with pytest.raises(TrimtabError) as other:  # its only version cannot shadow itself
        deployment.start_rollout("other", 1, SHADOW, **WHO)
    assert "withheld_feature" != other.value.code
