"""Shadow traffic: a candidate answers, from the journal, what the champion has answered already.

The request path knows nothing of it. A process of its own reads the journal behind the workers, scores
what the route shows to the candidate with the features that the champion had, and appends the answers
with the flag ``shadow``. However slow the candidate is, whatever it raises and even when it ends its
process, no caller waits for it or loses an answer by it.

It is bounded by age: what is older than ``max_lag_seconds`` when its turn comes is counted and left out.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from trimtab.config import ModelConfig
from trimtab.errors import ModelFailure, TrimtabError
from trimtab.log_events import Event
from trimtab.models.isolate import Isolation
from trimtab.models.registry import warm
from trimtab.protocols import JournalReader, JournalWriter, LiveArm
from trimtab.record.answers import decide
from trimtab.rollout.epoch import epoch_of
from trimtab.rollout.strategies.shadow import Shadow, shown_to
from trimtab.schema import Checker
from trimtab.telemetry import Metrics
from trimtab.types import PROCESS_EXIT, PredictionRecord, Route, Task
from trimtab.wiring.crashes import CrashNotes
from trimtab.wiring.deployment import Deployment

logger = logging.getLogger(__name__)

MAX_LAG_SECONDS = 10.0
BATCH_ROWS = 2_000
CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class Shade:
    """A candidate that is shown to nobody: its route, and itself as far as it could be loaded."""

    route: Route
    arm: LiveArm | None
    deadline_seconds: float


@dataclass(slots=True)
class Shadowing:
    """Scores candidates on what champions have answered; one step is one look at the journal.

    Args:
        deployment: Where routes and versions come from.
        journal: What was recorded.
        writer: Where shadow answers go.
        metrics: Counts what was scored, what failed, and what was too old.
        crashes: Which candidates end processes.
        max_lag_seconds: Older answers are left out.
    """

    deployment: Deployment
    journal: JournalReader
    writer: JournalWriter
    metrics: Metrics
    crashes: CrashNotes
    max_lag_seconds: float = MAX_LAG_SECONDS
    _offsets: Mapping[str, int] | None = None
    _since: float = 0.0
    _epoch: int = -1
    _shades: dict[str, Shade] = field(default_factory=dict)
    _isolation: Isolation = field(default_factory=Isolation)

    def step(self) -> int:
        """Score what is new; how many records were read.

        Raises:
            Unavailable: the state cannot be read, or the journal refuses.
        """
        self._follow()
        if self._offsets is None:
            # The watcher's offsets stand between two records; what came before now is not asked for.
            self._since = self.deployment.clock.now()
            with self.deployment.state.reading() as state:
                self._offsets = state.watch.offsets()
        records, self._offsets = self.journal.read(self._offsets, BATCH_ROWS)
        for model, shade in self._shades.items():
            asked = [r for r in records if r.model == model and self._asked(shade.route, r)]
            fresh = self._fresh(shade, asked)
            for first in range(0, len(fresh), CHUNK_ROWS):
                self._answer(shade, fresh[first : first + CHUNK_ROWS])
        return len(records)

    def _follow(self) -> None:
        """The shadows of now; a version is loaded once a route."""
        epoch = epoch_of(self.deployment.epoch.read())
        if epoch == self._epoch:
            return
        with self.deployment.state.reading() as state:
            epoch, routes = state.control.epoch(), state.control.routes()
        shades = {}
        for route in routes:
            if route.strategy == Shadow.name and len(route.arms) > 1:
                known = self._shades.get(route.model)
                same = known is not None and known.route.arms[1].version == route.arms[1].version
                arm = known.arm if known is not None and same else self._load(route)
                config = self.deployment.config.models.get(route.model, ModelConfig())
                shades[route.model] = Shade(route, arm, config.deadline_ms / 1e3)
        self._shades, self._epoch = shades, epoch

    def _load(self, route: Route) -> LiveArm | None:
        number = route.arms[1].version
        if self.crashes.blocked(route.model, number):
            return None
        try:
            version = self.deployment.version(route.model, number)
            with self.crashes.loading(route, number):
                loaded = self.deployment.registry.load(version)
                warm(loaded)
        except TrimtabError as error:
            logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                Event.CANDIDATE_FAILED,
                extra={"model": route.model, "version": number, "reason": str(error)},
            )
            return None
        champion = self.deployment.version(route.model, route.champion)
        order = {name: at for at, name in enumerate(champion.signature.names)}
        return LiveArm(
            version=number,
            digest=version.digest,
            signature=version.signature,
            predictor=loaded.predictor,
            checker=Checker(version.signature),
            pick=tuple(order[name] for name in version.signature.names),
        )

    def _asked(self, route: Route, record: PredictionRecord) -> bool:
        """Whether the champion answered it by this route, and the candidate is to answer it, too."""
        return (
            not record.shadow
            and record.wall_time >= self._since
            and record.rollout == route.rollout
            and record.version == route.champion
            and shown_to(route, record) > 0
        )

    def _fresh(self, shade: Shade, asked: Sequence[PredictionRecord]) -> list[PredictionRecord]:
        oldest = self.deployment.clock.now() - self.max_lag_seconds
        fresh = [one for one in asked if one.wall_time >= oldest and not one.withheld]
        if len(fresh) < len(asked):
            self._count("ml_shadow_dropped_total", shade, len(asked) - len(fresh))
        return fresh

    def _answer(self, shade: Shade, records: Sequence[PredictionRecord]) -> None:
        """Score rows together, or one by one where together they fail."""
        outputs, failed, seconds = self._score(shade, records)
        if failed is not None and len(records) > 1:
            for record in records:
                self._answer(shade, [record])
            return
        latency_ms = seconds * 1e3 / len(records)
        made = [
            self._record(shade, record, values, failed, latency_ms)
            for record, values in zip(records, outputs, strict=True)
        ]
        self.writer.append(made)
        self._count("ml_shadow_predictions_total", shade, len(made))
        if failed is not None:
            self._count("ml_candidate_failures_total", shade, len(made))

    def _score(
        self, shade: Shade, records: Sequence[PredictionRecord]
    ) -> tuple[Sequence[Sequence[float]], str | None, float]:
        began, arm = self.deployment.clock.monotonic(), shade.arm
        failed, outputs = "not_loaded", [()] * len(records)
        if self.crashes.blocked(shade.route.model, shade.route.arms[1].version):
            failed = PROCESS_EXIT
        elif arm is not None:
            rows = [[record.values[i] for i in arm.pick] for record in records]
            columns = arm.checker.columns(rows)
            lost = self._record(shade, records[0], (), PROCESS_EXIT, 0.0)
            predictor = self.crashes.noted(arm.predictor, lost)
            work = self._isolation.run(predictor, columns, shade.deadline_seconds)
            try:
                scored: Sequence[Sequence[float]] = asyncio.run(work).tolist()
            except ModelFailure as failure:
                failed = failure.code
            else:
                return scored, None, self.deployment.clock.monotonic() - began
        return outputs, failed, self.deployment.clock.monotonic() - began

    def _record(
        self,
        shade: Shade,
        answered: PredictionRecord,
        outputs: Sequence[float],
        failed: str | None,
        latency_ms: float,
    ) -> PredictionRecord:
        """The champion's record as the candidate's; the id stays, so that an outcome fits both."""
        candidate, arm = shade.route.arms[1], shade.arm
        changes: dict[str, object] = {}
        if arm is not None:
            changes = {
                "digest": arm.digest,
                "values": tuple(answered.values[i] for i in arm.pick),
                "sources": "".join(answered.sources[i] for i in arm.pick),
                "ages_seconds": tuple(answered.ages_seconds[i] for i in arm.pick),
            }
            if failed is None:
                score = decide(arm.signature, outputs)[0]
                binary = arm.signature.task is Task.BINARY
                changes["score"] = score
                changes["positive"] = score >= arm.signature.threshold if binary else None
        missing = {} if failed is None else {"score": math.nan, "positive": None}
        return msgspec.structs.replace(
            answered,
            wall_time=self.deployment.clock.now(),
            version=candidate.version,
            epoch=shade.route.epoch,
            arm=1,
            share=candidate.share,
            outputs=tuple(outputs),
            latency_ms=latency_ms,
            failed=failed,
            shadow=True,
            answered=(answered.score, answered.latency_ms),
            **changes,
            **missing,
        )

    def _count(self, name: str, shade: Shade, amount: int) -> None:
        route = shade.route
        self.metrics.count(name, amount, model=route.model, model_version=route.arms[1].version)
