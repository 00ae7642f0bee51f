"""A deployment's story, made by hand, for whatever shows one to people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.types import (
    Alert,
    AuditEntry,
    Comparison,
    FeatureKind,
    FeatureSpec,
    GuardrailReading,
    GuardrailSpec,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    Route,
    Severity,
    Signature,
    Stake,
    State,
    Task,
    UnitEvent,
    Verdict,
    Version,
)
from trimtab.types import Arm as RouteArm
from trimtab.wiring.overview import AlertView, Health, ModelOverview, VersionView

DAY = 86_400.0
MARCH = 1_362_096_000.0
NOW = 1_385_500_000.0
MODEL = "flights_late"
FEATURES = {
    "temperature": ("median 38 → 71.6 °F", 0.31),
    "dew_point": ("median 24.1 → 60.8 °F", 0.27),
    "wind_speed": ("median 11.5 → 8.06 mph", 0.09),
    "precipitation": ("at most 0 in: 94 % → 90 % of rows", 0.06),
    "visibility": ("missing 0.2 % → 3.1 %", 0.055),
    "carrier": ("`UA` 17 % → 18 %", 0.02),
    "origin": ("`EWR` 36 % → 35 %", 0.02),
    "destination": ("`CAK` and others are new, 0.4 % of rows", 0.03),
    "distance": ("median 872 → 888 mile", 0.015),
    "scheduled_departure": ("median 814 → 830 minute after midnight", 0.02),
    "scheduled_arrival": ("median 921 → 944 minute after midnight", 0.018),
    "weekday": ("`Sat` 13 % → 14 %", 0.008),
    "pressure": ("median 1,017 → 1,016 hPa", 0.04),
    "humidity": ("median 57.3 → 61.4 %", 0.045),
}


def wobble(i: int, size: float) -> float:
    return size * (math.sin(i * 12.9898) * 43758.5453 % 1.0 - 0.5)


def make_version(number: int, **changes: Any) -> Version:
    values: dict[str, Any] = {
        "model": MODEL,
        "version": number,
        "digest": "sha256:" + f"{number}c0ffee5eed" * 6 + "abcd",
        "format": "skops",
        "size_bytes": 1_284_000,
        "signature": Signature(
            features=tuple(FeatureSpec(name=n, kind=FeatureKind.NUMERIC) for n in FEATURES),
            task=Task.BINARY,
        ),
        "created_at": NOW - (5 - number) * 3_000.0,
        "author": "ines",
        "description": f"Gradient boosting, release {number}",
        "metrics": {"accuracy": 0.806, "roc_auc": 0.748, "rows": 9_214.0},
        "lineage": {"data": "flights of January and February 2013, 51,955 rows"},
        "profile_digest": "sha256:" + "7e" * 32,
    }
    return Version(**(values | changes))


def drift_verdict(day: int, version: int, strength: float, names: tuple[str, ...]) -> Verdict:
    comparisons = tuple(
        Comparison(
            name=name,
            statistic="ks",
            score=max(0.004, FEATURES.get(name, ("", 0.02))[1] * strength + wobble(day + i, 0.02)),
            noise_floor=0.012,
            floor=0.05,
            p_value=0.00002 if FEATURES.get(name, ("", 0))[1] * strength > 0.05 else 0.41,
            words=FEATURES.get(name, ("nothing", 0))[0],
        )
        for i, name in enumerate(names)
    )
    flagged = tuple(c.name for c in comparisons if c.score >= c.floor and (c.p_value or 1.0) < 0.05)
    score = max((c.score for c in comparisons if c.name in flagged), default=0.02)
    alarmed = score > 0.1
    return Verdict(
        subject="data_drift",
        model=MODEL,
        version=version,
        start=MARCH + day * DAY,
        end=MARCH + (day + 1) * DAY,
        rows=880 + day % 90,
        state=State.DRIFTED if alarmed else State.WATCH if flagged else State.STEADY,
        score=score,
        evidence=1_400.0 if alarmed else 2.0,
        alarm_at=1_000.0,
        alarmed=alarmed,
        since=MARCH + 31 * DAY if flagged else None,
        comparisons=comparisons,
        flagged=flagged,
        words=f"{len(flagged)} of {len(names)} differ from the reference. "
        "temperature: median 38 → 71.6 °F; dew_point: median 24.1 → 60.8 °F."
        if flagged
        else "Nothing has drifted.",
    )


def score_verdict(day: int, version: int, strength: float) -> Verdict:
    score = max(0.01, 0.13 * strength + wobble(day, 0.02))
    flagged = ("score",) if score > 0.05 else ()
    return Verdict(
        subject="prediction_drift",
        model=MODEL,
        version=version,
        start=MARCH + day * DAY,
        end=MARCH + (day + 1) * DAY,
        rows=880,
        state=State.WATCH if flagged else State.STEADY,
        score=score,
        evidence=3.0,
        alarm_at=1_000.0,
        alarmed=False,
        since=MARCH + 40 * DAY if flagged else None,
        comparisons=(
            Comparison(
                name="score",
                statistic="ks",
                score=score,
                noise_floor=0.012,
                floor=0.05,
                p_value=0.001,
                words="median 0.18 → 0.24",
            ),
        ),
        flagged=flagged,
        words="1 of 1 differ from the reference. score: median 0.18 → 0.24."
        if flagged
        else "Nothing has drifted.",
    )


def performance_verdict(day: int, version: int, accuracy: float, auc: float) -> Verdict:
    def compared(name: str, statistic: str, held_out: float, value: float) -> Comparison:
        return Comparison(
            name=name,
            statistic=statistic,
            score=max(0.0, held_out - value),
            noise_floor=0.006,
            floor=0.02,
            p_value=0.0004,
            words=f"{held_out:.3g} → {value:.3g} ({value - 0.026:.3g} to {value + 0.026:.3g}; "
            "861 of 874 outcomes known)",
            reference_value=held_out,
            current_value=value,
            interval=(value - 0.026, value + 0.026),
        )

    comparisons = (
        compared("accuracy", "proportion_z", 0.806, accuracy),
        compared("roc_auc", "delong_z", 0.748, auc),
        compared("brier", "mean_z", 0.142, 0.15),
    )
    flagged = tuple(c.name for c in comparisons[:2] if c.score >= c.floor)
    return Verdict(
        subject="performance",
        model=MODEL,
        version=version,
        start=MARCH + day * DAY,
        end=MARCH + (day + 1) * DAY,
        rows=861,
        state=State.WATCH if flagged else State.STEADY,
        score=max(c.score for c in comparisons),
        evidence=4.0,
        alarm_at=1_000.0,
        alarmed=False,
        since=MARCH + 60 * DAY if flagged else None,
        comparisons=comparisons,
        flagged=flagged,
        words="accuracy is below the held-out figure" if flagged else "Nothing has drifted.",
    )


PLAN = RolloutPlan(
    steps=tuple(RampStep(share=s, bake_seconds=3 * DAY) for s in (0.01, 0.05, 0.1, 0.25, 0.5)),
    guardrails=(
        GuardrailSpec(
            name="wrong_decision",
            event=UnitEvent.WRONG_DECISION,
            cost_per_event=40.0,
            currency="USD",
        ),
        GuardrailSpec(name="errors", event=UnitEvent.ERROR),
    ),
    outcome_delay_seconds=0.5 * DAY,
)


def readings(e_peak: float, units: int, events: int, cost: float | None) -> Verdict:
    wrong = GuardrailReading(
        guardrail="wrong_decision",
        units=(units * 9, units),
        events=(units * 2, events),
        e_value=e_peak * 0.9,
        e_peak=e_peak,
        certificate=0.4,
        limit=40.0,
        cost=cost,
        currency="USD",
        excess=events / 2,
        stake=Stake(answers=48.0, most=38.4, cost=cost and 1_536.0),
    )
    found = (
        replace(wrong, crossing=wrong if e_peak >= wrong.limit else None),
        GuardrailReading(
            guardrail="errors",
            units=(units * 9, units),
            events=(3, 0),
            e_value=0.8,
            e_peak=1.1,
            certificate=0.9,
            limit=40.0,
        ),
    )
    return Verdict(
        subject="guardrail",
        model=MODEL,
        version=0,
        start=MARCH,
        end=MARCH,
        rows=units * 10,
        state=State.DRIFTED,
        score=0.4,
        evidence=e_peak,
        alarm_at=40.0,
        alarmed=True,
        since=None,
        comparisons=(),
        flagged=(),
        words="",
        readings=found,
    )


def at(verdict: Verdict, version: int, day: float, rollout: str) -> Verdict:
    changed = {
        "version": version,
        "start": MARCH,
        "end": MARCH + day * DAY,
        "rollout": rollout,
    }
    values = {name: getattr(verdict, name) for name in verdict.__struct_fields__}
    return Verdict(**(values | changed))


def all_verdicts(days: int, names: tuple[str, ...]) -> list[Verdict]:
    """v1 from March drifts since April; v2 is champion from August; v3 lives three days."""
    found: list[Verdict] = []
    for day in range(days):
        season = min(1.0, max(0.0, (day - 28) / 90.0))
        if day < 165:
            found.append(drift_verdict(day, 1, season, names))
            found.append(score_verdict(day, 1, season))
            found.append(
                performance_verdict(
                    day,
                    1,
                    0.806 - 0.05 * season + wobble(day, 0.03),
                    0.745 - 0.07 * season + wobble(day + 7, 0.03),
                )
            )
        if day >= 146:
            later = min(1.0, max(0.0, (day - 200) / 60.0))
            found.append(drift_verdict(day, 2, 0.1 + 0.4 * later, names))
            found.append(score_verdict(day, 2, 0.5 * later))
            found.append(
                performance_verdict(
                    day, 2, 0.803 - 0.015 * later + wobble(day, 0.03), 0.752 + wobble(day + 3, 0.03)
                )
            )
        if day == 164:
            found.append(at(readings(3.2, 9_300, 1_950, 0.0), 2, day, "flights_late-0001"))
        if day == 224:
            found.append(at(readings(61.4, 1_204, 507, 5_840.0), 3, day, "flights_late-0002"))
    return found


def audit_entry(
    seq: int, age: float, actor: str, action: str, reason: str, **detail: Any
) -> AuditEntry:
    return AuditEntry(
        seq=seq,
        at=NOW - age,
        actor=actor,
        action=action,
        model=MODEL,
        detail=detail,
        reason=reason,
        previous="0" * 64,
        hash="1" * 64,
    )


def make_overview(**changes: Any) -> ModelOverview:
    """Ten months of a flight-delay model; ``names`` and ``days`` size it, other keys replace fields."""
    names = changes.pop("names", tuple(FEATURES))
    days = changes.pop("days", 270)
    rolled_back = (
        "Rolled back by the guardrail wrong_decision: the candidate had 507 among 1,204 units, control "
        "2,408 among 10,836; about 254 more than its share explains, an estimated cost of 5,840 USD "
        "(evidence 61.4, limit 40)."
    )
    rollouts = (
        Rollout(
            id="flights_late-0001",
            model=MODEL,
            control=1,
            candidate=2,
            plan=PLAN,
            state=RolloutState.PROMOTED,
            step=4,
            salt="a",
            started_at=NOW - 9_000,
            ended_at=NOW - 8_000,
            reason="Certified: a harm of 20% or more is ruled out for wrong_decision.",
        ),
        Rollout(
            id="flights_late-0002",
            model=MODEL,
            control=2,
            candidate=3,
            plan=PLAN,
            state=RolloutState.ROLLED_BACK,
            step=2,
            salt="b",
            started_at=NOW - 5_000,
            ended_at=NOW - 4_600,
            reason=rolled_back,
        ),
    )
    values: dict[str, Any] = {
        "model": MODEL,
        "health": Health.ACT,
        "because": (
            "Retrain flights_late: data drift since 1 Oct 2013",
            "Version 3 of flights_late was rolled back.",
        ),
        "route": Route(
            model=MODEL,
            epoch=9,
            arms=(RouteArm(name="champion", version=2, share=1.0),),
            slots=bytes(10_000),
            salt="s",
        ),
        "versions": (
            VersionView(
                version=make_version(1), aliases=("previous",), predictions=141_212, outcomes=137_804
            ),
            VersionView(
                version=make_version(2), aliases=("champion",), predictions=96_410, outcomes=94_022
            ),
            VersionView(
                version=make_version(3), aliases=("challenger",), predictions=1_231, outcomes=1_204
            ),
        ),
        "rollouts": rollouts,
        "verdicts": tuple(all_verdicts(days, names)),
        "alerts": (
            AlertView(
                alert=Alert(
                    key="flights_late/1/data_drift",
                    severity=Severity.TICKET,
                    title="Retrain flights_late: data drift since 1 Apr 2013",
                    body="temperature: median 38 → 71.6 °F; dew_point: median 24.1 → 60.8 °F.",
                    model=MODEL,
                    version=1,
                    event_time=MARCH + 45 * DAY,
                    runbook="drift",
                ),
                repeats=112,
                closed_at=MARCH + 165 * DAY,
            ),
            AlertView(
                alert=Alert(
                    key="flights_late/rollout/promote",
                    severity=Severity.INFO,
                    title="Version 2 of flights_late is the new champion.",
                    body="Certified: a harm of 20% or more is ruled out for wrong_decision.",
                    model=MODEL,
                    version=2,
                    event_time=MARCH + 164 * DAY,
                ),
                repeats=1,
                closed_at=None,
            ),
            AlertView(
                alert=Alert(
                    key="flights_late/rollout/roll_back",
                    severity=Severity.TICKET,
                    title="Version 3 of flights_late was rolled back.",
                    body=rolled_back,
                    model=MODEL,
                    version=3,
                    event_time=MARCH + 224 * DAY,
                    runbook="guardrail",
                ),
                repeats=1,
                closed_at=None,
            ),
        ),
        "events": (
            audit_entry(1, 20_000, "ines", "register", "first release", version=1),
            audit_entry(2, 19_000, "ines", "deploy", "first release", version=1, share=1.0),
            audit_entry(
                3, 9_000, "omar", "start", "retrained", rollout="flights_late-0001", candidate=2
            ),
            audit_entry(
                4, 8_000, "trimtab", "promote", rollouts[0].reason,
                rollout="flights_late-0001", candidate=2, control=1,
            ),
            audit_entry(
                5, 5_000, "omar", "start", "unit fix", rollout="flights_late-0002", candidate=3
            ),
            audit_entry(
                6, 4_600, "trimtab", "roll_back", rolled_back,
                rollout="flights_late-0002", candidate=3, control=2, after_promotion=False,
            ),
        ),
    }  # fmt: skip
    return ModelOverview(**(values | changes))


@dataclass
class FakeState:
    """A state to read from, told by overviews."""

    found: dict[str, ModelOverview]

    @contextmanager
    def reading(self) -> Iterator[Any]:
        nothing = make_overview(versions=(), verdicts=(), days=0)

        def of(model: str) -> ModelOverview:
            return self.found.get(model, nothing)

        yield SimpleNamespace(
            registry=SimpleNamespace(
                models=lambda: list(self.found),
                versions=lambda model: [v.version for v in of(model).versions],
                aliases=lambda _: [],
            ),
            control=SimpleNamespace(
                route=lambda model: of(model).route, rollouts=lambda model: of(model).rollouts
            ),
            outcomes=SimpleNamespace(
                counts=lambda model: {
                    v.version.version: (v.predictions, v.outcomes) for v in of(model).versions
                }
            ),
            watch=SimpleNamespace(
                verdicts=lambda model, subject, limit: [
                    v for v in of(model).verdicts if v.subject == subject
                ][-limit:]
            ),
            alerts=SimpleNamespace(
                alerts=lambda model: [(a.alert, a.repeats, a.closed_at) for a in of(model).alerts]
            ),
            audit=SimpleNamespace(entries=lambda model: of(model).events),
        )


@pytest.fixture
def overview_of() -> Callable[..., ModelOverview]:
    """Makes an overview; keywords replace what it holds."""
    return make_overview


@pytest.fixture
def state_of() -> Callable[..., FakeState]:
    """Makes a state from overviews by model."""
    return FakeState


class Balance(HTMLParser):
    """Tags that another's end closed, or that nothing did."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag not in {"meta", "link", "br", "img", "hr", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture
def unbalanced() -> Callable[[str], list[str]]:
    """The tags of a document that are not closed in order."""

    def check(html: str) -> list[str]:
        parser = Balance()
        parser.feed(html)
        return parser.wrong + parser.open

    return check


@pytest.fixture
def text_of() -> Callable[[str], str]:
    """The text of a document's body, with single spaces."""

    def read(html: str) -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", html[html.index("<body") :]).split())

    return read
