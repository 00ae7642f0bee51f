from __future__ import annotations

from collections.abc import Callable

import pytest

from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]


@pytest.fixture
def make_record() -> Make:
    def make(number: int, wall_time: float | None = None, **changed: object) -> PredictionRecord:
        fields: dict[str, object] = {
            "prediction_id": f"{number:032x}",
            "request_id": None,
            "event_time": float(number),
            "wall_time": float(number) if wall_time is None else wall_time,
            "model": "flights",
            "version": 1,
            "digest": "sha256:00",
            "epoch": 1,
            "rollout": None,
            "arm": 0,
            "share": 0.0,
            "unit": "",
            "sticky": True,
            "values": (1.5, 3, True, "AA"),
            "sources": "qqqq",
            "ages_seconds": (None,) * 4,
            "score": 0.25,
            "outputs": (0.75, 0.25),
            "positive": False,
            "latency_ms": 1.0,
        }
        return PredictionRecord(**{**fields, **changed})  # type: ignore[arg-type]

    return make
