"""Payloads turned off field by field: what a journal is never given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from trimtab.protocols import JournalWriter
from trimtab.types import PredictionRecord, Signature

Naming = Callable[[str, int], tuple[Signature | None, frozenset[str]]]
"""The names whose values are withheld of a version, and its signature where there are any."""


class Withholding:
    """Takes values out of records before they reach a journal; a :class:`~trimtab.protocols.JournalWriter`.

    A record keeps a withheld feature's provenance and age, so whether it was missing, and has its place in
    ``withheld``; the value itself is written nowhere. Keys of entities that are withheld are left out.

    Args:
        journal: What gets the records.
        naming: What of a model's version is withheld; asked once for each version and epoch, since another
            epoch may serve other feature views.
    """

    def __init__(self, journal: JournalWriter, naming: Naming) -> None:
        self._journal = journal
        self._naming = naming
        self._known: dict[tuple[str, int, int], tuple[tuple[int, ...], frozenset[str]]] = {}

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records without what is withheld, all or none."""
        self._journal.append([self._without(record) for record in records])

    def put(
        self, records: Sequence[PredictionRecord], *, last: bool = False
    ) -> Awaitable[None] | None:
        """As :meth:`append`, on an event loop."""
        return self._journal.put([self._without(record) for record in records], last=last)

    def close(self) -> None:
        """Sync and close; idempotent."""
        self._journal.close()

    def _without(self, record: PredictionRecord) -> PredictionRecord:
        key = (record.model, record.version, record.epoch)
        if key not in self._known:
            signature, names = self._naming(record.model, record.version)
            order = signature.names if signature is not None else ()
            places = tuple(at for at, name in enumerate(order) if name in names)
            self._known[key] = (places, names)
        places, names = self._known[key]
        if not names or not record.values:
            return record
        values = list(record.values)
        for at in places:
            values[at] = None
        entities = {name: key for name, key in record.entities.items() if name not in names}
        return replace(record, values=tuple(values), entities=entities, withheld=places)
