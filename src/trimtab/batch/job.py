"""A batch job through the serving path: the same flow, features and guards; the parts are its record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trimtab.batch.local import LocalEngine, Progress
from trimtab.batch.plan import BatchPlan, Manifest
from trimtab.errors import NotFound
from trimtab.models.isolate import Isolation
from trimtab.predict import PredictFlow
from trimtab.protocols import LiveModel
from trimtab.rollout.slots import all_control
from trimtab.rollout.split import unit_hash
from trimtab.telemetry import Metrics
from trimtab.types import (
    Arm,
    PredictAnswer,
    PredictionRecord,
    PredictRequest,
    Route,
    RowRequest,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import ModelBuilder, open_guards, open_router


class OneModel:
    """A board with one version of one model, whatever is deployed."""

    def __init__(self, live: LiveModel) -> None:
        self._live = live

    def live(self, model: str) -> LiveModel:
        """The model.

        Raises:
            NotFound: it is another one.
        """
        if model != self._live.route.model:
            raise NotFound(f"This job scores {self._live.route.model!r}, not {model!r}.")
        return self._live


class Unrecorded:
    """A journal that keeps nothing: a batch job's parts are its record, and no traffic to watch."""

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Keep nothing."""

    def put(self, records: Sequence[PredictionRecord], *, last: bool = False) -> None:
        """Keep nothing, and wait for nothing."""

    def close(self) -> None:
        """Nothing to close."""


def _silent(_done: int, _total: int) -> None:
    """Nobody is told."""


def run_job(
    deployment: Deployment, plan: BatchPlan, *, force: bool = False, progress: Progress = _silent
) -> Manifest:
    """Score a file; run again after a failure, it does what is not done yet.

    Args:
        deployment: Whose model, feature stores and settings.
        plan: The job.
        force: Whether to do away with what another job left in the output directory.
        progress: Told how far the job is.

    Raises:
        TrimtabError: as :meth:`LocalEngine.run`, or the version cannot be loaded.
    """
    metrics = Metrics()
    router = open_router()
    guards = open_guards(deployment, metrics)
    builder = ModelBuilder(deployment, guards, metrics, router)
    live = builder.build(_route(plan))
    numbers = iter(range(2**62))
    flow = PredictFlow(
        board=OneModel(live),
        assign=router.assign,
        unit=unit_hash,
        isolate=Isolation().run,
        journal=Unrecorded(),
        new_id=lambda: str(next(numbers)),
        clock=deployment.clock,
        metrics=metrics,
        max_future_seconds=deployment.config.serve.max_future_seconds,
    )
    wanted = builder.plan(deployment.version(plan.model, plan.version))
    with asyncio.Runner() as runner:

        def score(rows: Sequence[RowRequest]) -> PredictAnswer:
            return runner.run(flow.predict(plan.model, PredictRequest(rows=tuple(rows))))

        engine = LocalEngine(
            score,
            live.champion.signature,
            entities=wanted.entities,
            optional=wanted.provided,
            progress=progress,
        )
        try:
            return engine.run(_absolute(plan), force=force)
        finally:
            for guard in guards.values():
                runner.run(guard.close())


def _absolute(plan: BatchPlan) -> BatchPlan:
    """The plan with paths that mean the same from everywhere."""
    return msgspec.structs.replace(
        plan, input=str(Path(plan.input).resolve()), output=str(Path(plan.output).resolve())
    )


def _route(plan: BatchPlan) -> Route:
    """Everybody to the plan's version."""
    return Route(
        model=plan.model,
        epoch=0,
        arms=(Arm(name="champion", version=plan.version, share=1.0),),
        slots=all_control(),
        salt="batch",
    )
