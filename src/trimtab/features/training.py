"""What a training set is made of: events, and views whose history is joined to them."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.config import ViewConfig
from trimtab.features.history import History
from trimtab.features.steps import PlannedTransform
from trimtab.types import Record


class TrainingPlan(Record, frozen=True):
    """What is joined to events.

    ``views`` are definitions by name, ``histories`` their past values. ``steps`` are transforms whose
    places count in ``slots``. ``defaults`` fills what is missing as serving does; ``times`` adds a
    column ``<view>.event_time`` with the time of the row that was taken.
    """

    time_column: str
    views: Mapping[str, ViewConfig]
    histories: Mapping[str, History]
    steps: tuple[PlannedTransform, ...] = ()
    slots: tuple[str, ...] = ()
    defaults: bool = True
    times: bool = False
