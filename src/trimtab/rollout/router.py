"""Which arm answers a row: hash, slot, strategy. At most 1 µs."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.errors import NotFound
from trimtab.protocols import RolloutStrategy
from trimtab.rollout import slots
from trimtab.rollout.split import HASH_NAME, check_hash, slot, unit_hash
from trimtab.rollout.strategies.ab import Ab
from trimtab.rollout.strategies.canary import Canary
from trimtab.rollout.strategies.champion_only import ChampionOnly
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.types import Assignment, Route

BUILT_IN: Mapping[str, RolloutStrategy] = {
    strategy.name: strategy for strategy in (ChampionOnly(), Canary(), Ab(), Shadow())
}
_STICKY = tuple(Assignment(arm=arm, sticky=True) for arm in range(slots.MAX_ARMS))
_LOOSE = tuple(Assignment(arm=arm, sticky=False) for arm in range(slots.MAX_ARMS))


class Router:
    """Assigns routing keys to arms.

    Args:
        strategies: By name; the built-in ones if None.
    """

    __slots__ = ("_strategies",)

    def __init__(self, strategies: Mapping[str, RolloutStrategy] | None = None) -> None:
        self._strategies = BUILT_IN if strategies is None else strategies

    def check(self, route: Route) -> None:
        """Refuse a route before it takes traffic.

        Raises:
            Conflict: its hash is unknown.
            NotFound: its strategy is unknown.
            InvalidPlan: its table is of the wrong size, or names an arm that it does not have.
        """
        check_hash(route)
        slots.check(route.slots)
        if route.strategy not in self._strategies:
            raise NotFound(
                f"There is no rollout strategy named {route.strategy!r}.",
                code="unknown_strategy",
                path="strategy",
                hint=f"Known: {', '.join(sorted(self._strategies))}.",
            )
        slots.check_arms(route.slots, len(route.arms))

    def assign(self, route: Route, key: str | None, fallback_id: str) -> Assignment:
        """Where a row goes.

        Args:
            route: A route that ``check`` has let pass.
            key: The routing key; None or empty if the caller sent none.
            fallback_id: The request's or prediction's id, which spreads rows without a key.

        Returns:
            The arm; not sticky without a key, since the next request may go elsewhere. A key with an
            override gets its version's, and is not drawn.

        Raises:
            Conflict: the route's hash is unknown.
            InvalidRow: the key is no valid Unicode text.
        """
        if route.hash_name != HASH_NAME:
            check_hash(route)
        if route.overrides and key:
            chosen = _chosen(route, key)
            if chosen is not None:
                return chosen
        strategy = self._strategies[route.strategy]
        if key:
            return _STICKY[strategy.route(slot(route.salt, key), route)]
        return _LOOSE[strategy.route(slot(route.salt, fallback_id), route)]


def _chosen(route: Route, key: str) -> Assignment | None:
    """Where an override sends a key; None without one, or once its version does not answer."""
    version = (route.overrides or {}).get(unit_hash(key))
    for arm, each in enumerate(route.arms):
        if each.version == version:
            return Assignment(arm=arm, sticky=True, drawn=False)
    return None


assign = Router().assign
"""``Router.assign`` with the built-in strategies."""
