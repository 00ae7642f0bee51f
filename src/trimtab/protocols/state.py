"""The state: registry, control, outcomes, watching, alerts, features and leadership in transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from trimtab.types import (
    Alert,
    Alias,
    AppliedView,
    AuditEntry,
    Exposure,
    Matured,
    OutcomeReceipt,
    OutcomeRecord,
    PredictionFacts,
    Rollout,
    Route,
    SourceProgress,
    Verdict,
    Version,
)


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

    def take_turn(self) -> None:
        """Wait until nobody else changes routes or rollouts; nobody does until this transaction ends.

        Whoever changes what it has read reads it after this: else a change that was committed in between
        would be undone.
        """
        ...

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

    def index(self, facts: Sequence[PredictionFacts]) -> Sequence[int]:
        """Keep facts; the places of those predictions that were new, each once, in order."""
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

    def hand_over(self, key: str, body: bytes) -> None:
        """Leave something about a rollout, or a version's performance, for the watcher that leads."""
        ...

    def has_handed(self) -> bool:
        """Whether something was left."""
        ...

    def take_handed(self) -> Sequence[tuple[str, bytes]]:
        """All that was left, oldest first, each with its key; it is taken once."""
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

    def epoch(self) -> int:
        """The control epoch, in much less time than ``reading`` takes: for who asks often whether anything has changed."""
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
    """Bytes by digest (``sha256:<hex>`` or ``blake3:<hex>``)."""

    def put(self, source: Path, kind: str = "sha256") -> tuple[str, int]:
        """Keep a file's bytes; digest of that kind and size in bytes. Idempotent, atomic."""
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
