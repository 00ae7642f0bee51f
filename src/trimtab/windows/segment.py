"""A part of the traffic that is watched apart: the rows with one value of one feature."""

from __future__ import annotations

import numpy as np

from trimtab.sketch import IntArray
from trimtab.types import Record
from trimtab.windows.batch import VersionRows


class Segment(Record, frozen=True):
    """The rows in which the feature at ``position`` has ``value``, written as text."""

    feature: str
    position: int
    value: str

    @property
    def name(self) -> str:
        """``country = DE``, as in verdicts."""
        return f"{self.feature} = {self.value}"

    def places(self, rows: VersionRows) -> IntArray:
        """Which of the rows belong to it."""
        if not len(rows.rows):
            return rows.rows
        return np.flatnonzero(rows.texts(self.position) == self.value)
