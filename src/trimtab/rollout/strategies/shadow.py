"""A candidate answers beside the champion, and nobody gets its answers."""

from __future__ import annotations

from trimtab.rollout.split import slot
from trimtab.types import PredictionRecord, Route


class Shadow:
    """Everybody gets the champion; what the table gives the candidate is how much it is shown."""

    name = "shadow"

    def route(self, slot: int, route: Route) -> int:  # noqa: ARG002 - the Protocol's arguments
        """Always arm 0."""
        return 0


def shown_to(route: Route, record: PredictionRecord) -> int:
    """The arm that is to answer beside the champion; 0 if none is.

    The slot is that of the journalled unit, since the journal keeps no routing keys: the same unit
    is shown or not in every process, and more units as the ramp goes on.

    Args:
        route: Of the strategy ``shadow``.
        record: What the champion has answered.
    """
    return route.slots[slot(route.salt, record.unit)]
