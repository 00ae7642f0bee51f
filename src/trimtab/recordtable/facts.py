"""What the outcome join keeps of many predictions, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, overload

from trimtab.types import PredictionFacts

NAMES = PredictionFacts.__struct_fields__


class Facts(Sequence[PredictionFacts]):
    """Facts of some predictions, made one by one only for those who ask so.

    Args:
        columns: Each field of :class:`~trimtab.types.PredictionFacts`, of each prediction.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["prediction_id"])

    @overload
    def __getitem__(self, at: int) -> PredictionFacts: ...
    @overload
    def __getitem__(self, at: slice) -> Facts: ...
    def __getitem__(self, at: int | slice) -> PredictionFacts | Facts:
        cells: dict[str, Any] = {name: column[at] for name, column in self.columns.items()}
        return Facts(cells) if isinstance(at, slice) else PredictionFacts(**cells)

    def where(self, places: Sequence[int]) -> Facts:
        """Those at some places."""
        return Facts({name: [column[at] for at in places] for name, column in self.columns.items()})


def facts_of(facts: Iterable[PredictionFacts]) -> Facts:
    """Facts column by column; what is :class:`Facts` already stays as it is."""
    if isinstance(facts, Facts):
        return facts
    rows = list(facts)
    return Facts({name: list(map(attrgetter(name), rows)) for name in NAMES})
