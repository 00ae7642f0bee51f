from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.rollout import eprocess
from trimtab.rollout.eprocess import CERTIFICATE_POWERS, GRID, EProcess
from trimtab.types import Harm

EVENTS = st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.999)), max_size=60)
BETS = st.one_of(
    st.builds(eprocess.harm, st.sampled_from(Harm), st.floats(0, 0.9)),
    st.builds(eprocess.certificate, st.sampled_from(Harm), st.floats(0.01, 0.9)),
)


def product(bet: EProcess, events: list[tuple[bool, float]]) -> float:
    """The formula of the module's docstring, written out."""
    payoffs = []
    for r in bet.ratios:
        payoff = 1.0
        for candidate, s in events:
            s0 = s * bet.edge / (s * bet.edge + 1 - s)
            q = s0 * r / (s0 * r + 1 - s0)
            payoff *= q / s0 if candidate else (1 - q) / (1 - s0)
        payoffs.append(payoff)
    return sum(payoffs) / len(payoffs)


@given(BETS, EVENTS)
def test_the_evidence_is_the_mean_of_the_products(
    bet: EProcess, events: list[tuple[bool, float]]
) -> None:
    evidence = bet.update(bet.start(), events)
    assert product(bet, events) == pytest.approx(evidence.e_value, rel=1e-9)
    peak = max([product(bet, events[:n]) for n in range(len(events) + 1)])
    assert peak == pytest.approx(evidence.e_peak, rel=1e-9)


@given(BETS, EVENTS, st.integers(0, 60))
def test_two_batches_are_one_bit_for_bit(
    bet: EProcess, events: list[tuple[bool, float]], cut: int
) -> None:
    parts = bet.update(bet.update(bet.start(), events[:cut]), events[cut:])
    assert bet.update(bet.start(), events) == parts


@given(BETS, EVENTS, st.floats(1.001, 30.0))
def test_a_limit_is_reached_with_the_first_event_that_does_it(
    bet: EProcess, events: list[tuple[bool, float]], limit: float
) -> None:
    around = [(True, 1.0), *events, (False, 0.0)]
    found = bet.reaches(limit, bet.start(), around)
    values = [bet.update(bet.start(), around[:n]).e_value for n in range(len(around) + 1)]
    clearly = [n for n, value in enumerate(values) if value >= limit * (1 + 1e-9)]
    if found is None:
        assert clearly == []
    else:
        assert values[found] >= limit * (1 - 1e-9)
        assert max(values[:found]) < limit * (1 + 1e-9)


@given(BETS, st.floats(0.001, 0.999))
def test_a_bet_is_fair_at_the_edge_of_its_null(bet: EProcess, share: float) -> None:
    edge = share * bet.edge / (share * bet.edge + 1 - share)
    wins = bet.update(bet.start(), [(True, share)]).e_value
    loses = bet.update(bet.start(), [(False, share)]).e_value
    assert 1.0 == pytest.approx(edge * wins + (1 - edge) * loses)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_event_without_the_other_arm_says_nothing(share: float) -> None:
    bet = eprocess.harm(Harm.MORE, 0.0)
    evidence = bet.update(bet.start(), [(True, 0.5)])
    assert evidence == bet.update(evidence, [(True, share), (False, share)])


def test_evidence_without_bound_stays_a_number() -> None:
    bet = eprocess.harm(Harm.MORE, 0.0)
    evidence = bet.update(bet.start(), [(True, 0.01)] * 5_000)
    assert math.isfinite(evidence.e_value)
    assert evidence.e_value > 1e300


def test_the_grids_are_those_of_the_method() -> None:
    assert (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9) == GRID
    assert EProcess(edge=0.9, ratios=GRID) == eprocess.harm(Harm.FEWER, 1 - 0.9)
    more = eprocess.harm(Harm.MORE, 0.0)
    assert (1.0, pytest.approx(5.0)) == (more.edge, max(more.ratios))
    exact = CERTIFICATE_POWERS.index(1.0)
    for harm in Harm:
        certificate = eprocess.certificate(harm, 0.2)
        assert 1.0 == pytest.approx(certificate.edge * certificate.ratios[exact])


SHARES = st.floats(0.01, 0.99)
PROBABILITIES = st.floats(0.0, 1.0)


@given(SHARES, PROBABILITIES, PROBABILITIES, st.sampled_from(list(Harm)), st.floats(0.0, 0.9))
def test_an_amount_never_pays_under_the_null(
    share: float, control: float, amount: float, harm: Harm, margin: float
) -> None:
    bet = eprocess.harm(harm, margin)
    at_edge = min(control * bet.edge, 1.0)
    # Outcomes of one size with these means, control's scaled so that the null's edge is met.
    control = at_edge / bet.edge
    for index in range(len(bet.ratios)):
        paid = 0.0
        for is_candidate, chance, mean in ((True, share, at_edge), (False, 1 - share, control)):
            update = bet.update(bet.start(), [(is_candidate, share)], [amount])
            paid += chance * (mean * math.exp(update.log_payoffs[index]) + 1 - mean)
        assert paid <= 1 + 1e-9


def test_whole_amounts_are_events_and_none_is_nothing() -> None:
    bet, events = eprocess.harm(Harm.FEWER, 0.1), [(True, 0.1), (False, 0.2), (True, 0.5)]
    whole = bet.update(bet.start(), events, [1.0, 1.0, 1.0])
    plain = bet.update(bet.start(), events)
    assert plain.log_payoffs == pytest.approx(whole.log_payoffs, rel=1e-12)
    nothing = bet.update(bet.start(), events, [0.0, 0.0, 0.0])
    assert bet.start().log_payoffs == nothing.log_payoffs
