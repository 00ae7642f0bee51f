"""One change of traffic by one actor: route, rollout, aliases, alerts, audit row and epoch together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from xxhash import xxh3_64_hexdigest

from trimtab.errors import Conflict
from trimtab.protocols import Clock, StateTx
from trimtab.rollout import audit, slots
from trimtab.rollout.arms import CONTROL_ARM, arm_name, candidates, shares_at
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.interleave import Interleave
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.rollout.telling import alert_key, tell
from trimtab.types import Alias, Arm, Rollout, RolloutState, Route

OPEN = frozenset({RolloutState.RUNNING, RolloutState.HELD})
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


@dataclass(frozen=True, slots=True)
class Change:
    """One change by one actor, within one transaction.

    Args:
        state: The transaction.
        actor: Who changes.
        reason: Why.
        clock: Wall time.
        expected_epoch: The epoch at which what was decided on was true: a Conflict if somebody has acted
            since. None stands for the epoch of the transaction itself.
        event_time: That of the evidence which was decided on, for the message to people; None for now.
        named: The aliases that it moved.

    Raises:
        InvalidInput: no actor or no reason.
    """

    state: StateTx
    actor: str
    reason: str
    clock: Clock
    expected_epoch: int | None = None
    event_time: float | None = None
    named: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        audit.require(self.actor, self.reason)
        self.state.control.take_turn()

    def raise_epoch(self) -> int:
        """The next epoch, if nobody has acted since the one that was decided on.

        Raises:
            Conflict: somebody has.
        """
        control = self.state.control
        seen = control.epoch() if self.expected_epoch is None else self.expected_epoch
        return control.advance(seen)

    def to_one(self, model: str, version: int) -> Route:
        """Everybody to one version."""
        route = Route(
            model=model,
            epoch=self.raise_epoch(),
            arms=(Arm(name=CONTROL_ARM, version=version, share=1.0),),
            slots=slots.all_control(),
            salt=xxh3_64_hexdigest(model.encode()),
        )
        self.state.control.put_route(route)
        return route

    def to_both(self, rollout: Rollout, table: bytes) -> None:
        """The step's shares of slots to the candidates; those that are lost keep none."""
        given = shares_at(rollout, rollout.step)
        kept = rollout.plan.strategy == Bandit.name and any(table)  # it moves its shares itself
        grown = table if kept else slots.grow(table, given)
        owned = list(slots.shares(grown, len(given) + 1))
        if rollout.plan.strategy in (
            Shadow.name,
            Interleave.name,
        ):  # the champion answers everybody
            owned[0] = 1.0
        versions = (rollout.control, *candidates(rollout))
        before = self.state.control.route(rollout.model)
        self.state.control.put_route(
            Route(
                model=rollout.model,
                epoch=self.raise_epoch(),
                arms=tuple(
                    Arm(name=arm_name(arm), version=version, share=share)
                    for arm, (version, share) in enumerate(zip(versions, owned, strict=True))
                ),
                slots=grown,
                salt=rollout.salt,
                rollout=rollout.id,
                strategy=rollout.plan.strategy,
                overrides=before.overrides if before is not None else None,
            )
        )

    def end(self, rollout: Rollout, how: RolloutState) -> Rollout:
        """Keep that a rollout has ended, and close its alerts."""
        ended = replace(rollout, state=how, ended_at=self.clock.now(), reason=self.reason.strip())
        self.state.control.put_rollout(ended)
        guardrails = (f"guardrail/{guardrail.name}" for guardrail in rollout.plan.guardrails)
        self.settle(rollout.model, "hold", *guardrails)
        if rollout.state in OPEN:
            self.unname(rollout.model, CHALLENGER)
        return ended

    def turn(self, rollout: Rollout, to: RolloutState, action: str) -> Rollout:
        """Hold a rollout, or let it go on.

        Raises:
            Conflict: it stands so already, or the epoch has moved on.
        """
        if rollout.state is to:
            raise Conflict(
                f"The rollout {rollout.id} is {to.value} already.",
                code=f"rollout_{to.value}",
                hint=f"It stands so because: {rollout.reason}",
            )
        turned = replace(rollout, state=to, reason=self.reason.strip())
        self.raise_epoch()
        self.state.control.put_rollout(turned)
        self.settle(rollout.model, "hold")
        self.log_rollout(action, turned)
        return turned

    def settle(self, model: str, *subjects: str) -> None:
        """Close alerts that no longer hold."""
        for what in subjects:
            self.state.alerts.close(alert_key(model, what), self.clock.now())

    def name(self, model: str, alias: str, version: int) -> None:
        """Move an alias to a version."""
        self.state.registry.set_alias(
            Alias(
                model=model,
                alias=alias,
                version=version,
                since=self.clock.now(),
                actor=self.actor.strip(),
                reason=self.reason.strip(),
            )
        )
        self.named[alias] = version

    def unname(self, model: str, alias: str) -> None:
        """Take an alias away."""
        self.state.registry.drop_alias(model, alias)
        self.named[alias] = None

    def log(self, action: str, model: str, **detail: Any) -> None:
        """Write the audit row, and queue the change for the channels."""
        entry = audit.append(
            self.state.audit,
            actor=self.actor,
            action=action,
            model=model,
            detail=detail | ({"aliases": dict(self.named)} if self.named else {}),
            reason=self.reason,
            clock=self.clock,
        )
        tell(
            self.state.alerts,
            entry,
            self.clock.now() if self.event_time is None else self.event_time,
        )

    def log_rollout(self, action: str, rollout: Rollout, **detail: Any) -> None:
        """Write the audit row of a change to a rollout."""
        self.log(
            action,
            rollout.model,
            rollout=rollout.id,
            control=rollout.control,
            candidate=rollout.candidate,
            step=rollout.step,
            epoch=self.state.control.epoch(),
            **detail,
        )
