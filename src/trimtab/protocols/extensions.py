"""The extension points: what a user or a package may bring, one Protocol each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trimtab.types import (
    Alert,
    Columns,
    Comparison,
    FloatArray,
    Ground,
    ModelFile,
    Route,
    Signature,
    StoredRow,
)


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
