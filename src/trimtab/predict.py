"""Flow 1: request -> validate -> route -> features -> predict -> record -> respond.

The coroutine suspends only where a feature store is read or a candidate runs under its time limit;
a champion whose features all came with the request answers without suspending once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.errors import InvalidRow, ModelFailure, NotFound
from trimtab.protocols import Clock, FeatureResolver, JournalWriter, Predictor, RowChecker
from trimtab.telemetry import Metrics
from trimtab.types import (
    Assignment,
    Columns,
    FloatArray,
    PredictAnswer,
    Prediction,
    PredictionRecord,
    PredictRequest,
    Provenance,
    Resolved,
    Route,
    RowRequest,
    Scalar,
    Signature,
    Task,
)


@dataclass(frozen=True, slots=True)
class LiveArm:
    """A loaded version that can answer.

    ``pick`` maps the arm's own feature order to the champion's, in which rows are checked.
    """

    version: int
    digest: str
    signature: Signature
    predictor: Predictor
    checker: RowChecker
    pick: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """All that a worker needs to answer for one model during one epoch.

    ``arms`` match ``route.arms``; an arm that could not be loaded is None, the champion never is.
    """

    route: Route
    arms: tuple[LiveArm | None, ...]
    champion: LiveArm
    resolver: FeatureResolver
    deadline_ms: float
    feature_deadline_ms: float


class Board(Protocol):
    """The models that are live in this process now."""

    def live(self, model: str) -> LiveModel:
        """The model as of the newest epoch.

        Raises:
            NotFound: no such model, or it has no deployed version.
        """
        ...


Route1 = Callable[[Route, str | None, str], Assignment]
Isolate = Callable[[Predictor, Columns, float], Awaitable[FloatArray]]


@dataclass(slots=True)
class _Row:
    """One row on its way through the flow."""

    id: str
    event_time: float
    unit: str
    assignment: Assignment
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class _Scored:
    """What an arm answered for some rows, and why the champion had to, if so."""

    arm: LiveArm
    index: int
    outputs: FloatArray
    seconds: float
    failed: str | None = None


class PredictFlow:
    """Answers predictions.

    Args:
        board: What is live.
        assign: Routing key (or None) and prediction id to an arm.
        unit: Routing key to the hash that is journalled.
        isolate: Runs a candidate under a time limit in seconds.
        journal: Where every answered prediction goes before the reply.
        new_id: Issues prediction ids.
        clock: Wall and monotonic time.
        metrics: Counters.
        max_future_seconds: How far an event time may lie ahead of the clock.
    """

    def __init__(
        self,
        *,
        board: Board,
        assign: Route1,
        unit: Callable[[str], str],
        isolate: Isolate,
        journal: JournalWriter,
        new_id: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
        max_future_seconds: float,
    ) -> None:
        self._board = board
        self._assign = assign
        self._unit = unit
        self._isolate = isolate
        self._journal = journal
        self._new_id = new_id
        self._clock = clock
        self._metrics = metrics
        self._max_future_seconds = max_future_seconds

    async def predict(self, model: str, request: PredictRequest) -> PredictAnswer:
        """Answer every row, or none.

        Raises:
            NotFound: the model or the pinned version is not live.
            InvalidRow: a row cannot be scored, with its path.
            ModelFailure: the champion itself failed.
            Unavailable: the journal refuses.
        """
        started, now = self._clock.monotonic(), self._clock.now()
        live = self._board.live(model)
        times = [self._event_time(row, now, i) for i, row in enumerate(request.rows)]
        check = live.champion.checker.check
        checked = [check(row, f"rows[{i}]") for i, row in enumerate(request.rows)]
        resolved = await live.resolver.resolve(
            [values for values, _ in checked],
            [entities for _, entities in checked],
            times,
            min(live.feature_deadline_ms, request.deadline_ms or live.feature_deadline_ms),
        )
        rows = [
            self._route(live, asked, when, values, request.version)
            for asked, when, values in zip(request.rows, times, resolved, strict=True)
        ]
        shared = self._clock.monotonic() - started
        answers: list[Prediction | None] = [None] * len(rows)
        records: list[PredictionRecord] = []
        for arm, members in _by_arm(rows).items():
            scored = await self._score(live, arm, [rows[i].resolved for i in members])
            latency_ms = (shared + scored.seconds) * 1e3
            for i, outputs in zip(members, scored.outputs.tolist(), strict=True):
                answer = _respond(live, rows[i], scored, outputs)
                answers[i] = answer
                records.append(
                    _record(live, rows[i], scored, answer, now, latency_ms, request.request_id)
                )
        self._journal.append(records)
        self._count(model, records)
        return PredictAnswer(
            model=model,
            epoch=live.route.epoch,
            predictions=tuple(answer for answer in answers if answer is not None),
        )

    def _event_time(self, row: RowRequest, now: float, index: int) -> float:
        if row.event_time is None:
            return now
        if not (0 <= row.event_time <= now + self._max_future_seconds):
            raise InvalidRow(
                f"The event time {row.event_time} is negative or more than "
                f"{self._max_future_seconds:g} s ahead of the server's clock.",
                code="event_time_out_of_range",
                path=f"rows[{index}].event_time",
                hint="Send Unix seconds in UTC, or leave it out.",
            )
        return row.event_time

    def _route(
        self, live: LiveModel, asked: RowRequest, when: float, resolved: Resolved, pin: int | None
    ) -> _Row:
        prediction_id = asked.prediction_id or self._new_id()
        if pin is None:
            assignment = self._assign(live.route, asked.key, prediction_id)
        else:
            assignment = Assignment(arm=_pinned(live, pin), sticky=False)
        return _Row(
            prediction_id, when, self._unit(asked.key or prediction_id), assignment, resolved
        )

    async def _score(self, live: LiveModel, index: int, rows: Sequence[Resolved]) -> _Scored:
        """An arm's answer; the champion's when a candidate is missing, fails or is late."""
        started = self._clock.monotonic()
        failed = None
        if index > 0:
            arm = live.arms[index]
            if arm is None:
                failed = "not_loaded"
            else:
                try:
                    outputs = await self._isolate(
                        arm.predictor, _columns(arm, rows), live.deadline_ms / 1e3
                    )
                    return _Scored(arm, index, outputs, self._clock.monotonic() - started)
                except ModelFailure as failure:
                    failed = failure.code
        champion = live.champion
        outputs = champion.predictor.predict(_columns(champion, rows))
        return _Scored(champion, index, outputs, self._clock.monotonic() - started, failed)

    def _count(self, model: str, records: Sequence[PredictionRecord]) -> None:
        versions: dict[int, int] = defaultdict(int)
        failures: dict[int, int] = defaultdict(int)
        for record in records:
            versions[record.version] += 1
            if record.failed:
                failures[record.arm] += 1
        for version, rows in versions.items():
            self._metrics.count("ml_predictions_total", rows, model=model, model_version=version)
        for arm, rows in failures.items():
            route = self._board.live(model).route
            version = route.arms[arm].version if arm < len(route.arms) else 0
            self._metrics.count(
                "ml_candidate_failures_total", rows, model=model, model_version=version
            )
        sources = "".join(record.sources for record in records)
        for provenance in Provenance:
            if found := sources.count(provenance.code):
                self._metrics.count(
                    "ml_feature_source_total", found, model=model, source=provenance.value
                )


def _pinned(live: LiveModel, version: int) -> int:
    for index, arm in enumerate(live.arms):
        if arm is not None and arm.version == version:
            return index
    raise NotFound(
        f"Version {version} of {live.route.model!r} is not live.",
        code="version_not_live",
        hint=f"Live: {', '.join(str(arm.version) for arm in live.route.arms)}.",
    )


def _by_arm(rows: Sequence[_Row]) -> dict[int, list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        members[row.assignment.arm].append(i)
    return members


def _columns(arm: LiveArm, rows: Sequence[Resolved]) -> Columns:
    return arm.checker.columns([[row.values[i] for i in arm.pick] for row in rows])


def _respond(live: LiveModel, row: _Row, scored: _Scored, outputs: list[float]) -> Prediction:
    signature = scored.arm.signature
    score, decision = _decide(signature, outputs)
    return Prediction(
        prediction_id=row.id,
        version=scored.arm.version,
        arm=live.route.arms[scored.index].name,
        score=score,
        outputs=tuple(outputs),
        decision=decision,
        sources=row.resolved.sources,
    )


def _decide(signature: Signature, outputs: list[float]) -> tuple[float, str | float]:
    """The score, and the label (or value) that it leads to."""
    if signature.task is Task.BINARY:
        score = outputs[1]
        return score, signature.labels[int(score >= signature.threshold)]
    if signature.task is Task.MULTICLASS:
        best = max(range(len(outputs)), key=outputs.__getitem__)
        return outputs[best], signature.labels[best]
    return outputs[0], outputs[0]


def _record(
    live: LiveModel,
    row: _Row,
    scored: _Scored,
    answer: Prediction,
    now: float,
    latency_ms: float,
    request_id: str | None,
) -> PredictionRecord:
    route, arm = live.route, scored.arm
    values: tuple[Scalar, ...] = tuple(row.resolved.values[i] for i in arm.pick)
    binary = arm.signature.task is Task.BINARY
    return PredictionRecord(
        prediction_id=row.id,
        request_id=request_id,
        event_time=row.event_time,
        wall_time=now,
        model=route.model,
        version=arm.version,
        digest=arm.digest,
        epoch=route.epoch,
        rollout=route.rollout,
        arm=scored.index,
        share=1.0 - route.arms[0].share,
        unit=row.unit,
        sticky=row.assignment.sticky,
        values=values,
        sources="".join(row.resolved.sources[i] for i in arm.pick),
        ages_seconds=tuple(row.resolved.ages_seconds[i] for i in arm.pick),
        score=answer.score,
        outputs=answer.outputs,
        positive=answer.score >= arm.signature.threshold if binary else None,
        latency_ms=latency_ms,
        failed=scored.failed,
    )
