"""A new version from what was recorded: predictions, their features then, and their outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from trimtab.act.retraining import Trainer, train, training_table
from trimtab.errors import InvalidPlan
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.types import Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

HOLDOUT_RATIO = 0.1
MOST_ASKED = 50_000


def recorded(
    deployment: Deployment, model: str, *, since: float | None = None, until: float | None = None
) -> pa.Table:
    """Recorded predictions with their outcomes: ``prediction_id``, ``event_time``, features, ``outcome``.

    Args:
        deployment: Whose journal.
        model: The model; the champion's signature says which features.
        since: Event time from which on, inclusive.
        until: Event time before which, exclusive.

    Raises:
        NotFound: no such model, or it has no champion.
    """
    champion = deployment.version(model, "champion")
    versions = {v.version: v.signature for v in deployment.registry.list(model)}

    def outcomes(prediction_ids: Sequence[str]) -> Mapping[str, float]:
        with deployment.state.reading() as state:
            return state.outcomes.values(model, prediction_ids)

    reader = SegmentReader(deployment.journal_dir, Metrics())
    return training_table(
        reader.records(since, until, model), outcomes, champion.signature, versions=versions
    )


def asked(deployment: Deployment, version: Version, most: int = MOST_ASKED) -> pa.Table:
    """The features of recorded predictions, whatever became of them: the newest ``most``.

    Raises:
        InvalidPlan: nothing is recorded of the model, or a feature's values are withheld.
    """
    versions = {v.version: v.signature for v in deployment.registry.list(version.model)}
    reader = SegmentReader(deployment.journal_dir, Metrics())
    newest = deque(reader.records(None, None, version.model), maxlen=most)
    table = training_table(
        newest, lambda ids: dict.fromkeys(ids, 0.0), version.signature, versions=versions
    )
    if not table.num_rows:
        raise InvalidPlan(
            f"No prediction of {version.model} is recorded yet.",
            code="no_traffic",
            hint="Leave --traffic out, or serve the model first.",
        )
    return table.select(list(version.signature.names))


def retrain(
    deployment: Deployment,
    model: str,
    trainer: Trainer,
    *,
    author: str,
    since: float | None = None,
    until: float | None = None,
    min_outcomes: int = 1_000,
    description: str = "Retrained on recorded predictions and their outcomes.",
) -> Version:
    """Train on the older nine tenths of what was recorded, test on the newest tenth, register.

    Raises:
        InvalidPlan: fewer than ``min_outcomes`` predictions have their outcome.
        NotFound: no such model, or it has no champion.
    """
    champion = deployment.version(model, "champion")
    table = recorded(deployment, model, since=since, until=until)
    if table.num_rows < min_outcomes:
        raise InvalidPlan(
            f"{table.num_rows:,} recorded predictions have their outcome; {min_outcomes:,} are needed.",
            code="too_few_outcomes",
            hint="Wait for outcomes, take a longer span, or lower --min-outcomes.",
        )
    times = np.asarray(table.column("event_time"))
    cut = int(np.searchsorted(times, np.quantile(times, 1 - HOLDOUT_RATIO)))
    older, newest = table.slice(0, cut), table.slice(cut)
    result = train(trainer, older)
    signature = champion.signature
    return register(
        deployment,
        model,
        result.model,
        Training(
            reference=older,
            holdout=newest,
            outcome="outcome",
            time="event_time",
            ignore=("prediction_id",),
            task=signature.task,
            labels=signature.labels if signature.task is not Task.REGRESSION else (),
            threshold=signature.threshold,
            units={spec.name: spec.unit for spec in signature.features if spec.unit},
        ),
        views=champion.views,
        author=author,
        description=description,
        lineage={
            "parent": str(champion.version),
            "trained_on": "journal",
            "trainer": getattr(trainer, "__qualname__", type(trainer).__name__),
            **{f"trainer_{name}": f"{value:g}" for name, value in result.metrics.items()},
        },
        trust=True,
        memory=True,
    )
