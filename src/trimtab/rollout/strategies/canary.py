"""A candidate takes the slots that the ramp has given it."""

from __future__ import annotations

from trimtab.types import Route


class Canary:
    """The arm that owns the slot in the route's persisted table."""

    name = "canary"

    def route(self, slot: int, route: Route) -> int:
        """The slot's owner, for any number of arms."""
        return route.slots[slot]
