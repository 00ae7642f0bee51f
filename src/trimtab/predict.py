"""Flow 1: request -> validate -> route -> features -> predict -> record -> respond.

The coroutine suspends only where a feature store is read, a candidate runs under its time limit, rows of
several requests are scored together or the journal waits for the disk; a compiled champion whose features all
came with the request answers without suspending once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from trimtab.errors import InvalidRow, ModelFailure, NotFound
from trimtab.protocols import Board, Clock, CrashBoard, JournalWriter, LiveArm, LiveModel, Predictor
from trimtab.record import answers
from trimtab.record.answers import Answered, Asked
from trimtab.rollout.strategies.interleave import SHARE, Interleave, drafted, team_draft
from trimtab.telemetry import Metrics
from trimtab.types import (
    PROCESS_EXIT,
    Assignment,
    Columns,
    FeaturesAnswer,
    FloatArray,
    PlainRow,
    PredictAnswer,
    Prediction,
    PredictionRecord,
    PredictRequest,
    Resolved,
    Route,
    RowRequest,
    Scalar,
)

Assign = Callable[[Route, str | None, str], Assignment]
Isolate = Callable[[Predictor, Columns, float], Awaitable[FloatArray]]
_Made = tuple[
    Route,
    answers.Make,
    Callable[[float], None],
    Callable[[int, Sequence[float]], None],
    Callable[..., None],
]
"""A route, what makes the answers of its champion, and what counts, times and sizes them."""


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
        crashes: Which candidates end processes; None where that is nobody's business.
    """

    def __init__(  # noqa: PLR0913 - each is a seam
        self,
        *,
        board: Board,
        assign: Assign,
        unit: Callable[[str], str],
        isolate: Isolate,
        journal: JournalWriter,
        new_id: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
        max_future_seconds: float,
        crashes: CrashBoard | None = None,
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
        self._crashes = crashes
        self._counters: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._stages: dict[str, Callable[[int, Sequence[float]], None]] = {}
        self._made: dict[str, _Made] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    async def predict(
        self, model: str, request: PredictRequest, began: float | None = None
    ) -> PredictAnswer:
        """Answer every row, or none.

        Args:
            model: Its name.
            request: What is asked.
            began: When its body began to be read, in monotonic seconds; now if None.

        Raises:
            NotFound: the model or the pinned version is not live.
            InvalidRow: a row cannot be scored, with its path.
            ModelFailure: the champion itself failed.
            Unavailable: the journal refuses.
        """
        started, now = self._clock.monotonic(), self._clock.now()
        live = self._board.live(model)
        laps = [started if began is None else began]
        if len(request.rows) == 1:
            return await self._one(live, request, started, now, laps)
        times = [self._event_time(row, now, i) for i, row in enumerate(request.rows)]
        check = live.champion.checker.check
        checked = [check(row, f"rows[{i}]") for i, row in enumerate(request.rows)]
        laps.append(self._clock.monotonic())
        assigned = [self._route(live, row, request.version) for row in request.rows]
        resolved = await live.resolver.resolve(
            [values for values, _ in checked],
            [entities for _, entities in checked],
            times,
            _feature_deadline(live, request),
        )
        rows = [
            Asked(
                name,
                when,
                self._unit(row.key if row.key and arm.sticky else name),
                arm,
                features,
                request.request_id,
                keys,
            )
            for row, when, (name, arm), features, (_, keys) in zip(
                request.rows, times, assigned, resolved, checked, strict=True
            )
        ]
        given: dict[int, Prediction] = {}
        made: dict[int, PredictionRecord] = {}
        laps.append(self._clock.monotonic())
        shared = laps[-1] - started
        for arm, members in _by_arm(rows).items():
            began = self._clock.monotonic()
            answering, outputs, failed = await self._score(live, arm, [rows[i] for i in members])
            seconds = shared + self._clock.monotonic() - began
            answered = Answered(
                live.route, arm, answering.version, answering.digest, answering.signature,
                answering.pick, now, seconds * 1e3, failed,
            )  # fmt: skip
            for i, values in zip(members, outputs, strict=True):
                given[i] = answers.prediction(
                    rows[i], answered, values, provenance=request.provenance
                )
                made[i] = answers.record(rows[i], answered, given[i])
        # In the order of the rows, whoever answered them: evidence must not be grouped by arm.
        records = [made[i] for i in range(len(rows))]
        if live.route.strategy == Interleave.name and len(rows) > 1:
            await self._draft(live, rows, given, records, request.provenance)
        laps.append(self._clock.monotonic())
        if (on_disk := self._journal.put(records)) is not None:
            await on_disk
        laps.append(self._clock.monotonic())
        self._timed(live.route.model)(1, laps)
        self._count(live.route, records)
        ordered = tuple(given[i] for i in range(len(rows)))
        return PredictAnswer(model=model, epoch=live.route.epoch, predictions=ordered)

    async def features(self, model: str, request: PredictRequest) -> FeaturesAnswer:
        """What the model would be given for each row; nothing is scored, nothing recorded.

        Raises:
            NotFound: the model is not live.
            InvalidRow: a row cannot be taken, with its path.
        """
        now, live = self._clock.now(), self._board.live(model)
        check = live.champion.checker.check
        checked = [check(row, f"rows[{i}]") for i, row in enumerate(request.rows)]
        resolved = await live.resolver.resolve(
            [values for values, _ in checked],
            [entities for _, entities in checked],
            [self._event_time(row, now, i) for i, row in enumerate(request.rows)],
            _feature_deadline(live, request),
        )
        names = self._names.get(live.champion.digest)
        if names is None:
            names = self._names[live.champion.digest] = live.champion.signature.names
        return FeaturesAnswer(
            model=model,
            version=live.champion.version,
            features=names,
            values=[row.values for row in resolved],
            sources=[row.sources for row in resolved],
            ages_seconds=[row.ages_seconds for row in resolved] if request.provenance else None,
        )

    async def _one(
        self,
        live: LiveModel,
        request: PredictRequest,
        started: float,
        now: float,
        laps: list[float],
    ) -> PredictAnswer:
        """The same for a single row, without lists: most requests are one."""
        row = request.rows[0]
        when = self._event_time(row, now, 0)
        values, keys = live.champion.checker.check(row, "rows[0]")
        laps.append(self._clock.monotonic())
        name, assigned = self._route(live, row, request.version)
        features = None if live.whole is None else live.whole(values)
        if features is None:
            (features,) = await live.resolver.resolve(
                (values,), (keys,), (when,), _feature_deadline(live, request)
            )
        unit = self._unit(row.key if row.key and assigned.sticky else name)
        asked = Asked(name, when, unit, assigned, features, request.request_id, keys)
        laps.append(self._clock.monotonic())
        answering, failed = live.champion, None
        if assigned.arm != 0:
            answering, outputs, failed = await self._score(live, assigned.arm, (asked,))
        elif answering.together is not None:
            own = _values(answering, features)
            outputs = (await answering.together(own, request.deadline_ms),)
        else:
            outputs = _outputs(answering, (features,))
        laps.append(self._clock.monotonic())
        answered = Answered(
            live.route, assigned.arm, answering.version, answering.digest, answering.signature,
            answering.pick, now, (laps[-1] - started) * 1e3, failed,
        )  # fmt: skip
        given = answers.prediction(asked, answered, outputs[0], provenance=request.provenance)
        records = (answers.record(asked, answered, given),)
        if (on_disk := self._journal.put(records)) is not None:
            await on_disk
        laps.append(self._clock.monotonic())
        self._timed(live.route.model)(1, laps)
        self._count(live.route, records)
        return PredictAnswer(model=live.route.model, epoch=live.route.epoch, predictions=(given,))

    async def plain(
        self, live: LiveModel, rows: Sequence[PlainRow], began: float, requests: int | None = None
    ) -> Sequence[PredictAnswer | str]:
        """Answer rows of several requests that arrived together, all steps but the first once for all of them.

        Args:
            live: The model.
            rows: One of each request.
            began: When their bodies began to be read, in monotonic seconds.
            requests: How many requests they are of; one each if None.

        Returns:
            In order, each row's answer; or its prediction id, under which :meth:`predict` is to be asked: where
            the row is not the champion's, or the champion fails on any of them.

        Raises:
            Unavailable: the journal refuses.
        """
        now, route, whole = self._clock.now(), live.route, live.whole
        laps = [began, self._clock.monotonic()]
        new_id, assign, unit = self._new_id, self._assign, self._unit
        found: list[PredictAnswer | str] = []
        asked: list[tuple[int, PlainRow, str, Assignment, Resolved]] = []
        given: list[Sequence[Scalar]] = []
        for row in rows:
            name = new_id()
            assigned = assign(route, row.key, name)
            features = None if whole is None else whole(row.values)
            if assigned.arm == 0 and features is not None:
                asked.append((len(found), row, name, assigned, features))
                given.append(features.values)
            found.append(name)
        laps.append(self._clock.monotonic())
        try:
            outputs = _together(live.champion, given)
        except ModelFailure:
            return found
        made = self._made.get(route.model)
        if made is None or made[0] is not route:
            made = self._make(live)
        _, make, count, timed, batched = made
        done, records = self._clock.monotonic(), []
        laps.append(done)
        for (at, row, name, assigned, features), values in zip(asked, outputs, strict=True):
            hashed = unit(row.key if row.key and assigned.sticky else name)
            milliseconds = (done - row.began) * 1e3
            found[at], record = make(
                name, row.request_id, hashed, assigned, features, values, now, milliseconds
            )
            records.append(record)
        if records:
            if (on_disk := self._journal.put(records, last=True)) is not None:
                await on_disk
            laps.append(self._clock.monotonic())
            timed(requests or len(records), laps)
            if requests is None:
                batched(len(records))
            count(len(records))
        return found

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

    def _route(self, live: LiveModel, row: RowRequest, pin: int | None) -> tuple[str, Assignment]:
        """The row's prediction id, and its arm: by its key, or the pinned version's."""
        name = row.prediction_id or self._new_id()
        if pin is None:
            return name, self._assign(live.route, row.key, name)
        return name, Assignment(arm=_pinned(live, pin), sticky=False, drawn=False)

    async def _score(
        self, live: LiveModel, index: int, rows: Sequence[Asked]
    ) -> tuple[LiveArm, Sequence[Sequence[float]], str | None]:
        """An arm's answer; the champion's when a candidate is missing, fails or is late, and why."""
        resolved = [row.resolved for row in rows]
        failed = None
        if index > 0:
            arm = live.arms[index]
            if arm is None:
                failed = "not_loaded"
            elif self._crashes is not None and self._crashes.blocked(live.route.model, arm.version):
                failed = PROCESS_EXIT
            else:
                try:
                    limit = live.deadline_ms / 1e3
                    columns = _columns(arm, resolved)
                    predictor = self._noted(live.route, index, arm, rows[0])
                    outputs = await self._isolate(predictor, columns, limit)
                    return arm, outputs.tolist(), None
                except ModelFailure as failure:
                    failed = failure.code
        champion = live.champion
        return champion, _outputs(champion, resolved), failed

    async def _draft(
        self,
        live: LiveModel,
        rows: Sequence[Asked],
        given: dict[int, Prediction],
        records: list[PredictionRecord],
        provenance: bool,
    ) -> None:
        """Make one ranking of the champion's and the candidate's, if this one is to be drafted."""
        if not drafted(live.route, rows[0].id) or any(not row.assignment.drawn for row in rows):
            return
        began, now = self._clock.monotonic(), records[0].wall_time
        arm, outputs, failed = await self._score(live, 1, rows)
        milliseconds = records[0].latency_ms + (self._clock.monotonic() - began) * 1e3
        answered = Answered(
            live.route,
            1,
            arm.version,
            arm.digest,
            arm.signature,
            arm.pick,
            now,
            milliseconds,
            failed,
        )
        theirs = [
            answers.prediction(row, answered, values, provenance=provenance)
            for row, values in zip(rows, outputs, strict=True)
        ]
        ranking = self._unit(f"ranking:{rows[0].id}")
        scores = [given[i].score for i in range(len(rows))]
        places, teams = team_draft(scores, [each.score for each in theirs], rows[0].id)
        for i, row in enumerate(rows):
            if failed is not None or teams[i] == 1:
                given[i] = theirs[i]
                records[i] = answers.record(row, answered, theirs[i])
            given[i] = replace(given[i], rank=places[i])
            records[i] = replace(records[i], share=SHARE, unit=ranking, latency_ms=milliseconds)

    def _noted(self, route: Route, index: int, arm: LiveArm, row: Asked) -> Predictor:
        """The candidate, which leaves its first row behind should it end the process."""
        if self._crashes is None:
            return arm.predictor
        record = answers.unfinished(row, route, index, arm.signature, arm.digest)
        return self._crashes.noted(arm.predictor, record)

    def _make(self, live: LiveModel) -> _Made:
        """Look up what all plain rows of a route have in common."""
        route, champion = live.route, live.champion
        model = route.model
        made = self._made[model] = (
            route,
            answers.champions(route, champion.version, champion.digest, champion.signature),
            self._counter("ml_predictions_total", model, champion.version),
            self._timed(model),
            self._metrics.observer("ml_batch_rows", model=model),
        )
        return made

    def _timed(self, model: str) -> Callable[[int, Sequence[float]], None]:
        """What notes when each stage ended that requests went through together."""
        take = self._stages.get(model)
        if take is None:
            take = self._stages[model] = self._metrics.stages(model)
        return take

    def _count(self, route: Route, records: Sequence[PredictionRecord]) -> None:
        self._add("ml_predictions_total", route.model, [each.version for each in records])
        failed = [route.arms[each.arm].version for each in records if each.failed]
        if failed:
            self._add("ml_candidate_failures_total", route.model, failed)

    def _add(self, name: str, model: str, versions: Sequence[int]) -> None:
        if len(versions) == 1:
            self._counter(name, model, versions[0])(1.0)
            return
        for version, rows in Counter(versions).items():
            self._counter(name, model, version)(rows)

    def _counter(self, name: str, model: str, version: int) -> Callable[[float], None]:
        """A counter of a version, looked up once."""
        key = (name, model, version)
        found = self._counters.get(key)
        if found is None:
            found = self._metrics.counter(name, model=model, model_version=version)
            self._counters[key] = found
        return found


def _pinned(live: LiveModel, version: int) -> int:
    for index, arm in enumerate(live.arms):
        if arm is not None and arm.version == version:
            return index
    raise NotFound(
        f"Version {version} of {live.route.model!r} is not live.",
        code="version_not_live",
        hint=f"Live: {', '.join(str(arm.version) for arm in live.route.arms)}.",
    )


def _by_arm(rows: Sequence[Asked]) -> Mapping[int, list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        members[row.assignment.arm].append(i)
    return members


def _feature_deadline(live: LiveModel, request: PredictRequest) -> float:
    most = live.feature_deadline_ms
    return most if request.deadline_ms is None else min(most, request.deadline_ms)


def _outputs(arm: LiveArm, rows: Sequence[Resolved]) -> Sequence[Sequence[float]]:
    """What an arm answers, the short way where there is one row and the arm has such a way."""
    if arm.one is not None and len(rows) == 1:
        return (arm.one(_values(arm, rows[0])),)
    outputs: list[list[float]] = arm.predictor.predict(_columns(arm, rows)).tolist()
    return outputs


def _together(arm: LiveArm, rows: Sequence[Sequence[Scalar]]) -> Sequence[Sequence[float]]:
    """What an arm answers to rows in its own order, each as if it were alone."""
    if arm.one is not None and len(rows) == 1:
        return (arm.one(rows[0]),)
    return () if arm.many is None or not rows else arm.many(rows)


def _columns(arm: LiveArm, rows: Sequence[Resolved]) -> Columns:
    return arm.checker.columns([_values(arm, row) for row in rows])


def _values(arm: LiveArm, row: Resolved) -> Sequence[Scalar]:
    """A row's values in the arm's own order."""
    values = row.values
    if arm.pick == answers.IN_ORDER[: len(values)]:
        return values
    return [values[i] for i in arm.pick]
