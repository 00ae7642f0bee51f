"""Which arm answers a row: hash, slot, strategy. At most 1 µs."""

from __future__ import annotations

from collections.abc import Mapping

from xxhash import xxh3_64_intdigest

from trimtab.errors import NotFound
from trimtab.protocols import RolloutStrategy
from trimtab.rollout import slots
from trimtab.rollout.split import SLOTS, check_hash, slot, unit_hash
from trimtab.rollout.strategies.ab import Ab
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.canary import Canary
from trimtab.rollout.strategies.champion_only import ChampionOnly
from trimtab.rollout.strategies.interleave import Interleave
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.types import Assignment, Route

BUILT_IN: Mapping[str, RolloutStrategy] = {
    strategy.name: strategy
    for strategy in (ChampionOnly(), Canary(), Ab(), Bandit(), Interleave(), Shadow())
}
_STICKY = tuple(Assignment(arm=arm, sticky=True) for arm in range(slots.MAX_ARMS))
_LOOSE = tuple(Assignment(arm=arm, sticky=False) for arm in range(slots.MAX_ARMS))


_Compiled = tuple[Route, bytes, bytes, bool, bool, Assignment | None]
"""A route made ready: itself, its salt, who owns each slot, whether it is sticky, whether a key alone
decides, and where all go who send no key, if that is one arm. A plain tuple, which unpacks faster than named
fields are read."""


class Router:
    """Assigns routing keys to arms.

    Args:
        strategies: By name; the built-in ones if None.
    """

    __slots__ = ("_compiled", "_strategies")

    def __init__(self, strategies: Mapping[str, RolloutStrategy] | None = None) -> None:
        self._strategies = BUILT_IN if strategies is None else strategies
        self._compiled: dict[str, _Compiled] = {}

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
        try:
            known, prefix, owners, sticky, plain, every = self._compiled[route.model]
        except KeyError:
            known, prefix, owners, sticky, plain, every = self._compile(route)
        if known is not route:
            _, prefix, owners, sticky, plain, every = self._compile(route)
        if every is not None and not key:
            return every
        if plain and key:
            try:
                return _STICKY[owners[(xxh3_64_intdigest(prefix + key.encode()) * SLOTS) >> 64]]
            except UnicodeEncodeError:
                slot(route.salt, key)  # raises with the words
                raise
        if key and route.overrides:
            chosen = _chosen(route, key)
            if chosen is not None:
                return chosen
        if key and sticky:
            return _STICKY[owners[slot(route.salt, key)]]
        return _LOOSE[owners[slot(route.salt, fallback_id)]]

    def _compile(self, route: Route) -> _Compiled:
        """Ask the strategy for every slot, once a route."""
        check_hash(route)
        strategy = self._strategies[route.strategy]
        sticky = bool(getattr(strategy, "sticky", True))
        owners = bytes([strategy.route(at, route) for at in range(SLOTS)])
        plain = sticky and not route.overrides
        every = _LOOSE[owners[0]] if len(set(owners)) == 1 else None
        compiled = (route, f"{route.salt}:".encode(), owners, sticky, plain, every)
        self._compiled[route.model] = compiled
        return compiled


def _chosen(route: Route, key: str) -> Assignment | None:
    """Where an override sends a key; None without one, or once its version does not answer."""
    version = (route.overrides or {}).get(unit_hash(key))
    for arm, each in enumerate(route.arms):
        if each.version == version:
            return Assignment(arm=arm, sticky=True, drawn=False)
    return None


assign = Router().assign
"""``Router.assign`` with the built-in strategies."""
