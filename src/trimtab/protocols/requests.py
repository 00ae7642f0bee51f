"""The seams of flow 1: what one request passes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.errors import InvalidRow
from trimtab.protocols.extensions import Predictor
from trimtab.types import (
    Columns,
    PlainRow,
    PredictionRecord,
    Resolved,
    Route,
    RowRequest,
    Scalar,
    Signature,
)

Gathered = Callable[[Sequence[Scalar], float | None], Awaitable[Sequence[float]]]
"""Scores one row of values together with those of other requests, within a deadline in ms."""


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

    def keys_alone(
        self, columns: Mapping[str, Sequence[str]]
    ) -> tuple[list[list[Scalar]], list[dict[str, str]]] | None:
        """What ``check`` makes of rows that bring plain texts as their keys and nothing else; None if they do not."""
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


class Each(Protocol):
    """Fills rows of requests of their own within a deadline, in one go."""

    async def __call__(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
        /,
    ) -> Sequence[Resolved | InvalidRow]:
        """Each row, or what its request is refused with."""
        ...


class Turn(Protocol):
    """The turn of the event loop in which requests arrived together."""

    def soon(self, call: Callable[[], None]) -> None:
        """Put off a call to the end of this turn."""
        ...

    def ended(self) -> Awaitable[None]:
        """Wait for the end of this turn, behind what was put off until now."""
        ...

    def until(self, waiting: list[Callable[[], None]]) -> Awaitable[None]:
        """Wait until somebody calls what this adds to ``waiting``, in whichever turn."""
        ...


class JournalWriter(Protocol):
    """Appends predictions; when ``append`` returns, a killed process loses none of them."""

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records, all or none.

        Raises:
            Unavailable: the disk refused and the setting is to refuse.
        """
        ...

    def put(
        self, records: Sequence[PredictionRecord], *, last: bool = False
    ) -> Awaitable[None] | None:
        """As ``append``, on an event loop: what has to wait is given to be awaited before the reply.

        Args:
            records: What was answered.
            last: Whether nothing else of this turn of the loop is worth waiting for.

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
    there is no short way. ``together`` does so with other requests' rows in one call, given the
    request's deadline in milliseconds; None where rows are not gathered. ``many`` scores several rows
    at once, each as ``one`` would to the last bit. ``read`` reads a JSON body of one row, which was there at a
    time in monotonic seconds, where nothing about it is unusual.
    """

    version: int
    digest: str
    signature: Signature
    predictor: Predictor
    checker: RowChecker
    pick: tuple[int, ...]
    one: Callable[[Sequence[Scalar]], Sequence[float]] | None = None
    together: Gathered | None = None
    many: Callable[[Sequence[Sequence[Scalar]]], Sequence[Sequence[float]]] | None = None
    read: Callable[[bytes, float], PlainRow | None] | None = None


@dataclass(frozen=True, slots=True)
class LiveModel:
    """All that a worker needs to answer for one model during one epoch.

    ``arms`` match ``route.arms``; an arm that could not be loaded is None, the champion never is. ``whole``
    is the short way of ``resolver`` for a row that came complete; it gives None where there is more to do.
    ``each`` fills rows of requests of their own, as ``resolver`` would each of them; None where there is no such way.
    ``views`` are the digests of the feature views that ``resolver`` was made of.
    """

    route: Route
    arms: tuple[LiveArm | None, ...]
    champion: LiveArm
    resolver: FeatureResolver
    deadline_ms: float
    feature_deadline_ms: float
    whole: Callable[[Sequence[Scalar]], Resolved | None] | None = None
    each: Each | None = None
    views: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether plain rows of several requests can be answered at once."""
        champion = self.champion
        return None not in (self.whole, champion.read, champion.many)


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
