"""Stored feature values, and where a value came from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from trimtab.types.record import Record, Scalar


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

    @classmethod
    def of(cls, code: str) -> Provenance:
        """The provenance that a letter stands for."""
        return _OF_CODE[code]


_CODES = {
    Provenance.REQUEST: "q",
    Provenance.REALTIME: "r",
    Provenance.BATCH: "b",
    Provenance.DEFAULT: "d",
    Provenance.MISSING: "-",
}
_OF_CODE = {code: provenance for provenance, code in _CODES.items()}


class StoredRow(Record, frozen=True, gc=False):
    """What a feature store holds for one entity: values by feature name, as of ``event_time``."""

    values: Mapping[str, Scalar]
    event_time: float


class Resolved(Record, frozen=True, gc=False):
    """One row's features in the signature's order, with where each came from and how old it is.

    ``sources`` has one provenance code a feature; ``ages_seconds`` is None for request and default.
    """

    values: tuple[Scalar, ...]
    sources: str
    ages_seconds: tuple[float | None, ...]


class AppliedView(Record, frozen=True):
    """One immutable version of a feature view, as it was applied.

    ``digest`` is ``sha256:<hex>`` over ``body``, the definition, and ``code``, the digests of the source
    of its transforms by name. The newest version of a view is the one that is served.
    """

    view: str
    version: int
    digest: str
    applied_at: float
    actor: str
    reason: str
    body: dict[str, Any]
    code: dict[str, str]


class SourceProgress(Record, frozen=True):
    """How far a job has read one source; ``stamp`` tells whether the source is still the same."""

    source: str
    stamp: str
    done: int
