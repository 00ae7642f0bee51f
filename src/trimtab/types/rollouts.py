"""Candidates on their way: plans, guardrails, readings, exposures."""

from __future__ import annotations

from enum import StrEnum

from msgspec.structs import force_setattr

from trimtab.types.record import Record


class Harm(StrEnum):
    """Which event rate is harmful in the candidate."""

    MORE = "more"
    FEWER = "fewer"


class GuardrailAction(StrEnum):
    """What a crossed guardrail does."""

    ROLL_BACK = "roll_back"
    HOLD = "hold"
    ALERT = "alert"


class UnitEvent(StrEnum):
    """What a guardrail counts, once a unit.

    ``wrong_decision``: decision and outcome disagree. ``missed_positive``: positive outcome that was
    decided negative. ``false_alarm``: the reverse. ``positive_outcome``: for example a conversion.
    ``error``: the arm raised, timed out or answered nonsense. ``slow``: latency over ``slow_ms``.
    ``fallback``: a feature came from a batch store or was a default.
    ``prediction_drift``: the score is above ``score_above``; more and fewer are both harmful.
    ``outcome_value``: not whether but how much: the outcome itself, between ``low`` and ``high``.
    """

    WRONG_DECISION = "wrong_decision"
    MISSED_POSITIVE = "missed_positive"
    FALSE_ALARM = "false_alarm"
    POSITIVE_OUTCOME = "positive_outcome"
    ERROR = "error"
    SLOW = "slow"
    FALLBACK = "fallback"
    PREDICTION_DRIFT = "prediction_drift"
    OUTCOME_VALUE = "outcome_value"


class GuardrailSpec(Record, frozen=True, forbid_unknown_fields=True):
    """One thing that must not get worse.

    ``margin`` is the relative harm that is tolerated, in [0, 1). ``weight`` is this guardrail's part
    of the plan's alpha. ``cost_per_event`` is in ``currency``; of an ``outcome_value`` it is the cost of
    one unit of the outcome. ``low`` and ``high`` bound outcomes: what lies beyond counts as the bound, and
    ``margin`` is relative to the distance from ``low``. ``score_above`` is the fixed threshold of a
    ``prediction_drift``, whose ``harm`` is either way.
    """

    name: str
    event: UnitEvent
    harm: Harm = Harm.MORE
    margin: float = 0.0
    weight: float = 1.0
    action: GuardrailAction = GuardrailAction.ROLL_BACK
    min_events: int = 10
    slow_ms: float | None = None
    cost_per_event: float | None = None
    currency: str = ""
    low: float = 0.0
    high: float | None = None
    score_above: float | None = None


class RampStep(Record, frozen=True, forbid_unknown_fields=True):
    """Hold ``share`` of the traffic for at least ``bake_seconds`` of event time.

    With several candidates ``share`` is theirs together, in equal parts, unless ``shares`` states each
    one's; then ``share`` is the sum.
    ``approval`` names the role, ``operator`` or ``admin``, that has to confirm the step before it
    begins; empty if nobody has to.
    """

    bake_seconds: float
    share: float = 0.0
    approval: str = ""
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.shares:
            force_setattr(self, "share", round(sum(self.shares), 9))


class RampHours(Record, frozen=True, forbid_unknown_fields=True):
    """When a candidate may get more traffic: from hour ``begin`` until hour ``end`` of these days.

    Hours are in [0, 24] on the clock of ``time_zone``, an IANA name; with ``begin`` above ``end`` they
    run over midnight, and the day is the one on which they began. ``days`` are ISO weekdays: 1 is
    Monday. Rolling back knows no hours.
    """

    begin: int = 0
    end: int = 24
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    time_zone: str = "UTC"


class PromotionPolicy(StrEnum):
    """What may promote without a person."""

    CERTIFIED = "certified"
    NO_HARM = "no_harm"
    MANUAL = "manual"


class RolloutPlan(Record, frozen=True, forbid_unknown_fields=True):
    """How a candidate reaches everybody, or does not.

    ``alpha`` bounds the chance of ever rolling back a candidate that is not worse, over all
    guardrails. ``certificate_margin`` is the relative harm that promotion must rule out. ``hours`` are
    those in which the candidate may get more. A rollout that has not ended ``time_limit_seconds`` of
    event time after its first unit is held or rolled back, as ``on_time_limit`` says.

    ``strategy`` says how the candidate meets traffic: ``canary`` answers its share of the routing keys;
    ``ab`` does so with any number of candidates at once, each judged against control by itself;
    ``shadow`` answers beside the champion, and nobody gets its answers; ``bandit`` moves shares to what
    earns positive outcomes, at most every ``bake_seconds`` of its one step and down to ``explore``, and is
    not sticky; ``interleave`` makes one list of both rankings of a request's rows.
    """

    steps: tuple[RampStep, ...]
    guardrails: tuple[GuardrailSpec, ...]
    alpha: float = 0.05
    outcome_delay_seconds: float = 0.0
    certificate_margin: float = 0.2
    promote: PromotionPolicy = PromotionPolicy.CERTIFIED
    hours: RampHours | None = None
    time_limit_seconds: float | None = None
    on_time_limit: GuardrailAction = GuardrailAction.HOLD
    strategy: str = "canary"
    explore: float = 0.01


class RolloutState(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    HELD = "held"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Rollout(Record, frozen=True):
    """One candidate on its way.

    ``step_since`` is the event time at which its step began, ``approved`` the steps that the named
    role has confirmed. ``rivals`` are further candidates, the versions of the arms from 2 on; ``lost`` are
    the arms that were taken off the traffic, ``baked`` those that are done with this step. ``held_by`` are
    the guardrails whose crossing has held it once, as ``arm/name``.
    """

    id: str
    model: str
    control: int
    candidate: int
    plan: RolloutPlan
    state: RolloutState
    step: int
    salt: str
    started_at: float
    step_since: float | None = None
    ended_at: float | None = None
    reason: str = ""
    approved: tuple[int, ...] = ()
    rivals: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    baked: tuple[int, ...] = ()
    held_by: tuple[str, ...] = ()


class Stake(Record, frozen=True):
    """What a candidate can still lose before outcomes show it, an estimate.

    ``answers`` are those that it gives within one outcome delay; ``most`` is what they can lose, in events
    or in the outcome's unit, and ``cost`` its price.
    """

    answers: float
    most: float
    cost: float | None = None


class GuardrailReading(Record, frozen=True):
    """A guardrail's evidence so far, per arm ``(control, candidate)``.

    ``e_value`` and ``certificate`` are e-values: at ``limit`` the harm, or the absence of harm beyond
    the certificate's margin, is established. ``excess`` counts the candidate's harm beyond what its
    share explains, an estimate: events more (or, where fewer are worse, fewer) than control's lead one
    to expect; ``cost`` is its price so far. Of a guardrail on values, ``events`` are the outcomes,
    ``amounts`` their sums above ``low``, and ``excess`` is in the outcome's unit. ``crossing`` is the
    reading as it was when harm was established; None before. ``stake`` is what can still be lost; None of
    what is known at once.
    """

    guardrail: str
    units: tuple[int, int]
    events: tuple[int, int]
    e_value: float
    e_peak: float
    certificate: float
    limit: float
    cost: float | None = None
    currency: str = ""
    excess: float = 0.0
    amounts: tuple[float, float] | None = None
    crossing: GuardrailReading | None = None
    stake: Stake | None = None


class Exposure(Record, frozen=True):
    """A unit's first answer within a rollout; ``share`` is the candidate's share at that moment."""

    rollout: str
    unit: str
    arm: int
    share: float
    event_time: float
