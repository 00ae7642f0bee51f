"""Every extension point and every seam between rooms, one Protocol each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trimtab.types import (
    Alert,
    Alias,
    AppliedView,
    AuditEntry,
    Columns,
    Comparison,
    Exposure,
    FloatArray,
    Ground,
    Matured,
    ModelFile,
    OutcomeReceipt,
    OutcomeRecord,
    PredictionFacts,
    PredictionRecord,
    Resolved,
    Rollout,
    Route,
    RowRequest,
    Scalar,
    Signature,
    SourceProgress,
    StoredRow,
    Verdict,
    Version,
    Window,
)

# --------------------------------------------------------------------------- extension points


class Predictor(Protocol):
    """A loaded model. Thread-safe; a batch equals its rows one by one."""

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows.

        Returns:
            Shape ``(rows, k)``: class probabilities (binary: two columns) or one regression value.
        """
        ...


@runtime_checkable
class ModelFormat(Protocol):
    """How one kind of artifact is recognised, written and loaded."""

    name: str
    runs_code: bool

    def sniff(self, path: Path) -> bool:
        """Whether this format can load the file; must not run any code from it."""
        ...

    def load(self, path: Path, signature: Signature) -> Predictor:
        """Load a file whose digest has been verified by the caller."""
        ...

    def accepts(self, model: object) -> bool:
        """Whether ``save`` can write this in-memory model."""
        ...

    def save(self, model: object, path: Path) -> None:
        """Write an in-memory model to ``path``."""
        ...


@runtime_checkable
class FolderFormat(Protocol):
    """A format whose models are folders, which may hold a file that another format serves."""

    def within(self, folder: Path) -> Path | None:
        """The file in the folder that is the model by itself; None if there is none."""
        ...


class FeatureStore(Protocol):
    """Where feature values wait, by view and entity. The caller owns the deadline."""

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist; an absent entity is omitted."""
        ...

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept."""
        ...

    async def ping(self) -> None:
        """Return if the store answers, raise if not."""
        ...

    async def close(self) -> None:
        """Release connections; idempotent."""
        ...


class AlertChannel(Protocol):
    """One way to reach people: deliver or raise. Retries are the caller's."""

    name: str

    async def send(self, alert: Alert) -> None:
        """Deliver once, or raise."""
        ...


class RolloutStrategy(Protocol):
    """Which arm owns a slot; pure, and asked once a route.

    One with an attribute ``sticky`` that is false is asked for the slot of the prediction's id instead of
    the routing key's.
    """

    name: str

    def route(self, slot: int, route: Route) -> int:
        """The index of the arm for ``slot`` in [0, 10000)."""
        ...


class DriftStatistic(Protocol):
    """How far a feature's current distribution is from its reference; pure."""

    name: str

    def score(self, reference: Any, current: Any) -> Comparison | None:
        """Compare two sketches of one feature; None where it does not apply."""
        ...


class ModelForm(Protocol):
    """One form of a model: as its library made it, compact, or quantised."""

    def outputs(self, rows: Any) -> FloatArray:
        """Class probabilities or values, shape ``(rows, k)``, of a matrix or a frame."""
        ...

    def write(self, path: Path) -> ModelFile:
        """Write it, adding the suffix of its kind; the file can be opened in another process."""
        ...


class OptimisationStep(Protocol):
    """One way to make a model smaller or faster.

    A lossless step keeps every decision path. A lossy one may offer several strengths, the mildest
    first; what each loses is measured by the planner, never promised by the step.
    """

    name: str
    lossless: bool

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """Other forms with words for each; none where the step does not apply to this form."""
        ...


# --------------------------------------------------------------------------- seams of flow 1


class Clock(Protocol):
    """Wall time, injected so that tests own it."""

    def now(self) -> float:
        """Unix seconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for latencies."""
        ...


class RowChecker(Protocol):
    """Validates one row against a model's signature."""

    def check(self, row: RowRequest, path: str) -> tuple[list[Scalar], dict[str, str]]:
        """Values in signature order (None is missing) and entity keys by name.

        Raises:
            InvalidRow: a type is wrong, a feature unknown, or one missing that no view provides.
        """
        ...

    def columns(self, rows: Sequence[Sequence[Scalar]]) -> Columns:
        """Rows of values in signature order as columns for a Predictor."""
        ...


class FeatureResolver(Protocol):
    """Fills missing features within a deadline."""

    async def resolve(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Sequence[Resolved]:
        """Realtime, else batch, else default, feature by feature.

        Raises:
            InvalidRow: a feature without a default that no source has, named.
        """
        ...


class JournalWriter(Protocol):
    """Appends predictions; when ``append`` returns, a killed process loses none of them."""

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records, all or none.

        Raises:
            Unavailable: the disk refused and the setting is to refuse.
        """
        ...

    def put(self, records: Sequence[PredictionRecord]) -> Awaitable[None] | None:
        """As ``append``, on an event loop: what has to wait for the disk is given to be awaited.

        Raises:
            Unavailable: as ``append``; also from what is awaited.
        """
        ...

    def close(self) -> None:
        """Sync and close; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class LiveArm:
    """A loaded version that can answer.

    ``pick`` maps the arm's own feature order to the champion's, in which rows are checked. ``one`` scores
    one row of values in the arm's own order, None for missing, as ``predictor`` would; None where
    there is no short way.
    """

    version: int
    digest: str
    signature: Signature
    predictor: Predictor
    checker: RowChecker
    pick: tuple[int, ...]
    one: Callable[[Sequence[Scalar]], Sequence[float]] | None = None


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


class CrashBoard(Protocol):
    """Candidates that end the process they run in."""

    def blocked(self, model: str, version: int) -> bool:
        """Whether a version has ended so many processes that it is not run any more."""
        ...

    def noted(self, predictor: Predictor, record: PredictionRecord) -> Predictor:
        """The predictor, which leaves the record behind should it end the process."""
        ...


class Board(Protocol):
    """The models that are live in this process now."""

    def live(self, model: str) -> LiveModel:
        """The model as of the newest epoch.

        Raises:
            NotFound: no such model, or it has no deployed version.
        """
        ...


# --------------------------------------------------------------------------- seams of flow 2


class JournalReader(Protocol):
    """Reads journal segments from stated offsets."""

    def read(
        self, offsets: Mapping[str, int], limit: int
    ) -> tuple[Sequence[PredictionRecord], Mapping[str, int]]:
        """Up to about ``limit`` records after ``offsets``, and the offsets behind them."""
        ...


class Windower(Protocol):
    """journal -> window: folds what was recorded into windows of one model version or rollout.

    Stateful and deterministic: the same records in the same order give the same windows, whatever
    the batches were. ``state`` is the transaction that also saves how far the watcher has read.
    """

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        ...

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded, saved with the offsets."""
        ...

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        ...


class Comparer(Protocol):
    """window -> compare: how far a window is from the reference; pure."""

    def compare(self, window: Window) -> Sequence[Comparison]: ...


class Judge(Protocol):
    """compare -> judge: what a window means, given all windows before."""

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict: ...

    def dump(self) -> bytes:
        """What is remembered of earlier windows, saved with the offsets."""
        ...

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        ...


class Actor(Protocol):
    """judge -> act: carries out what a verdict asks for, in the same transaction."""

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """Change what must change; what people are to be told."""
        ...


# --------------------------------------------------------------------------- state


class RegistryTx(Protocol):
    """Models, versions and aliases, within a transaction."""

    def add_version(self, version: Version) -> None: ...
    def next_version(self, model: str) -> int: ...
    def version(self, model: str, version: int) -> Version | None: ...
    def versions(self, model: str) -> Sequence[Version]: ...
    def models(self) -> Sequence[str]: ...
    def set_alias(self, alias: Alias) -> None: ...
    def drop_alias(self, model: str, alias: str) -> None: ...
    def aliases(self, model: str) -> Sequence[Alias]: ...


class ControlTx(Protocol):
    """Routes and rollouts, fenced by one epoch, within a transaction."""

    def epoch(self) -> int: ...
    def advance(self, expected: int) -> int:
        """Raise the epoch by one.

        Raises:
            Conflict: the epoch is no longer ``expected``; somebody else has acted.
        """
        ...

    def put_route(self, route: Route) -> None: ...
    def route(self, model: str) -> Route | None: ...
    def routes(self) -> Sequence[Route]: ...
    def put_rollout(self, rollout: Rollout) -> None: ...
    def rollout(self, rollout_id: str) -> Rollout | None: ...
    def rollouts(self, model: str | None = None) -> Sequence[Rollout]: ...


class AuditTx(Protocol):
    """The hash-chained audit log, within a transaction."""

    def last(self) -> AuditEntry | None: ...
    def add(self, entry: AuditEntry) -> None: ...
    def entries(self, model: str | None = None, limit: int = 1000) -> Sequence[AuditEntry]:
        """The newest ``limit`` entries, oldest first."""
        ...


class OutcomeTx(Protocol):
    """Outcomes and the index that joins them to predictions, within a transaction."""

    def add(self, outcomes: Sequence[OutcomeRecord]) -> Sequence[OutcomeReceipt]:
        """Keep outcomes idempotently: ``recorded``, ``duplicate`` or ``corrected``, in order."""
        ...

    def index(self, facts: Sequence[PredictionFacts]) -> frozenset[str]:
        """Keep facts; the prediction ids that were new."""
        ...

    def take_matured(self, limit: int) -> Sequence[Matured]:
        """Outcomes not yet taken whose prediction is known, marked as taken; oldest first."""
        ...

    def facts(self, model: str, prediction_ids: Sequence[str]) -> Mapping[str, PredictionFacts]: ...
    def values(self, model: str, prediction_ids: Sequence[str]) -> Mapping[str, float]: ...
    def counts(self, model: str) -> Mapping[int, tuple[int, int]]:
        """Predictions and outcomes joined to them, by version."""
        ...


class WatchTx(Protocol):
    """What the watcher derives, saved together with how far it has read."""

    def offsets(self) -> Mapping[str, int]: ...
    def save_offsets(self, offsets: Mapping[str, int]) -> None: ...
    def forget_offsets(self, segments: Sequence[str]) -> None: ...
    def blob(self, key: str) -> bytes | None: ...
    def save_blob(self, key: str, blob: bytes) -> None: ...
    def blobs(self, prefix: str) -> Mapping[str, bytes]:
        """What was saved under keys that begin so, by key."""
        ...

    def lock(self, name: str) -> None:
        """Hold a named lock until the transaction ends."""
        ...

    def add_verdict(self, verdict: Verdict) -> None: ...
    def verdicts(
        self, model: str, subject: str | None = None, version: int | None = None, limit: int = 1000
    ) -> Sequence[Verdict]:
        """The newest ``limit`` verdicts, oldest first."""
        ...

    def new_exposures(self, exposures: Sequence[Exposure]) -> Sequence[Exposure]:
        """Keep each unit's first exposure in its rollout; those that were first."""
        ...

    def exposures(self, rollout: str, units: Sequence[str]) -> Mapping[str, Exposure]: ...
    def new_events(self, rollout: str, guardrail: str, units: Sequence[str]) -> Sequence[str]:
        """Keep each unit's first event of a guardrail; those that were first, in order."""
        ...


class AlertTx(Protocol):
    """Open alerts and the queue of deliveries, within a transaction."""

    def open(self, alert: Alert, channels: Sequence[str]) -> bool:
        """Open an alert or count a repeat; whether it is new and was queued for ``channels``."""
        ...

    def close(self, key: str, event_time: float) -> bool:
        """Close an open alert; whether there was one."""
        ...

    def alerts(
        self, model: str | None = None, limit: int = 200
    ) -> Sequence[tuple[Alert, int, float | None]]:
        """The newest alerts, oldest first: alert, repeats, and when it was closed."""
        ...

    def due(self, now: float, limit: int) -> Sequence[tuple[int, str, Alert, int]]:
        """Deliveries to try: delivery id, channel, alert, attempts so far."""
        ...

    def delivered(self, delivery: int, now: float) -> None: ...
    def spread(self, delivery: int, channels: Sequence[str], now: float) -> None:
        """Put a delivery to each of ``channels`` in the place of one to ``EVERY_CHANNEL``."""
        ...

    def retry(self, delivery: int, at: float, error: str) -> None: ...


class FeatureTx(Protocol):
    """Applied feature views, and how far writing jobs are, within a transaction."""

    def add_view(self, applied: AppliedView) -> None:
        """Keep a new version of a view.

        Raises:
            Conflict: the view has this version already; versions never change.
        """
        ...

    def views(self) -> Sequence[AppliedView]:
        """The newest version of every view, by name."""
        ...

    def versions(self, view: str) -> Sequence[AppliedView]:
        """All versions of a view, oldest first."""
        ...

    def progress(self, job: str) -> Mapping[str, SourceProgress]:
        """How far a job has read each of its sources, by source."""
        ...

    def save_progress(self, job: str, progress: SourceProgress) -> None: ...
    def forget_progress(self, job: str) -> None: ...


class LeadershipTx(Protocol):
    """Which watcher acts: a lease with a term, within a transaction. After ``hold`` nobody begins another."""

    def leader(self, now: float, seconds: float) -> str | None: ...
    def claim(self, holder: str, now: float, seconds: float) -> int | None: ...
    def hold(self, term: int, now: float, seconds: float) -> bool: ...
    def resign(self, term: int) -> None: ...


class StateTx(Protocol):
    """One transaction over all state: everything in it commits, or nothing."""

    @property
    def registry(self) -> RegistryTx: ...
    @property
    def control(self) -> ControlTx: ...
    @property
    def audit(self) -> AuditTx: ...
    @property
    def outcomes(self) -> OutcomeTx: ...
    @property
    def watch(self) -> WatchTx: ...
    @property
    def alerts(self) -> AlertTx: ...
    @property
    def features(self) -> FeatureTx: ...
    @property
    def leadership(self) -> LeadershipTx: ...
    def setting(self, key: str) -> str | None: ...
    def save_setting(self, key: str, value: str) -> None: ...


class StateStore(Protocol):
    """The SQL state of a deployment."""

    def transaction(self) -> AbstractContextManager[StateTx]:
        """A write transaction; commits on leaving, rolls back on an exception."""
        ...

    def reading(self) -> AbstractContextManager[StateTx]:
        """A consistent snapshot for reading."""
        ...

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` soon after the epoch was raised anywhere, where the database can tell.

        A hint that may be lost: who needs the truth reads the epoch now and then. ``changed`` must not
        block; the function that is returned stops the calls.
        """
        ...

    def close(self) -> None:
        """Release connections; idempotent."""
        ...


class BlobStore(Protocol):
    """Bytes by digest (``sha256:<hex>``)."""

    def put(self, source: Path) -> tuple[str, int]:
        """Keep a file's bytes; digest and size in bytes. Idempotent, atomic."""
        ...

    def fetch(self, digest: str) -> Path:
        """A local file with those bytes, verified against the digest.

        Raises:
            NotFound: no such blob.
            Refused: the bytes do not have that digest.
        """
        ...


class EpochCell(Protocol):
    """The control epoch, read at every request; above 48 bits, how often this host rolled back alone."""

    def read(self) -> int: ...
    def publish(self, epoch: int) -> None:
        """Raise the epoch to ``epoch`` unless it is higher already."""
        ...
