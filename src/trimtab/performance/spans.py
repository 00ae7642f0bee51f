"""A version's predictions by the window of event time that they fall into."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trimtab.config import WatchConfig
from trimtab.recordtable import Places, RecordTable
from trimtab.types import FloatArray


class Spans(NamedTuple):
    """The places of records: by the index of their window, and those whose window had closed before."""

    in_time: list[tuple[int, Places]]
    late: Places


def spans(records: RecordTable, own: Places, reached: FloatArray, config: WatchConfig) -> Spans:
    """Some records by their windows, oldest window first.

    A window closes ``lateness_seconds`` after its end.

    Args:
        records: Those of a model.
        own: The places of those that are wanted.
        reached: The watermark at each of all records.
        config: Spans in event time.
    """
    indices = np.floor(records.floats("event_time")[own] / config.window_seconds)
    ends = (indices + 1) * config.window_seconds
    in_time = reached[own] < ends + config.lateness_seconds
    found = [
        (int(index), own[in_time & (indices == index)])
        for index in np.unique(indices[in_time]).tolist()
    ]
    return Spans(found, own[~in_time])
