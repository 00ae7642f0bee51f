"""The nouns: frozen records that cross rooms.

Units stand in names or docstrings. Times are Unix seconds in UTC: ``event_time`` is when the thing
happened in the world, ``wall_time`` is when Trimtab saw it. Shares and rates lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Scalar = float | int | str | bool | None
"""One raw feature value; ``None`` is missing."""

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen, slotted record; every noun below is one."""


# --------------------------------------------------------------------------- models


class FeatureKind(StrEnum):
    """How a feature's values are typed and compared."""

    NUMERIC = "numeric"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"


class Task(StrEnum):
    """What a model answers."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class FeatureSpec(Record, frozen=True):
    """One input of a model.

    ``nullable`` says that the training frame had missing values, so the model can take one.
    ``unit`` is free text such as ``mile`` or ``minute after midnight``.
    """

    name: str
    kind: FeatureKind
    nullable: bool = False
    unit: str | None = None


class Signature(Record, frozen=True):
    """What a model takes and answers.

    ``threshold`` turns a binary score into a decision: ``score >= threshold``.
    ``labels`` are the classes in the order of the output columns (binary: negative, positive).
    """

    features: tuple[FeatureSpec, ...]
    task: Task
    labels: tuple[str, ...] = ()
    threshold: float = 0.5

    @property
    def names(self) -> tuple[str, ...]:
        """The feature names in the model's order."""
        return tuple(feature.name for feature in self.features)


class Columns(Record, frozen=True):
    """Rows of features, column by column, in the signature's order.

    Numeric, integer and boolean columns are ``float64`` with NaN for missing; categorical columns
    are ``object`` arrays of ``str`` with ``None`` for missing. Each has shape ``(rows,)``.
    """

    features: tuple[FeatureSpec, ...]
    arrays: tuple[Array, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.arrays[0]) if self.arrays else 0


class Version(Record, frozen=True):
    """One immutable version of a model, as the registry knows it.

    ``digest`` is ``sha256:<hex>`` over the artifact's bytes. ``metrics`` are held-out figures, for
    example ``{"roc_auc": .71, "accuracy": .8, "rows": 9000}``. ``lineage`` names data, code, parent.
    ``trusted_by`` is who allowed a format that can run code, ``""`` if nobody.
    """

    model: str
    version: int
    digest: str
    format: str
    size_bytes: int
    signature: Signature
    created_at: float
    author: str = ""
    description: str = ""
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}
    profile_digest: str | None = None
    views: tuple[str, ...] = ()
    trusted_by: str = ""


class Alias(Record, frozen=True):
    """A movable name for a version: ``champion`` or ``challenger``."""

    model: str
    alias: str
    version: int
    since: float
    actor: str
    reason: str


# --------------------------------------------------------------------------- routing


class Arm(Record, frozen=True):
    """One side of a traffic split. ``share`` is in [0, 1] and a multiple of 1/10,000."""

    name: str
    version: int
    share: float


class Route(Record, frozen=True):
    """Who answers for a model, valid for one epoch.

    ``arms[0]`` is the champion. ``slots`` has 10,000 bytes, each the index of the arm that owns the
    slot. ``hash_name`` is stored so that a later release can never re-bucket a running experiment.
    """

    model: str
    epoch: int
    arms: tuple[Arm, ...]
    slots: bytes
    salt: str
    hash_name: str = "xxh3_64/multiply-shift/1"
    rollout: str | None = None
    strategy: str = "champion_only"

    @property
    def champion(self) -> int:
        """The version that answers when a candidate fails."""
        return self.arms[0].version


class Assignment(Record, frozen=True):
    """Where a routing key goes. ``sticky`` is false when no key was given."""

    arm: int
    sticky: bool


# --------------------------------------------------------------------------- rollouts


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
    """

    WRONG_DECISION = "wrong_decision"
    MISSED_POSITIVE = "missed_positive"
    FALSE_ALARM = "false_alarm"
    POSITIVE_OUTCOME = "positive_outcome"
    ERROR = "error"
    SLOW = "slow"


class GuardrailSpec(Record, frozen=True, forbid_unknown_fields=True):
    """One thing that must not get worse.

    ``margin`` is the relative harm that is tolerated, in [0, 1). ``weight`` is this guardrail's part
    of the plan's alpha. ``cost_per_event`` is in ``currency``.
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


class RampStep(Record, frozen=True, forbid_unknown_fields=True):
    """Hold ``share`` of the traffic for at least ``bake_seconds`` of event time."""

    share: float
    bake_seconds: float


class PromotionPolicy(StrEnum):
    """What may promote without a person."""

    CERTIFIED = "certified"
    NO_HARM = "no_harm"
    MANUAL = "manual"


class RolloutPlan(Record, frozen=True, forbid_unknown_fields=True):
    """How a candidate reaches everybody, or does not.

    ``alpha`` bounds the chance of ever rolling back a candidate that is not worse, over all
    guardrails. ``certificate_margin`` is the relative harm that promotion must rule out.
    """

    steps: tuple[RampStep, ...]
    guardrails: tuple[GuardrailSpec, ...]
    alpha: float = 0.05
    outcome_delay_seconds: float = 0.0
    certificate_margin: float = 0.2
    promote: PromotionPolicy = PromotionPolicy.CERTIFIED


class RolloutState(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    HELD = "held"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Rollout(Record, frozen=True):
    """One candidate on its way. ``step_since`` is the event time at which its step began."""

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


class GuardrailReading(Record, frozen=True):
    """A guardrail's evidence so far, per arm ``(control, candidate)``.

    ``e_value`` and ``certificate`` are e-values: at ``limit`` the harm, or the absence of harm beyond
    the certificate's margin, is established. ``excess`` counts the candidate's harm beyond what its
    share explains, an estimate: events more (or, where fewer are worse, fewer) than control's lead one
    to expect; ``cost`` is its price so far.
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


class Exposure(Record, frozen=True):
    """A unit's first answer within a rollout; ``share`` is the candidate's share at that moment."""

    rollout: str
    unit: str
    arm: int
    share: float
    event_time: float


# --------------------------------------------------------------------------- features


class Provenance(StrEnum):
    """Where a feature value came from; journalled as the one-letter code."""

    REQUEST = "request"
    REALTIME = "realtime"
    BATCH = "batch"
    DEFAULT = "default"
    MISSING = "missing"

    @property
    def code(self) -> str:
        """One letter: ``q r b d -``."""
        return _CODES[self]


_CODES = {
    Provenance.REQUEST: "q",
    Provenance.REALTIME: "r",
    Provenance.BATCH: "b",
    Provenance.DEFAULT: "d",
    Provenance.MISSING: "-",
}


class StoredRow(Record, frozen=True):
    """What a feature store holds for one entity: values by feature name, as of ``event_time``."""

    values: Mapping[str, Scalar]
    event_time: float


class Resolved(Record, frozen=True):
    """One row's features in the signature's order, with where each came from and how old it is.

    ``sources`` has one provenance code a feature; ``ages_seconds`` is None for request and default.
    """

    values: tuple[Scalar, ...]
    sources: str
    ages_seconds: tuple[float | None, ...]


# --------------------------------------------------------------------------- predictions


class RowRequest(Record, frozen=True):
    """One row to be scored. ``key`` is the routing key; ``entities`` are taken from ``features``."""

    features: Mapping[str, Scalar]
    key: str | None = None
    prediction_id: str | None = None
    event_time: float | None = None


class PredictRequest(Record, frozen=True):
    """What a client asks of a model, whatever the wire format was."""

    rows: tuple[RowRequest, ...]
    request_id: str | None = None
    deadline_ms: float | None = None
    version: int | None = None


class Prediction(Record, frozen=True):
    """One answered row. ``outputs`` are class probabilities or the regression value."""

    prediction_id: str
    version: int
    arm: str
    score: float
    outputs: tuple[float, ...]
    decision: str | float
    sources: str


class PredictAnswer(Record, frozen=True):
    """What the caller gets."""

    model: str
    epoch: int
    predictions: tuple[Prediction, ...]


class PredictionRecord(msgspec.Struct, frozen=True, array_like=True):
    """One journalled prediction: all that monitoring, audits and retraining need.

    ``unit`` is the hex hash of the routing key, ``share`` the candidate's share when this unit was
    exposed, ``sources`` one provenance code a feature, ``latency_ms`` the time of the whole request.
    ``failed`` counts the candidate's failure when the champion had to answer in its place: then
    ``arm`` and ``share`` are the candidate's, ``version`` is the champion's.
    """

    prediction_id: str
    request_id: str | None
    event_time: float
    wall_time: float
    model: str
    version: int
    digest: str
    epoch: int
    rollout: str | None
    arm: int
    share: float
    unit: str
    sticky: bool
    values: tuple[Scalar, ...]
    sources: str
    ages_seconds: tuple[float | None, ...]
    score: float
    outputs: tuple[float, ...]
    positive: bool | None
    latency_ms: float
    failed: str | None = None
    shadow: bool = False


class OutcomeRecord(Record, frozen=True):
    """What became known later about a prediction: a label, a conversion, an amount."""

    model: str
    prediction_id: str
    value: float
    event_time: float
    received_at: float


class OutcomeReceipt(Record, frozen=True):
    """What happened to one outcome: ``recorded``, ``duplicate``, ``corrected`` or ``unknown``."""

    prediction_id: str
    status: str
    message: str = ""
    hint: str = ""


class PredictionFacts(Record, frozen=True):
    """What the outcome join keeps of a prediction. ``positive`` is the decision of a classifier."""

    prediction_id: str
    model: str
    version: int
    rollout: str | None
    arm: int
    share: float
    unit: str
    event_time: float
    score: float
    positive: bool | None


class Matured(Record, frozen=True):
    """A prediction with its outcome; ``previous`` is the outcome that a correction replaces."""

    facts: PredictionFacts
    value: float
    outcome_time: float
    previous: float | None = None


# --------------------------------------------------------------------------- watching


class Window(Record, frozen=True):
    """A span of event time ``[start, end)`` of one version that is ready to be compared.

    ``content`` is what the subject folded: sketches, score counts, or a rollout's readings.
    """

    subject: str
    model: str
    version: int
    start: float
    end: float
    rows: int
    content: Any


class Comparison(Record, frozen=True):
    """One feature, metric or pair, compared with its reference over one window.

    ``score`` is an effect size in [0, 1] that grows with drift; ``noise_floor`` is the score expected
    without drift at this sample size; ``floor`` is the smallest effect that matters. ``p_value`` is
    None where a statistic has none. ``words`` says what changed, for people. ``interval`` is the 95 %
    interval of ``current_value``, where one is known.
    """

    name: str
    statistic: str
    score: float
    noise_floor: float
    floor: float
    p_value: float | None
    words: str = ""
    reference_value: float | None = None
    current_value: float | None = None
    importance: float = 1.0
    interval: tuple[float, float] | None = None


class State(StrEnum):
    """What a verdict says of a subject."""

    NOT_ENOUGH_DATA = "not_enough_data"
    STEADY = "steady"
    WATCH = "watch"
    DRIFTED = "drifted"


class Verdict(Record, frozen=True):
    """The judged state of one subject over one window.

    ``score`` is the largest flagged effect, else the largest effect above its noise floor, in [0, 1].
    ``evidence`` is the Shiryaev-Roberts value; an alarm to people is raised when it first reaches
    ``alarm_at`` in an excursion. ``since`` is the start of the first flagged window of this excursion.
    ``readings`` are a rollout's guardrails.
    """

    subject: str
    model: str
    version: int
    start: float
    end: float
    rows: int
    state: State
    score: float
    evidence: float
    alarm_at: float
    alarmed: bool
    since: float | None
    comparisons: tuple[Comparison, ...]
    flagged: tuple[str, ...]
    words: str
    readings: tuple[GuardrailReading, ...] = ()


# --------------------------------------------------------------------------- acting


class Severity(StrEnum):
    """Who is woken: ``page`` now, ``ticket`` tomorrow, ``info`` nobody."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


class Alert(Record, frozen=True):
    """A message to people. While one with the same ``key`` is open, repeats are counted, not sent."""

    key: str
    severity: Severity
    title: str
    body: str
    model: str
    version: int | None
    event_time: float
    runbook: str = ""


class AuditEntry(Record, frozen=True):
    """One line of the hash-chained audit log; ``at`` is wall time."""

    seq: int
    at: float
    actor: str
    action: str
    model: str
    detail: dict[str, Any]
    reason: str
    previous: str
    hash: str
