"""What a candidate can still lose before outcomes show it: share x traffic x delay x rate.

Whatever a candidate does, nothing is known of its answers of the last outcome delay; so many are
always at stake, at the share of now and the traffic of that delay. Where fewer events are worse, it
can lose no more than control's rate of them; where more are worse, no more than all that do not go
wrong with control anyhow. Until control's rate is known, every answer is at stake.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor

import msgspec

from trimtab.rollout import events
from trimtab.rollout.readings import OUTCOME_EVENTS
from trimtab.types import GuardrailSpec, Harm, Stake

_SLICES = 20
"""So finely the last outcome delay is known."""


class Traffic(msgspec.Struct):
    """Answers of both arms by slices of the last outcome delay, event times in seconds.

    ``settled`` are control's answers before that, whose outcomes are in. ``share`` is the candidate's at
    the newest answer.
    """

    slices: dict[int, list[int]] = {}
    settled: int = 0
    share: float = 0.0
    begun: float | None = None
    now: float = 0.0

    def add(self, answers: Iterable[tuple[float, bool, float]], delay: float) -> None:
        """Count answers: when, whether the candidate's, and the candidate's share."""
        for at, is_candidate, share in answers:
            if self.begun is None or at >= self.now:
                self.now, self.share = at, share
            self.begun = at if self.begun is None else min(self.begun, at)
            self.slices.setdefault(floor(at * _SLICES / delay), [0, 0])[is_candidate] += 1
        oldest = floor((self.now - delay) * _SLICES / delay)
        for old in [at for at in self.slices if at < oldest]:
            self.settled += self.slices.pop(old)[0]

    def blind(self, delay: float) -> float:
        """How many answers the candidate gives within one outcome delay, as traffic is now.

        At the beginning its traffic is taken over a whole slice: a few answers in a row are no rate.
        """
        if self.begun is None:
            return 0.0
        first = max(self.begun, min(self.slices) * delay / _SLICES)
        answers = sum(map(sum, self.slices.values()))
        return answers / max(self.now - first, delay / _SLICES) * delay * self.share


def stake(spec: GuardrailSpec, control: float, traffic: Traffic, delay: float) -> Stake | None:
    """What one guardrail can lose before outcomes show it; None if it needs no outcomes.

    Args:
        spec: The guardrail.
        control: Control's events, or the amounts of them.
        traffic: What was answered.
        delay: The plan's outcome delay, seconds.
    """
    if spec.event not in OUTCOME_EVENTS or not delay:
        return None
    answers = traffic.blind(delay)
    part = 1.0
    if traffic.settled:
        rate = min(control / traffic.settled, 1.0)
        part = rate if spec.harm is Harm.FEWER else 1.0 - rate
    most = answers * part * events.span(spec)
    cost = None if spec.cost_per_event is None else most * spec.cost_per_event
    return Stake(answers=answers, most=most, cost=cost)
