"""journal -> window -> compare for one rollout: who was exposed, who had which event first.

What counts, and for whom:

- A unit is a routing key; rows without one, rows pinned to a version and shadows are left out.
- A unit's first event of a guardrail counts, later ones do not; a correction takes none back.
- An event counts for the arm that was asked, with the candidate's share at that answer. For a unit
  that never comes back this is its exposure. Where a unit does come back after the ramp has moved it
  to the candidate, counting its events for control would make the arms look alike and certify harm.
  Under the null hypothesis the slot of a key is independent of its events, so the share at the answer
  is the chance that the event is the candidate's, whichever answer led to it.
- A candidate that ends its process has failed, though nobody was answered.
- A bandit is not sticky: each of its predictions is a unit. Its shares follow what was known before, so
  the share at the answer is still the chance that an event is the candidate's.
- An interleaved ranking is a unit: its first event is that of the row that had it, and belongs to the
  team that picked the row. Both teams have picked as many, so half of the events are due to each.
- In a shadow rollout the candidate's answers count, which nobody got, beside the champion's to the same
  request: a unit's first event is the first that one of the two had alone, and under the null hypothesis
  either had it as likely. As champions that fail are not journalled, errors are the candidate's alone.
- A guardrail on values counts a unit's first outcome, with its amount.
- Events that an outcome makes count in the order of their answers, each once the plan's outcome delay
  has passed since. How long an outcome takes can depend on what it is: a false alarm is known when
  nothing has happened in time, a missed case later. Counted as they arrive, an arm that errs in the
  quicker way would look worse than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trimtab.errors import Conflict
from trimtab.protocols import StateTx
from trimtab.rollout import eprocess, events
from trimtab.rollout.arms import against_control, candidates
from trimtab.rollout.eprocess import Evidence
from trimtab.rollout.readings import (
    OUTCOME_EVENTS,
    SAMPLE_RATIO,
    SPLIT_LIMIT,
    RolloutReadings,
    StepFacts,
    effect,
    limits,
    split_effect,
    split_words,
    words,
)
from trimtab.rollout.split import SLOTS
from trimtab.rollout.stake import Traffic, stake
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.interleave import Interleave
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.rollout.tally import Event, Tallier, Tally
from trimtab.types import (
    PROCESS_EXIT,
    Comparison,
    Exposure,
    GuardrailReading,
    GuardrailSpec,
    Matured,
    PredictionFacts,
    PredictionRecord,
    Rollout,
    RolloutPlan,
    Window,
)

_SHADOW_SHARE = 0.5
"""Both arms answer each shadowed unit."""


class _Memory(msgspec.Struct):
    """All that is folded; ``start`` and ``now`` are event times, ``steps`` go by slots.

    ``split`` is the evidence on the split, ``due`` how many units it should have given the candidate.
    """

    rollout: str
    tallies: list[Tally]
    units: list[int]
    split: Evidence
    due: float = 0.0
    steps: dict[int, StepFacts] = {}
    waiting: list[Matured] = []
    start: float | None = None
    now: float = 0.0
    traffic: Traffic = msgspec.field(default_factory=Traffic)

    @property
    def answered(self) -> tuple[int, int]:
        """Units of control and of the candidate."""
        control, candidate = self.units
        return control, candidate


class GuardrailWindows:
    """Folds what was recorded of one candidate and of control; a window whenever something has changed.

    Where there are several candidates, each has windows of its own: others' answers are not in them, and
    a share is the candidate's among what it and control have.

    Args:
        rollout: The rollout; only its id, plan, model and candidates are used.
        arm: Which candidate, from 1 on.
    """

    def __init__(self, rollout: Rollout, arm: int = 1) -> None:
        self._rollout = rollout
        self._arm = arm
        self._key = rollout.id if arm == 1 else f"{rollout.id}/{arm}"
        self._drafted = rollout.plan.strategy == Interleave.name
        self._loose = self._drafted or rollout.plan.strategy == Bandit.name
        self._shadow = rollout.plan.strategy == Shadow.name
        plan = rollout.plan
        self._talliers = tuple(
            Tallier(spec, limit, plan.certificate_margin)
            for spec, limit in zip(
                plan.guardrails, limits(plan, len(candidates(rollout))), strict=True
            )
        )
        self._split = eprocess.mismatch()
        self._memory = _Memory(
            rollout=rollout.id,
            split=self._split.start(),
            tallies=[tallier.start() for tallier in self._talliers],
            units=[0, 0],
        )

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; one window if any of them was the rollout's."""
        answers = [record for record in predictions if self._counts(record)]
        self._expose(answers, state)
        outcomes = self._of_exposed(
            [
                m
                for m in matured
                if m.facts.rollout == self._rollout.id and m.facts.arm in (0, self._arm)
            ],
            state,
        )
        for outcome in outcomes:
            self._see(self._seen_share(outcome.facts.share), informed=True)
        ripe = self._ripe(outcomes)
        for index, spec in enumerate(self._rollout.plan.guardrails):
            if spec.event in OUTCOME_EVENTS:
                happened = [m for m in ripe if events.known(spec, m)]
                firsts = {
                    m.facts.unit: self._event(m.facts, events.amount(spec, m))
                    for m in reversed(happened)
                }
                units = [m.facts.unit for m in happened]
            else:
                told = [
                    (record.unit, event)
                    for record in answers
                    if (event := self._shown_event(spec, record)) is not None
                ]
                firsts = dict(reversed(told))
                units = [unit for unit, _ in told]
            self._count(index, units, firsts, state)
        return [self._window()] if answers or outcomes else []

    def dump(self) -> bytes:
        """All that has been folded."""
        return msgspec.msgpack.encode(self._memory)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off.

        Raises:
            Conflict: the blob is another rollout's.
        """
        memory = msgspec.msgpack.decode(blob, type=_Memory)
        if memory.rollout != self._key or len(memory.tallies) != len(self._talliers):
            raise Conflict(
                f"The saved readings are those of rollout {memory.rollout!r}, "
                f"not of {self._key!r}.",
                code="wrong_rollout",
            )
        self._memory = memory

    def _counts(self, record: PredictionRecord) -> bool:
        return (
            record.rollout == self._rollout.id
            and (record.sticky or self._loose)
            and (record.shadow is self._shadow or record.failed == PROCESS_EXIT)
            and record.arm in (0, self._arm)
            and (record.share > 0 or not self._drafted)
        )

    def _expose(self, answers: Sequence[PredictionRecord], state: StateTx) -> None:
        memory = self._memory
        for record in answers:
            if memory.start is None:
                memory.start = memory.now = record.event_time
            memory.now = max(memory.now, record.event_time)
            self._see(self._seen_share(record.share))
        delay = self._rollout.plan.outcome_delay_seconds
        if delay:
            memory.traffic.add(((r.event_time, r.arm > 0, self._share(r)) for r in answers), delay)
        first = state.watch.new_exposures([self._exposure(record) for record in answers])
        for exposure in first:
            memory.units[min(exposure.arm, 1)] += 1
            memory.due += exposure.share
        if not (self._shadow or self._drafted):
            memory.split = self._split.update(memory.split, [(e.arm > 0, e.share) for e in first])

    def _shown_event(self, spec: GuardrailSpec, record: PredictionRecord) -> Event | None:
        """What the answer itself tells; of a shadow, where it and the champion differ."""
        if self._shadow:
            shadows = events.differs(spec, record)
            return None if shadows is None else (shadows, _SHADOW_SHARE, 1.0)
        return self._event(record) if events.shown(spec, record) else None

    def _event(self, answer: PredictionFacts | PredictionRecord, amount: float = 1.0) -> Event:
        return answer.arm > 0, self._share(answer), amount

    def _share(self, answer: PredictionFacts | PredictionRecord) -> float:
        return against_control(self._arm, answer.share, answer.shares or ())

    def _exposure(self, record: PredictionRecord) -> Exposure:
        return Exposure(
            rollout=self._key,
            unit=record.unit,
            arm=record.arm,
            share=self._share(record),
            event_time=record.event_time,
        )

    def _seen_share(self, share: float) -> float:
        """The step's share, which a drafted row does not have: half of a ranking is the candidate's."""
        steps = self._rollout.plan.steps
        return steps[self._rollout.step].share if self._drafted else share

    def _see(self, share: float, *, informed: bool = False) -> None:
        slots, steps = round(share * SLOTS), self._memory.steps
        found = steps.get(slots)
        if found is None or informed > found.informed:
            since = self._memory.now if found is None else found.since
            steps[slots] = StepFacts(slots=slots, since=since, informed=informed)

    def _of_exposed(self, matured: Sequence[Matured], state: StateTx) -> Sequence[Matured]:
        """Those of units that the split has assigned to the arm that answered."""
        units = list(dict.fromkeys(m.facts.unit for m in matured))
        first = state.watch.exposures(self._key, units) if units else {}
        if self._drafted:
            return [m for m in matured if m.facts.unit in first]
        return [m for m in matured if _assigned(m.facts, self._share(m.facts), first)]

    def _ripe(self, outcomes: Sequence[Matured]) -> Sequence[Matured]:
        """What may count now, in the order of the answers; the rest waits. Only events are kept."""
        delay = self._rollout.plan.outcome_delay_seconds
        if not delay:
            return outcomes
        specs = [s for s in self._rollout.plan.guardrails if s.event in OUTCOME_EVENTS]
        kept = {m.facts.prediction_id: m for m in self._memory.waiting}
        for m in outcomes:
            if any(events.known(spec, m) for spec in specs):
                kept.setdefault(m.facts.prediction_id, m)
        waiting = sorted(kept.values(), key=lambda m: (m.facts.event_time, m.facts.prediction_id))
        until = self._memory.now - delay
        ripe = [m for m in waiting if m.facts.event_time <= until]
        self._memory.waiting = waiting[len(ripe) :]
        return ripe

    def _count(
        self, index: int, units: Sequence[str], events: Mapping[str, Event], state: StateTx
    ) -> None:
        if not units:
            return
        name = self._rollout.plan.guardrails[index].name
        first = [events[unit] for unit in state.watch.new_events(self._key, name, units)]
        memory = self._memory
        self._talliers[index].count(memory.tallies[index], first, memory.answered)

    def _window(self) -> Window:
        memory = self._memory
        readings = RolloutReadings(
            rollout=self._rollout.id,
            now=memory.now,
            readings=tuple(self._reading(i) for i in range(len(memory.tallies))),
            steps=tuple(memory.steps[slots] for slots in sorted(memory.steps)),
            split=self._split_reading(),
            arm=self._arm,
        )
        return Window(
            subject="guardrail",
            model=self._rollout.model,
            version=candidates(self._rollout)[self._arm - 1],
            start=memory.now if memory.start is None else memory.start,
            end=memory.now,
            rows=sum(memory.units),
            content=readings,
        )

    def _reading(self, index: int) -> GuardrailReading:
        memory, plan = self._memory, self._rollout.plan
        tally, spec = memory.tallies[index], plan.guardrails[index]
        reading = self._talliers[index].reading(tally, memory.answered)
        at_stake = stake(spec, tally.amounts[0], memory.traffic, plan.outcome_delay_seconds)
        return msgspec.structs.replace(reading, stake=None if self._shadow else at_stake)

    def _split_reading(self) -> GuardrailReading:
        memory = self._memory
        return GuardrailReading(
            guardrail=SAMPLE_RATIO,
            units=memory.answered,
            events=memory.answered,
            e_value=memory.split.e_value,
            e_peak=memory.split.e_peak,
            certificate=1.0,
            limit=SPLIT_LIMIT,
            excess=memory.answered[1] - memory.due,
        )


class GuardrailComparer:
    """One comparison a guardrail, and one of the split itself.

    ``score`` is the observed relative harm, ``p_value`` the anytime-valid ``1 / e_peak``;
    ``current_value`` is the e-value and ``reference_value`` the limit that it is held against.

    Args:
        plan: The rollout's plan.
    """

    def __init__(self, plan: RolloutPlan) -> None:
        self._plan = plan

    def compare(self, window: Window) -> Sequence[Comparison]:
        """Compare each guardrail's candidate with control, then the split with its stated shares."""
        found: RolloutReadings = window.content
        split = found.split
        guarded = [
            Comparison(
                name=spec.name,
                statistic="e_process",
                score=effect(spec, reading),
                noise_floor=0.0,
                floor=spec.margin,
                p_value=min(1.0, 1 / reading.e_peak),
                words=words(spec, reading),
                reference_value=reading.limit,
                current_value=reading.e_value,
            )
            for spec, reading in zip(self._plan.guardrails, found.readings, strict=True)
        ]
        sample_ratio = Comparison(
            name=SAMPLE_RATIO,
            statistic="e_process",
            score=split_effect(split),
            noise_floor=0.0,
            floor=0.0,
            p_value=min(1.0, 1 / split.e_peak),
            words=split_words(split),
            reference_value=split.limit,
            current_value=split.e_value,
        )
        return [*guarded, sample_ratio]


def _assigned(facts: PredictionFacts, share: float, first: Mapping[str, Exposure]) -> bool:
    """Whether the answer's arm is the split's: the unit's first one, or where a ramp has moved it."""
    exposure = first.get(facts.unit)
    if exposure is None:
        return False
    return facts.arm == exposure.arm or (facts.arm > exposure.arm and share > exposure.share)
