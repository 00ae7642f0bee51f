"""The simulation and the product on the same draws: they cross at the same event, in every run.

Run by ``make bench-rollout ARGS=agree`` and by the tests. Each run's events also go through the product's
own windows as records of predictions and outcomes, with a state database: out of order, later events of
the same users among them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from bets import crossings
from cases import FLAT, RAMP, once, split, values
from worlds import WORLDS, Events, Floats, World, draw, draw_heavy, heavy_requests

from trimtab.protocols import StateTx
from trimtab.rollout import eprocess
from trimtab.rollout.guardrails import GuardrailWindows
from trimtab.store.state import open_state
from trimtab.types import (
    GuardrailSpec,
    Harm,
    Matured,
    PredictionFacts,
    PredictionRecord,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    UnitEvent,
)

BLOCKS, RUNS, ALPHA, DELAY = 150, 12, 0.05, 30.0
BETS = {
    "harm, fewer": eprocess.harm(Harm.FEWER, 0.0),
    "harm, more, margin": eprocess.harm(Harm.MORE, 0.1),
    "certificate": eprocess.certificate(Harm.FEWER, 0.2),
    "either way": eprocess.either(0.05),
    "split": eprocess.mismatch(),
}


def main(_arguments: Sequence[str]) -> None:
    """Compare them, and say how many runs agreed; the first that does not ends it."""
    rng = np.random.default_rng(20_261_127)
    agreed = 0
    for name, events, amounts in _drawn(rng):
        for bet_name, bet in BETS.items():
            found = crossings(bet, events, [3.0, 1 / ALPHA], amounts)
            for run, (told, parts) in enumerate(_told(events, amounts)):
                for limit, first in zip((3.0, 1 / ALPHA), found[:, run], strict=True):
                    reached = bet.reaches(limit, bet.start(), told, parts)
                    _same(f"{name}, {bet_name}, run {run}", int(first) + 1, reached or 0)
                    agreed += 1
    print(f"{agreed} crossings of e-processes agree")
    with tempfile.TemporaryDirectory() as folder:
        state = open_state(f"sqlite:///{Path(folder) / 'state.db'}")
        passed = crossed = 0
        for world in WORLDS:
            events = _harmed(rng, world)
            (found,) = crossings(BETS["harm, fewer"], events, [1 / ALPHA])
            for run, (told, _) in enumerate(_told(events, None)):
                with state.transaction() as transaction:
                    counted = _folded(f"{world.name}/{run}", told, rng, transaction)
                _same(f"{world.name}, windows, run {run}", int(found[run]) + 1, counted)
                passed += 1
                crossed += counted > 0
        state.close()
    print(f"{passed} runs agree with the product's windows, {crossed} of which cross")


def _drawn(rng: np.random.Generator) -> Iterator[tuple[str, Events, Floats | None]]:
    for world in WORLDS:
        yield (world.name, _harmed(rng, world), None)
    yield ("requests", heavy_requests(rng, WORLDS[5], 0.001, BLOCKS, 2)[0], None)
    yield ("none", *once(FLAT, 1e-6, 1.0, 20)(rng, RUNS))
    yield ("values", *values(RAMP, 0.8, 10)(rng, RUNS))
    yield ("split", *split(RAMP, 1.5, 20)(rng, RUNS))


def _harmed(rng: np.random.Generator, world: World) -> Events:
    """Runs in which some cross and some do not."""
    if world.heavy:
        return draw_heavy(rng, world, 0.005, 1.0 if world.ramp else 0.5, BLOCKS, RUNS)
    return draw(rng, world, 0.03, 0.6, BLOCKS, RUNS)[0]


def _told(
    events: Events, amounts: Floats | None
) -> Iterator[tuple[list[tuple[bool, float]], list[float] | None]]:
    """Each run as the product takes it."""
    for run in range(events.arm.shape[1]):
        there = events.arm[:, run] >= 0
        arms, shares = events.arm[there, run], events.share[events.block[there, run]]
        parts = None if amounts is None else amounts[there, run].tolist()
        yield list(zip((arms == 1).tolist(), shares.tolist(), strict=True)), parts


def _same(where: str, simulated: int, product: int) -> None:
    if simulated != product:
        message = f"{where}: {simulated} events in the simulation, {product} in the product"
        raise SystemExit(message)


def _folded(
    name: str, told: Sequence[tuple[bool, float]], rng: np.random.Generator, state: StateTx
) -> int:
    """With how many events the product's windows cross, 0 if they never do."""
    spec = GuardrailSpec(
        name="bookings", event=UnitEvent.POSITIVE_OUTCOME, harm=Harm.FEWER, min_events=0
    )
    plan = RolloutPlan(
        steps=(RampStep(share=0.1, bake_seconds=1.0),),
        guardrails=(spec,),
        alpha=ALPHA,
        outcome_delay_seconds=DELAY,
    )
    rollout = Rollout(
        id=name, model="m", control=1, candidate=2, plan=plan, state=RolloutState.RUNNING,
        step=0, salt="s", started_at=0.0,
    )  # fmt: skip
    windows = GuardrailWindows(rollout)
    answers = [_answer(name, at, *event) for at, event in enumerate(told)]
    again = [_answer(name, at, *event, visit=1) for at, event in enumerate(told) if at % 3 == 0]
    last = _answer(name, len(told) + 10 * int(DELAY), arm=False, share=0.1)
    counted = 0
    order = sorted([*answers, *again], key=lambda record: record.event_time)
    for cut in np.array_split(np.arange(len(order)), max(len(order) // 40, 1)):
        batch = [order[i] for i in cut]
        late = [_outcome(batch[i]) for i in rng.permutation(len(batch))]
        counted = counted or _crossed(windows, batch, late, state)
    return counted or _crossed(windows, [last], [], state)


def _crossed(
    windows: GuardrailWindows,
    answers: Sequence[PredictionRecord],
    outcomes: Sequence[Matured],
    state: StateTx,
) -> int:
    for window in windows.fold(answers, outcomes, state):
        crossing = window.content.readings[0].crossing
        if crossing is not None:
            return sum(crossing.events)
    return 0


def _answer(rollout: str, at: int, arm: bool, share: float, visit: int = 0) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"{rollout}/{at}/{visit}", request_id=None, event_time=at + 0.5 * visit,
        wall_time=0.0, model="m", version=1 + arm, digest="", epoch=1, rollout=rollout, arm=int(arm),
        share=share, unit=f"{at}", sticky=True, values=(), sources="", ages_seconds=(), score=0.5,
        outputs=(), positive=True, latency_ms=1.0,
    )  # fmt: skip


def _outcome(of: PredictionRecord) -> Matured:
    facts = PredictionFacts(
        prediction_id=of.prediction_id, model=of.model, version=of.version, rollout=of.rollout,
        arm=of.arm, share=of.share, unit=of.unit, event_time=of.event_time, score=of.score,
        positive=of.positive,
    )  # fmt: skip
    return Matured(facts=facts, value=1.0, outcome_time=of.event_time + 1.0, previous=None)


if __name__ == "__main__":
    main([])
