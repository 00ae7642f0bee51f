"""Law 5 of a shadow: both answer the same requests, however alike their answers are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.rollout import events
from trimtab.rollout.eprocess import EProcess
from trimtab.types import GuardrailSpec, Harm, UnitEvent

ALPHA, RUNS, UNITS = 0.05, 400, 1_500
SLOW = GuardrailSpec(name="slow", event=UnitEvent.SLOW, slow_ms=50.0)
SCORES = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=0.5)


def crossed(rng: np.random.Generator, spec: GuardrailSpec, alike: float, ratio: float) -> bool:
    """One rollout: a rate that doubles, events of both arms that often fall on the same unit."""
    rate = 0.1 * 2.0 ** np.linspace(0, 1, UNITS)
    both = rng.random(UNITS) < alike
    ours, theirs = rng.random(UNITS), rng.random(UNITS)
    shadow = np.where(both, theirs, ours) < rate * np.where(both, 1.0, ratio)
    champion = theirs < rate
    told = [(bool(shadow[i]), 0.5) for i in np.flatnonzero(shadow != champion)]
    bet: EProcess = events.bets(spec, 0.2)[0]
    return bet.update(bet.start(), told).e_peak >= 1 / ALPHA


@pytest.mark.parametrize("spec", [SLOW, SCORES])
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_a_shadow_like_the_champion_alarms_no_more_often_than_alpha(
    spec: GuardrailSpec, alike: float
) -> None:
    assert Harm.MORE is spec.harm
    rng = np.random.default_rng(3)
    alarms = sum(crossed(rng, spec, alike, 1.0) for _ in range(RUNS))
    assert alarms <= int(binom.ppf(0.99, RUNS, ALPHA))


@pytest.mark.parametrize("spec", [SLOW, SCORES])
def test_a_shadow_that_has_twice_as_many_is_found(spec: GuardrailSpec) -> None:
    rng = np.random.default_rng(4)
    assert all(crossed(rng, spec, 0.5, 3.0) for _ in range(50))


def test_a_shadow_whose_scores_fall_is_found_as_well() -> None:
    rng = np.random.default_rng(5)
    assert all(crossed(rng, SCORES, 0.0, 0.3) for _ in range(50))
