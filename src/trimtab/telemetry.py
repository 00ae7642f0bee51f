"""Every metric's name, once; with ``metric_files`` the only file that imports the metrics library."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import sub
from struct import Struct
from threading import Lock
from typing import Any, Literal, TypeVar

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPEN_METRICS

__all__ = [
    "ALL",
    "CONTENT_TYPE_LATEST",
    "OPEN_METRICS",
    "UNKNOWN",
    "MetricSpec",
    "Metrics",
    "know_process",
    "shared_metrics",
]

LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
UNKNOWN = "unknown"
"""The model of requests for names that nothing bears, and of those that name none."""

STAGES = ("validate", "features", "predict", "record")
"""What a prediction goes through: its body is read and checked; its arm is chosen and its features are filled;
it is scored; its record is made and written."""

STAGE_BUCKETS = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0,
)  # fmt: skip
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
AGE_BUCKETS = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)

M = TypeVar("M", bound=Counter | Gauge | Histogram)
Soon = Callable[[Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric's name, kind, labels and meaning; ``mode`` is how gauges join over processes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    mode: Literal["mostrecent", "livesum", "liveall"] = "mostrecent"
    buckets: tuple[float, ...] = LATENCY_BUCKETS


_MODEL = ("model", "model_version")

ALL: tuple[MetricSpec, ...] = (
    MetricSpec("ml_predictions_total", "counter", _MODEL, "Rows answered."),
    MetricSpec("ml_prediction_duration_seconds", "histogram", ("model",), "Request, whole, s."),
    MetricSpec(
        "ml_request_stage_seconds",
        "histogram",
        ("model", "stage"),
        "A request's stages, s.",
        buckets=STAGE_BUCKETS,
    ),
    MetricSpec("ml_model_accuracy", "gauge", _MODEL, "Accuracy on the last matured window."),
    MetricSpec(
        "ml_measured_performance",
        "gauge",
        (*_MODEL, "metric", "bound"),
        "A metric on the last matured window: value, low, high.",
    ),
    MetricSpec(
        "ml_estimated_performance",
        "gauge",
        (*_MODEL, "metric", "bound"),
        "A metric estimated without outcomes: value, low, high.",
    ),
    MetricSpec("ml_data_drift_score", "gauge", _MODEL, "Largest data drift effect, 0 to 1."),
    MetricSpec(
        "ml_feature_drift_score", "gauge", (*_MODEL, "feature"), "Drift effect of a feature."
    ),
    MetricSpec(
        "ml_feature_skew_ratio", "gauge", (*_MODEL, "feature"), "Served values unlike the history."
    ),
    MetricSpec("ml_prediction_drift_score", "gauge", _MODEL, "Drift effect of the scores, 0 to 1."),
    MetricSpec("ml_data_quality_score", "gauge", _MODEL, "Largest fault in the data, 0 to 1."),
    MetricSpec(
        "ml_segment_score", "gauge", (*_MODEL, "subject", "segment"), "Score of a segment, 0 to 1."
    ),
    MetricSpec("ml_drift_evidence", "gauge", (*_MODEL, "subject"), "Shiryaev-Roberts value."),
    MetricSpec("ml_availability_ratio", "gauge", ("model",), "Requests not failed by the server."),
    MetricSpec(
        "ml_error_budget_ratio", "gauge", ("model",), "Error budget left; below 0 overspent."
    ),
    MetricSpec(
        "ml_batch_rows", "histogram", ("model",), "Rows a gathered call.", buckets=BATCH_BUCKETS
    ),
    MetricSpec("ml_requests_total", "counter", ("model", "code"), "Requests by HTTP status."),
    MetricSpec("ml_requests_in_flight", "gauge", (), "Requests being answered.", "livesum"),
    MetricSpec("ml_requests_shed_total", "counter", ("reason",), "Requests refused for overload."),
    MetricSpec("ml_connections_open", "gauge", (), "Open connections.", "livesum"),
    MetricSpec("ml_connections_cut_total", "counter", ("reason",), "Connections ended by a limit."),
    MetricSpec("ml_candidate_failures_total", "counter", _MODEL, "Rows the champion had to take."),
    MetricSpec(
        "ml_shadow_predictions_total", "counter", _MODEL, "Rows a shadow answered; nobody got them."
    ),
    MetricSpec(
        "ml_shadow_dropped_total", "counter", _MODEL, "Rows too old when the shadow came to them."
    ),
    MetricSpec(
        "ml_compact_refused_total",
        "counter",
        (*_MODEL, "reason"),
        "Compiled forms refused at load; the original answers.",
    ),
    MetricSpec(
        "ml_feature_source_total",
        "counter",
        ("model", "view", "source"),
        "Feature values by provenance.",
    ),
    MetricSpec("ml_feature_fallback_ratio", "gauge", _MODEL, "Largest fallback ratio, 0 to 1."),
    MetricSpec(
        "ml_feature_age_seconds",
        "histogram",
        ("model", "view"),
        "Oldest stored value of a request, s.",
        buckets=AGE_BUCKETS,
    ),
    MetricSpec(
        "ml_feature_deadline_misses_total",
        "counter",
        ("model", "view"),
        "Requests whose deadline passed before a read was done.",
    ),
    MetricSpec(
        "ml_feature_hedges_total", "counter", ("store", "result"), "Second reads: sent, won."
    ),
    MetricSpec("ml_feature_reads_shared_total", "counter", ("store",), "Reads of many requests."),
    MetricSpec(
        "ml_feature_cache_total", "counter", ("store", "result"), "Rows: fresh, absent, stale."
    ),
    MetricSpec("ml_feature_store_failures_total", "counter", ("store",), "Failed store reads."),
    MetricSpec(
        "ml_feature_refused_total", "counter", ("view", "feature"), "Stored values of a wrong type."
    ),
    MetricSpec(
        "ml_feature_rows_written_total", "counter", ("view", "status"), "Rows pushed over HTTP."
    ),
    MetricSpec(
        "ml_feature_reads_abandoned", "gauge", ("store",), "Late reads not yet ended.", "livesum"
    ),
    MetricSpec(
        "ml_feature_breaker_open",
        "gauge",
        ("store",),
        "1 open, 0.5 half-open, 0 closed.",
        "liveall",
    ),
    MetricSpec(
        "ml_prediction_log_dropped_total", "counter", ("reason",), "Records not journalled."
    ),
    MetricSpec("ml_journal_bytes_total", "counter", (), "Bytes appended to the journal."),
    MetricSpec(
        "ml_journal_damaged_bytes_total", "counter", (), "Damaged bytes skipped by readers."
    ),
    MetricSpec("ml_journal_failing", "gauge", (), "Processes that cannot record.", "livesum"),
    MetricSpec("ml_journal_unsampled_total", "counter", (), "Records of units left out."),
    MetricSpec("ml_journal_lag_seconds", "gauge", (), "Append to disk, last sync, s.", "liveall"),
    MetricSpec(
        "ml_journal_loss_bound_seconds", "gauge", (), "Most a power cut costs, s.", "liveall"
    ),
    MetricSpec("ml_journal_size_bytes", "gauge", ("kind",), "Bytes kept: segments, parts."),
    MetricSpec("ml_journal_compacted_total", "counter", (), "Records moved to Parquet."),
    MetricSpec(
        "ml_journal_removed_bytes_total", "counter", ("reason",), "Bytes that retention removed."
    ),
    MetricSpec("ml_journal_upkeep_failures_total", "counter", (), "Failed compactions."),
    MetricSpec(
        "ml_watch_lag_records", "gauge", (), "Records that the last tick left unread, about."
    ),
    MetricSpec("ml_watch_repeats_total", "counter", (), "Records of predictions read before."),
    MetricSpec("ml_outcomes_total", "counter", ("model", "status"), "Outcomes by receipt status."),
    MetricSpec("ml_rollout_share", "gauge", ("model", "arm"), "Share of an arm, 0 to 1."),
    MetricSpec(
        "ml_guardrail_evidence", "gauge", (*_MODEL, "guardrail"), "E-value; harm at 1/alpha."
    ),
    MetricSpec("ml_control_epoch", "gauge", (), "Control epoch that the worker serves.", "liveall"),
    MetricSpec("ml_alerts_total", "counter", ("model", "severity"), "Alerts opened."),
    MetricSpec("ml_alert_failures_total", "counter", ("channel",), "Failed deliveries of alerts."),
    MetricSpec("ml_worker_resident_bytes", "gauge", (), "Memory of a process, bytes.", "liveall"),
    MetricSpec("ml_model_load_seconds", "gauge", _MODEL, "Time to open and warm a version, s."),
    MetricSpec("ml_worker_restarts_total", "counter", (), "Workers that died and were replaced."),
)


class _Later:
    """Hands on what it is given when there is time, all of it at once."""

    __slots__ = ("_given", "_soon", "_take")

    def __init__(self, take: Callable[[list[Any]], None], soon: Soon) -> None:
        self._take, self._soon = take, soon
        self._given: list[Any] = []

    def __call__(self, *given: Any) -> None:
        if not self._given:
            self._soon(self._hand_on)
        self._given.append(given)

    def _hand_on(self) -> None:
        given, self._given = self._given, []
        self._take(given)


class _Counter(Counter):
    """A counter that can be added to without being asked whether it may count."""

    @property
    def add(self) -> Callable[[float], None]:
        """What adds to it."""
        value: Callable[[float], None] = self._value.inc
        return value


class _Histogram(Histogram):
    """A histogram that takes many values for little more than one."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Put a value in."""
        del exemplar
        self.observe_all((amount,))

    def observe_all(self, values: Iterable[float], times: int = 1) -> None:
        """Put values in, each so many times: sorted, so that a bucket's are found by its bounds and counted at once."""
        ordered, bounds, at = sorted(values), self._upper_bounds, 0
        self._sum.inc(sum(ordered) * times)
        while at < len(ordered):
            place = bisect_left(bounds, ordered[at])
            end = bisect_right(ordered, bounds[place], at)
            self._buckets[place].inc((end - at) * times)
            at = end


class Metrics:
    """Counts, gauges and histograms by name.

    Args:
        registry: Where they are registered; a new one if None.
        drop: Labels to leave out, for example ``("model",)`` for the in-process library.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, drop: tuple[str, ...] = ()
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._drop = frozenset(drop)
        self._later: Soon | None = None
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        for spec in ALL:
            labels = tuple(label for label in spec.labels if label not in self._drop)
            self._metrics[spec.name] = self._make(spec, labels)

    def _make(self, spec: MetricSpec, labels: tuple[str, ...]) -> Counter | Gauge | Histogram:
        if spec.kind == "counter":
            return _Counter(spec.name, spec.help, labels, registry=self.registry)
        if spec.kind == "gauge":
            return Gauge(
                spec.name, spec.help, labels, registry=self.registry, multiprocess_mode=spec.mode
            )
        return _Histogram(
            spec.name, spec.help, labels, registry=self.registry, buckets=spec.buckets
        )

    def count(self, name: str, amount: float = 1.0, **labels: object) -> None:
        """Add to a counter."""
        self._of(name, Counter, labels).inc(amount)

    def gauge(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._of(name, Gauge, labels).set(value)

    def add(self, name: str, amount: float, **labels: object) -> None:
        """Move a gauge by ``amount``."""
        self._of(name, Gauge, labels).inc(amount)

    def observe(self, name: str, value: float, **labels: object) -> None:
        """Put a value into a histogram."""
        self._of(name, Histogram, labels).observe(value)

    def counter(
        self, name: str, *, later: bool = False, **labels: object
    ) -> Callable[[float], None]:
        """What adds to one counter, looked up once; for places where each microsecond counts.

        Args:
            name: Its name.
            later: Whether it can wait as histograms do.
            labels: Its labels.
        """
        add = self._of(name, _Counter, labels).add
        if not later or self._later is None:
            return add
        return _Later(lambda amounts: add(sum(chain.from_iterable(amounts))), self._later)

    def setter(self, name: str, **labels: object) -> Callable[[float], None]:
        """What sets one gauge, looked up once."""
        return self._of(name, Gauge, labels).set

    def observer(self, name: str, **labels: object) -> Callable[..., None]:
        """What puts values into one histogram, looked up once."""
        observe = self._of(name, _Histogram, labels).observe_all
        if self._later is None:
            return lambda *values: observe(values)
        return _Later(lambda values: observe(chain.from_iterable(values)), self._later)

    def stages(self, model: str) -> Callable[[int, Sequence[float]], None]:
        """What takes when a model's :data:`STAGES` began and the last of them ended, behind the number of requests."""
        name = "ml_request_stage_seconds"
        histograms = [self._of(name, _Histogram, {"model": model, "stage": s}) for s in STAGES]

        def take(laps: list[tuple[int, Sequence[float]]]) -> None:
            alike: dict[int, list[Sequence[float]]] = {}
            for requests, ends in laps:
                alike.setdefault(requests, []).append(ends)
            for requests, moments in alike.items():
                for histogram, (began, ended) in zip(
                    histograms, pairwise(zip(*moments, strict=True)), strict=True
                ):
                    histogram.observe_all(map(sub, ended, began), requests)

        if self._later is None:
            return lambda requests, ends: take([(requests, ends)])
        return _Later(take, self._later)

    def gather(self, later: Soon) -> None:
        """From now on what histograms, and counters that can wait, are given adds up before it is counted.

        Args:
            later: Calls a function when there is time; what is looked up is for its thread.
        """
        self._later = later

    def _of(self, name: str, kind: type[M], labels: dict[str, object]) -> M:
        metric = self._metrics[name]
        if not isinstance(metric, kind):
            message = f"{name} is no {kind.__name__.lower()}"
            raise TypeError(message)
        kept = {key: str(value) for key, value in labels.items() if key not in self._drop}
        return metric.labels(**kept) if kept else metric


def know_process() -> None:
    """Let values in files know this process without asking the kernel at each change, which takes as long as the change.

    For a process that keeps its metrics in files, before it makes any.
    """
    known, lock, packed = [os.getpid()], Lock(), Struct("d").pack
    os.register_at_fork(after_in_child=lambda: known.__setitem__(0, os.getpid()))
    in_file: Any = values.MultiProcessValue(lambda: known[0])  # type: ignore[no-untyped-call]  # has no types

    class Value(in_file):  # type: ignore[misc]  # as above
        """Adds in one step what the library takes five for; in a forked process as the library does."""

        _value: float

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._process, self._at = known[0], self._file._positions[self._key]  # noqa: SLF001 - of the file's own

        def inc(self, amount: float) -> None:
            """Add."""
            if self._process != known[0]:
                super().inc(amount)
                return
            with lock:
                self._value = total = self._value + amount
                # Not written in place: a reader could see it while it is 0.
                self._file._m[self._at : self._at + 8] = packed(total)  # noqa: SLF001 - as above

    values.ValueClass = Value


_SHARED: dict[CollectorRegistry, Metrics] = {}
_SHARED_LOCK = Lock()


def shared_metrics(registry: CollectorRegistry = REGISTRY) -> Metrics:
    """The in-process library's metrics: one set a registry, without the label ``model``."""
    with _SHARED_LOCK:
        if registry not in _SHARED:
            _SHARED[registry] = Metrics(registry, drop=("model",))
        return _SHARED[registry]
