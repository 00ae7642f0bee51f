"""A recorded journal, made in this process by the serving path itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from tests.e2e.clients import rows_of

from trimtab.config import load
from trimtab.telemetry import Metrics
from trimtab.types import Prediction, PredictRequest, RowRequest
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving


@contextmanager
def opened(config: Path) -> Iterator[Deployment]:
    """The deployment of a configuration file."""
    deployment = Deployment.open(load(config, environ={}))
    try:
        yield deployment
    finally:
        deployment.close()


def record(
    deployment: Deployment, data: pd.DataFrame, *, seconds: float = 60.0
) -> Sequence[Prediction]:
    """Predict each row, one every ``seconds`` of event time, and send its outcome ten minutes later."""

    async def predicted() -> list[Prediction]:
        serving = Serving.open(deployment, Metrics())
        serving.start()
        made: list[Prediction] = []
        try:
            for start in range(0, len(data), 100):
                rows = tuple(
                    RowRequest(features=row, key=f"unit-{i}", event_time=1.7e9 + i * seconds)
                    for i, row in enumerate(rows_of(data.iloc[start : start + 100]), start)
                )
                answer = await serving.flow.predict("risk", PredictRequest(rows=rows))
                made += answer.predictions
            serving.outcomes.receive(
                "risk",
                [
                    (made[i].prediction_id, value, 1.7e9 + i * seconds + 600)
                    for i, value in enumerate(data["outcome"].tolist())
                ],
            )
        finally:
            await serving.close()
        return made

    return asyncio.run(predicted())
