"""Performance, composed: what is kept of a prediction, and the subjects of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial
from typing import Any

import msgspec
import numpy as np

from trimtab.config import ModelConfig, PerformanceConfig, WatchConfig
from trimtab.errors import InvalidConfig
from trimtab.judge import DriftJudge
from trimtab.performance import (
    ConceptComparer,
    ConceptJudge,
    EstimatedComparer,
    EstimatedJudge,
    EstimatedWindows,
    PerformanceComparer,
    PerformanceWindows,
    Promise,
    RevisingJudge,
)
from trimtab.protocols import Actor
from trimtab.recordtable import Facts, RecordTable
from trimtab.rollout.handing import Gathered, HandOver, Inbox
from trimtab.telemetry import Metrics
from trimtab.types import PredictionFacts, PredictionRecord, Signature, Task, Verdict, Version
from trimtab.watch import Subject, facts_of_all
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.replicas import own_key

PERFORMANCE = "performance"
ESTIMATED_PERFORMANCE = "estimated_performance"
CONCEPT_DRIFT = "concept_drift"


def performance_config(
    deployment: Deployment, model: str, signature: Signature
) -> PerformanceConfig:
    """How a model's performance is measured.

    Raises:
        InvalidConfig: its costs have another shape than its labels, or a segment is no feature.
    """
    config = deployment.config.models.get(model, ModelConfig()).performance
    path, size = f"models.{model}.performance", len(signature.labels)
    if config.costs and {len(config.costs), *map(len, config.costs)} != {size}:
        rows, columns = (
            len(config.costs),
            " or ".join(str(n) for n in sorted(set(map(len, config.costs)))),
        )
        raise InvalidConfig(
            f"The costs of {model!r} are {rows} rows of {columns}, and it has {size} classes.",
            path=f"{path}.costs",
            hint="One row an outcome and one column a decision, in the order of the labels: "
            f"{', '.join(signature.labels) or 'a regression has none'}.",
        )
    for name in config.segments:
        if name not in signature.names:
            raise InvalidConfig(
                f"The segment {name!r} is no feature of {model!r}.",
                path=f"{path}.segments",
                hint=f"Its features are {', '.join(signature.names)}.",
            )
    return config


@dataclass(slots=True)
class FactsKeeper:
    """What the outcome join keeps of a prediction: more for models whose performance needs it."""

    deployment: Deployment
    _versions: dict[tuple[str, int], _Kept] = field(default_factory=dict)

    def __call__(self, records: RecordTable) -> Sequence[PredictionFacts]:
        """The facts of predictions."""
        facts = facts_of_all(records)
        of = list(zip(facts.columns["model"], facts.columns["version"], strict=True))
        kept = {version: self._kept(*version) for version in set(of)}
        more = {name: [None] * len(facts) for name in ("outputs", "request_id", "segments")}
        for version, one in kept.items():
            if not one.plain:
                places = [at for at, each in enumerate(of) if each == version]
                _fill(more, places, one.columns(records.where(np.array(places))))
        return Facts({**facts.columns, **more})

    def _kept(self, model: str, version: int) -> _Kept:
        known = self._versions.get((model, version))
        return known or self._learn(model, version)

    def _learn(self, model: str, number: int) -> _Kept:
        with self.deployment.state.reading() as state:
            version = state.registry.version(model, number)
        config = self.deployment.config.models.get(model, ModelConfig()).performance
        names = version.signature.names if version else ()
        kept = _Kept(
            outputs=version is not None and version.signature.task is Task.MULTICLASS,
            requests=config.ranking_k is not None,
            segments=tuple((n, names.index(n)) for n in config.segments if n in names),
        )
        self._versions[model, number] = kept
        return kept


@dataclass(frozen=True, slots=True)
class _Kept:
    outputs: bool
    requests: bool
    segments: tuple[tuple[str, int], ...]

    @property
    def plain(self) -> bool:
        return not (self.outputs or self.requests or self.segments)

    def columns(self, records: RecordTable) -> dict[str, Sequence[Any]]:
        """What is kept of one version's predictions beside what is kept of all."""
        found: dict[str, Sequence[Any]] = {}
        if self.outputs:
            found["outputs"] = records.cells("outputs")
        if self.requests:
            found["request_id"] = records.cells("request_id")
        if self.segments:
            values = zip(*(records.scalars(at) for _, at in self.segments), strict=True)
            found["segments"] = [
                {n: v for (n, at), v in zip(self.segments, row, strict=True) if at not in gone}
                or None
                for row, gone in zip(values, records.cells("withheld"), strict=True)
            ]
        return found


def _fill(
    columns: Mapping[str, list[Any]], places: Sequence[int], some: Mapping[str, Sequence[Any]]
) -> None:
    """Put cells of some rows into columns."""
    for name, cells in some.items():
        for place, cell in zip(places, cells, strict=True):
            columns[name][place] = cell


def performance_subjects(
    deployment: Deployment, version: Version, actor: Actor
) -> Sequence[Subject]:
    """What is watched of a version's performance; nothing without held-out figures."""
    if not version.metrics:
        return ()
    watch = deployment.config.watch
    config = performance_config(deployment, version.model, version.signature)
    promise = Promise()
    if version.promise_digest is not None:
        promise = Promise.load(deployment.blobs.fetch(version.promise_digest).read_bytes())
    prefix = f"{version.model}/{version.version}"
    # What is measured and whether outcomes still follow are read off the same windows.
    known = PerformanceWindows(
        version, watch, segments=promise.segments, ranking=config.ranking_k is not None
    )
    subjects = [
        Subject(
            key=f"{prefix}/{PERFORMANCE}",
            windower=known,
            comparer=PerformanceComparer(version.metrics, config, promise.segment_figures),
            judge=RevisingJudge(partial(DriftJudge, PERFORMANCE, watch), watch.recount_windows),
            actor=actor,
        )
    ]
    if promise.estimator is not None:
        subjects.append(
            Subject(
                key=f"{prefix}/{ESTIMATED_PERFORMANCE}",
                windower=EstimatedWindows(
                    version, watch, segments=promise.segments, steps=promise.estimator.steps
                ),
                comparer=EstimatedComparer(
                    version.metrics, promise.estimator, config, promise.segment_figures
                ),
                judge=EstimatedJudge(DriftJudge(ESTIMATED_PERFORMANCE, watch)),
                actor=actor,
            )
        )
    if promise.estimator is not None and promise.excess is not None:
        subjects.append(
            Subject(
                key=f"{prefix}/{CONCEPT_DRIFT}",
                windower=known,
                comparer=ConceptComparer(promise.excess, promise.estimator.calibrations),
                judge=RevisingJudge(partial(ConceptJudge, watch), watch.recount_windows),
                actor=actor,
            )
        )
    return tuple(subjects)


def shared_performance(
    subjects: Sequence[Subject], version: Version, config: WatchConfig, inbox: Inbox | None
) -> Sequence[Subject]:
    """The same subjects where machines share the watching.

    Args:
        subjects: From ``performance_subjects``.
        version: Theirs.
        config: ``replica`` is this machine's name.
        inbox: What others have handed over, if this machine leads; None to hand over.
    """
    key = f"{version.model}/{version.version}/{PERFORMANCE}"
    if inbox is not None:
        gathered = {id(one.windower): Gathered(one.windower, key, inbox) for one in subjects}
        return [replaced(one, windower=gathered[id(one.windower)]) for one in subjects]
    handing = HandOver(key, partial(_is_of, version), _bare)
    return [
        replaced(one, key=own_key(config, f"{key}/handed"), windower=handing)
        for one in subjects[:1]
    ]


def _is_of(version: Version, one: PredictionRecord | PredictionFacts) -> bool:
    return (one.model, one.version) == (version.model, version.version)


def _bare(record: PredictionRecord) -> PredictionRecord:
    """Without what performance does not read; segments, and what regressions estimate, need the values."""
    return msgspec.structs.replace(record, ages_seconds=(), entities={})


def show_performance(metrics: Metrics, verdict: Verdict) -> None:
    """Set the gauges of a verdict on performance; what is estimated has a gauge of its own."""
    if verdict.revision:
        return
    labels = {"model": verdict.model, "model_version": verdict.version}
    for found in verdict.comparisons:
        if found.current_value is None or found.segment:
            continue
        name = "ml_estimated_performance" if found.estimated else "ml_measured_performance"
        low, high = found.interval or (found.current_value, found.current_value)
        for bound, value in (("value", found.current_value), ("low", low), ("high", high)):
            metrics.gauge(name, value, metric=found.name, bound=bound, **labels)
        if found.name == "accuracy" and not found.estimated:
            metrics.gauge("ml_model_accuracy", found.current_value, **labels)
