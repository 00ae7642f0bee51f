"""A model with its metrics, its drift score and its retraining alert."""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from typing import Any, Protocol

from trimtab.config import WatchConfig
from trimtab.errors import InvalidConfig, InvalidInput
from trimtab.library.tables import model_input
from trimtab.log_events import Event
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics, shared_metrics
from trimtab.wiring.clock import SystemClock

log = logging.getLogger(__name__)

_OUTCOME_ROWS = 1_000


class Detector(Protocol):
    """What scores the drift of the rows it has seen so far; see :class:`trimtab.DriftDetector`."""

    def score(self, features: object) -> float:
        """Add rows; how far they have drifted, in [0, 1]."""
        ...


class ProductionModel:
    """Predicts with any model, and keeps watch over what it predicts on; thread-safe.

    On Prometheus' default registry it counts ``ml_predictions_total`` and observes
    ``ml_prediction_duration_seconds``; with a detector it sets ``ml_data_drift_score``, and with
    outcomes ``ml_model_accuracy``, which does not exist before.

    Args:
        model: Has ``predict``.
        drift_detector: Usually a :class:`trimtab.DriftDetector`; None watches nothing.
        version: The value of the label ``model_version``.
        retrain_threshold: A drift score above this raises the retraining alert, once.
        drift_threshold: A score below this ends the excursion: the next one alerts again.
        metrics: Where to count; the library's own on the default registry if None.
        clock: Monotonic time.

    Raises:
        InvalidConfig: the thresholds are not ``0 <= drift_threshold <= retrain_threshold <= 1``.

    Example:
        >>> class Doubler:
        ...     def predict(self, rows):
        ...         return [2 * x for (x,) in rows]
        >>> ProductionModel(Doubler()).predict([[1], [2]])
        [2, 4]
    """

    def __init__(
        self,
        model: Any,
        drift_detector: Detector | None = None,
        *,
        version: str = "1",
        retrain_threshold: float = WatchConfig().retrain_threshold,
        drift_threshold: float = WatchConfig().drift_threshold,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not 0 <= drift_threshold <= retrain_threshold <= 1:
            raise InvalidConfig(
                f"The thresholds {drift_threshold!r} (drift) and {retrain_threshold!r} (retrain) "
                "are not in order.",
                hint="Choose 0 <= drift_threshold <= retrain_threshold <= 1.",
                path="retrain_threshold",
            )
        self.model = model
        self.drift_detector = drift_detector
        self.version = str(version)
        self.drift_score = 0.0
        self._retrain_at = retrain_threshold
        self._calm_below = drift_threshold
        self._metrics = shared_metrics() if metrics is None else metrics
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._in_excursion = False
        self._unwatched = False
        self._right: deque[bool] = deque(maxlen=_OUTCOME_ROWS)

    def predict(self, features: object) -> Any:
        """Predict one row or several.

        Rows that the model takes and the detector cannot compare are predicted, logged and counted.

        Args:
            features: What the model takes; also a dict or a flat array for one row, if the model
                was fitted with scikit-learn's interface.

        Returns:
            What ``model.predict`` returns.
        """
        started = self._clock.monotonic()
        predictions = self.model.predict(model_input(self.model, features))
        seconds = self._clock.monotonic() - started
        rows = len(predictions) if hasattr(predictions, "__len__") else 1
        self._metrics.observe("ml_prediction_duration_seconds", seconds)
        self._metrics.count("ml_predictions_total", rows, model_version=self.version)
        if self.drift_detector is not None:
            self._watch(self.drift_detector, features)
        return predictions

    def trigger_retraining_alert(self) -> None:
        """Called once an excursion of the drift score; override it to start retraining."""
        log.warning(
            "%s: drift score %.3f of model version %s is above %.3f: retrain",
            Event.ALERT_OPENED,
            self.drift_score,
            self.version,
            self._retrain_at,
        )

    def record_outcomes(self, predictions: Any, outcomes: Any) -> float | None:
        """Compare predictions with what became known later, and set the accuracy gauge.

        Args:
            predictions: Decided classes, one or several.
            outcomes: As many; None or NaN where still unknown.

        Returns:
            The accuracy over the last 1,000 known outcomes, in [0, 1]; None if there are none.

        Raises:
            InvalidInput: there are not as many of each, or the predictions are no decisions.
        """
        predicted, known = _listed(predictions), _listed(outcomes)
        if len(predicted) != len(known):
            raise InvalidInput(
                f"There are {len(predicted)} predictions and {len(known)} outcomes.",
                hint="Pass one outcome a prediction, None where it is not known yet.",
                code="unequal_lengths",
                path="outcomes",
            )
        for at, value in enumerate(predicted):
            if isinstance(value, float) and not value.is_integer():
                raise InvalidInput(
                    f"The prediction {value!r} is no class, so it is neither right nor wrong.",
                    hint="Pass decided classes, for example probability >= 0.5.",
                    code="not_a_class",
                    path=f"predictions[{at}]",
                )
        with self._lock:
            self._right.extend(
                p == o for p, o in zip(predicted, known, strict=True) if not _unknown(o)
            )
            if not self._right:
                return None
            accuracy = sum(self._right) / len(self._right)
        self._metrics.gauge("ml_model_accuracy", accuracy, model_version=self.version)
        return accuracy

    def _watch(self, detector: Detector, features: object) -> None:
        try:
            score = detector.score(features)
        except InvalidInput as refused:
            self._metrics.count("ml_prediction_log_dropped_total", reason=refused.code)
            if not self._unwatched:
                log.warning("%s: drift is not watched: %s", Event.JOURNAL_DROPPED, refused)
                self._unwatched = True
            return
        self._metrics.gauge("ml_data_drift_score", score, model_version=self.version)
        with self._lock:
            self.drift_score = score
            alert = score > self._retrain_at and not self._in_excursion
            self._in_excursion = alert or (self._in_excursion and score >= self._calm_below)
        if alert:
            self._alert()

    def _alert(self) -> None:
        try:
            self.trigger_retraining_alert()
        except Exception:
            log.exception("%s: the retraining alert raised", Event.ALERT_FAILED)


def _listed(values: Any) -> list[Any]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    elif hasattr(values, "to_list"):
        values = values.to_list()
    return list(values) if isinstance(values, list | tuple) else [values]


def _unknown(outcome: object) -> bool:
    return outcome is None or outcome != outcome  # noqa: PLR0124 - true of NaN alone
