"""Requests, answers, journal records, and what became known later."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trimtab.types.features import Provenance
from trimtab.types.record import Record, Scalar

PROCESS_EXIT = "process_exit"
"""The failure of a candidate that ended the process it ran in."""


class RowRequest(Record, frozen=True):
    """One row to be scored. ``key`` is the routing key; ``entities`` are taken from ``features``."""

    features: Mapping[str, Scalar]
    key: str | None = None
    prediction_id: str | None = None
    event_time: float | None = None


class PredictRequest(Record, frozen=True):
    """What a client asks of a model, whatever the wire format was.

    ``provenance`` asks for where each feature's value came from.
    """

    rows: tuple[RowRequest, ...]
    request_id: str | None = None
    deadline_ms: float | None = None
    version: int | None = None
    provenance: bool = False


class PlainRow(Record, frozen=True, gc=False):
    """A row that came complete and checked, in a request of its own that asks for nothing else.

    ``began`` is when the request was there, in monotonic seconds. ``wanted`` is how the answer is to look, which whoever
    read the request knows and nobody else asks.
    """

    values: tuple[Scalar, ...]
    key: str | None
    began: float
    request_id: str | None = None
    wanted: object = None


class FeatureOrigin(Record, frozen=True, omit_defaults=True):
    """The value that a feature had, where it came from, and how old it was in event time."""

    source: Provenance
    value: Scalar
    age_seconds: float | None = None


class Prediction(Record, frozen=True, omit_defaults=True):
    """One answered row. ``outputs`` are class probabilities or the regression value.

    ``features`` are there for those who asked for provenance. ``sticky`` is there, and false, where the
    strategy lets the same key get another version the next time. ``rank``, from 1 on, is there where the
    rows of the request were interleaved: then their scores are of two models and do not order them.
    """

    prediction_id: str
    version: int
    arm: str
    score: float
    outputs: tuple[float, ...]
    decision: str | float
    sources: str
    features: Mapping[str, FeatureOrigin] | None = None
    sticky: bool = True
    rank: int | None = None


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
    ``arm`` and ``share`` are the candidate's, ``version`` is the champion's. With ``shadow`` nobody got the
    answer: a shadow's, or none at all where the candidate ended its process. ``rollout`` is None where
    none was under way, or where somebody chose the arm. ``entities`` are the keys by
    which views were looked up. ``shares`` are all arms' shares, control first, where there are several
    candidates. ``withheld`` has the places of features whose values the journal was not given: None
    in ``values`` does not say there that they were missing, ``sources`` does. ``answered`` are the score and
    the latency in milliseconds of the answer that was given where a shadow's was not.
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
    entities: dict[str, str] = msgspec.field(default_factory=dict)
    shares: tuple[float, ...] = ()
    withheld: tuple[int, ...] = ()
    answered: tuple[float, float] | None = None


class FeaturesAnswer(Record, frozen=True, omit_defaults=True):
    """What a model's features are for the rows of a request, in the order of ``features``.

    ``sources`` has one provenance code a feature; ``ages_seconds`` is there for those who ask for it.
    """

    model: str
    version: int
    features: tuple[str, ...]
    values: list[tuple[Scalar, ...]]
    sources: list[str]
    ages_seconds: list[tuple[float | None, ...]] | None = None


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
    """What the outcome join keeps of a prediction. ``positive`` is the decision of a classifier.

    What few models need is None for the others: ``outputs`` are kept of a model of several classes,
    ``request_id`` of a ranking, ``segments`` (values by feature) where performance has some, ``shares`` of
    all arms where there are several candidates.
    """

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
    outputs: tuple[float, ...] | None = None
    request_id: str | None = None
    segments: dict[str, Scalar] | None = None
    shares: tuple[float, ...] | None = None


class Matured(Record, frozen=True):
    """A prediction with its outcome; ``previous`` is the outcome that a correction replaces."""

    facts: PredictionFacts
    value: float
    outcome_time: float
    previous: float | None = None
