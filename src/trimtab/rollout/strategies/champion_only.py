"""Everybody gets the champion."""

from __future__ import annotations

from trimtab.types import Route


class ChampionOnly:
    """The strategy of a model without a rollout, whatever its slot table says."""

    name = "champion_only"

    def route(self, slot: int, route: Route) -> int:  # noqa: ARG002 - the Protocol's arguments
        """Always arm 0."""
        return 0
