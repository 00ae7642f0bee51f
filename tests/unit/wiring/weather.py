"""One model that takes the wind at an origin from a view, and what it answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.registered import serve_all, version

from trimtab.config import (
    Config,
    FeaturesConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
    WatchConfig,
)
from trimtab.types import PredictionRecord, Task
from trimtab.wiring.deployment import Deployment

RECORD = PredictionRecord(
    prediction_id="", request_id=None, event_time=0.0, wall_time=0.0, model="late", version=1,
    digest="", epoch=0, rollout=None, arm=0, share=0.0, unit="", sticky=False, values=(2.0,),
    sources="r", ages_seconds=(0.0,), score=0.5, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    entities={"origin": "JFK"},
)  # fmt: skip


def deployed(folder: Path, watch: WatchConfig, *, history: str = "", **features: Any) -> Deployment:
    """The model with all traffic; ``features`` are further fields of that section."""
    view = ViewConfig(
        entity="origin", realtime="online", features=(ViewFeature(name="wind"),), history=history
    )
    section = FeaturesConfig(
        stores={"online": StoreConfig(kind="memory")}, views={"weather": view}, **features
    )
    deployment = Deployment.open(
        Config(state=StateConfig(dir=str(folder / "state")), watch=watch, features=section)
    )
    late = version("late", 1, "wind", task=Task.BINARY, labels=("0", "1"), views=("weather",))
    with deployment.state.transaction() as state:
        serve_all(state, late)
    return deployment
