from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from trimtab.errors import Conflict
from trimtab.testing import FakeClock
from trimtab.types import (
    Alert,
    Alias,
    AuditEntry,
    Exposure,
    FeatureKind,
    FeatureSpec,
    GuardrailSpec,
    Harm,
    Matured,
    PredictionRecord,
    RampStep,
    Rollout,
    RolloutPlan,
    Route,
    Signature,
    Task,
    UnitEvent,
    Version,
)
from trimtab.watch import plain_facts

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="carrier", kind=FeatureKind.CATEGORICAL),
    ),
    task=Task.BINARY,
    labels=("on time", "late"),
)


class FakeState:
    """The parts of a StateTx that the room uses, in dictionaries; it is all of its own parts."""

    def __init__(self) -> None:
        self.registry = self.control = self.audit = self.watch = self.alerts = self
        self.kept_epoch = 0
        self.kept_versions: dict[tuple[str, int], Version] = {}
        self.kept_aliases: dict[tuple[str, str], Alias] = {}
        self.kept_routes: dict[str, Route] = {}
        self.kept_rollouts: dict[str, Rollout] = {}
        self.log: list[AuditEntry] = []
        self.kept_exposures: dict[tuple[str, str], Exposure] = {}
        self.kept_events: dict[tuple[str, str, str], None] = {}
        self.kept_handed: list[tuple[str, bytes]] = []
        self.turns = 0
        self.opened: list[Alert] = []
        self.queued: list[str] = []
        self.closed: list[str] = []

    def version(self, model: str, version: int) -> Version | None:
        return self.kept_versions.get((model, version))

    def versions(self, model: str) -> Sequence[Version]:
        return [v for v in self.kept_versions.values() if v.model == model]

    def set_alias(self, alias: Alias) -> None:
        self.kept_aliases[alias.model, alias.alias] = alias

    def drop_alias(self, model: str, alias: str) -> None:
        self.kept_aliases.pop((model, alias), None)

    def take_turn(self) -> None:
        self.turns += 1

    def epoch(self) -> int:
        return self.kept_epoch

    def advance(self, expected: int) -> int:
        if expected != self.kept_epoch:
            raise Conflict("the epoch has moved on", code="stale_epoch")
        self.kept_epoch += 1
        return self.kept_epoch

    def put_route(self, route: Route) -> None:
        self.kept_routes[route.model] = route

    def route(self, model: str) -> Route | None:
        return self.kept_routes.get(model)

    def put_rollout(self, rollout: Rollout) -> None:
        self.kept_rollouts[rollout.id] = rollout

    def rollout(self, rollout_id: str) -> Rollout | None:
        return self.kept_rollouts.get(rollout_id)

    def rollouts(self, model: str | None = None) -> Sequence[Rollout]:
        return [r for r in self.kept_rollouts.values() if model in (None, r.model)]

    def last(self) -> AuditEntry | None:
        return self.log[-1] if self.log else None

    def add(self, entry: AuditEntry) -> None:
        self.log.append(entry)

    def open(self, alert: Alert, channels: Sequence[str]) -> bool:
        self.opened.append(alert)
        self.queued += channels
        return True

    def close(self, key: str, _event_time: float) -> bool:
        self.closed.append(key)
        return True

    def hand_over(self, rollout: str, body: bytes) -> None:
        self.kept_handed.append((rollout, body))

    def take_handed(self) -> Sequence[tuple[str, bytes]]:
        taken, self.kept_handed = self.kept_handed, []
        return taken

    def new_exposures(self, exposures: Sequence[Exposure]) -> Sequence[Exposure]:
        first = []
        for exposure in exposures:
            key = (exposure.rollout, exposure.unit)
            if key not in self.kept_exposures:
                self.kept_exposures[key] = exposure
                first.append(exposure)
        return first

    def exposures(self, rollout: str, units: Sequence[str]) -> Mapping[str, Exposure]:
        return {
            unit: self.kept_exposures[rollout, unit]
            for unit in units
            if (rollout, unit) in self.kept_exposures
        }

    def new_events(self, rollout: str, guardrail: str, units: Sequence[str]) -> Sequence[str]:
        first = []
        for unit in units:
            if (rollout, guardrail, unit) not in self.kept_events:
                self.kept_events[rollout, guardrail, unit] = None
                first.append(unit)
        return first


@pytest.fixture
def new_state() -> Callable[[], Any]:
    return FakeState


@pytest.fixture
def state() -> Any:
    """Three registered versions of ``flights``, none deployed."""
    made = FakeState()
    for number in (1, 2, 3):
        made.kept_versions["flights", number] = Version(
            model="flights",
            version=number,
            digest=f"sha256:{number}",
            format="skops",
            size_bytes=1,
            signature=SIGNATURE,
            created_at=0.0,
        )
    return made


@pytest.fixture
def who() -> dict[str, Any]:
    return {"actor": "ada", "reason": "because", "clock": FakeClock(1_000.0)}


@pytest.fixture
def plan() -> RolloutPlan:
    return RolloutPlan(
        steps=(
            RampStep(share=0.1, bake_seconds=100.0),
            RampStep(share=0.25, bake_seconds=100.0),
            RampStep(share=0.5, bake_seconds=100.0),
        ),
        guardrails=(
            GuardrailSpec(
                name="wrong", event=UnitEvent.WRONG_DECISION, cost_per_event=2.0, currency="USD"
            ),
            GuardrailSpec(name="errors", event=UnitEvent.ERROR),
            GuardrailSpec(name="bookings", event=UnitEvent.POSITIVE_OUTCOME, harm=Harm.FEWER),
            GuardrailSpec(name="slow", event=UnitEvent.SLOW, slow_ms=50.0),
        ),
        outcome_delay_seconds=50.0,
    )


@pytest.fixture
def record() -> Callable[..., PredictionRecord]:
    def make(name: str, *, arm: int = 0, share: float = 0.1, **changes: Any) -> PredictionRecord:
        fields: dict[str, Any] = {
            "prediction_id": name,
            "request_id": None,
            "event_time": 10.0,
            "wall_time": 10.0,
            "model": "flights",
            "version": 1 + arm,
            "digest": "sha256:1",
            "epoch": 2,
            "rollout": "flights-0001",
            "arm": arm,
            "share": share,
            "unit": f"unit-{name}",
            "sticky": True,
            "values": (),
            "sources": "",
            "ages_seconds": (),
            "score": 0.7,
            "outputs": (0.3, 0.7),
            "positive": True,
            "latency_ms": 5.0,
        }
        return PredictionRecord(**fields | changes)

    return make


@pytest.fixture
def outcome() -> Callable[..., Matured]:
    def make(of: PredictionRecord, value: float, previous: float | None = None) -> Matured:
        return Matured(facts=plain_facts(of), value=value, outcome_time=20.0, previous=previous)

    return make
