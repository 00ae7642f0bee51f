"""Stored feature values, and where a value came from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

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
