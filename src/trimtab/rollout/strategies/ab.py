"""Several candidates at once: each takes the slots that its ramp has given it."""

from __future__ import annotations

from trimtab.types import Route


class Ab:
    """The arm that owns the slot, of any number; each is judged against control by itself."""

    name = "ab"

    def route(self, slot: int, route: Route) -> int:
        """The slot's owner."""
        return route.slots[slot]
