"""How unusual a window is, given how far blocks of the reference are from each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from trimtab.drift.profile import Dispersion, build_profile
from trimtab.types import Columns, FeatureKind, FeatureSpec

RESTLESS = Dispersion(mean_logit=0.3, sd_logit=0.8, expected=0.56, blocks=49, size=900.0)
"""The flights' temperature in winter: days differ by 0.56 on average."""


def test_what_blocks_do_anyway_is_nothing_unusual() -> None:
    assert RESTLESS.p_value(0.56, 900.0) > 0.4
    assert RESTLESS.p_value(0.74, 900.0) > 0.1


def test_nothing_in_common_stands_out_even_where_blocks_differ_much() -> None:
    assert RESTLESS.p_value(0.99, 900.0) < 1e-5
    assert RESTLESS.p_value(1.0, 900.0) < RESTLESS.p_value(0.99, 900.0)


def test_it_is_a_t_tail_on_the_logit() -> None:
    score = 0.8
    above = (np.log(score / (1 - score)) - 0.3) / (0.8 * np.sqrt(1 + 1 / 49))
    assert pytest.approx(float(t.sf(above, 48))) == RESTLESS.p_value(score, 900.0)


def test_a_smaller_window_is_less_unusual_and_a_larger_one_gets_no_credit() -> None:
    whole = RESTLESS.p_value(0.9, 900.0)
    assert RESTLESS.p_value(0.9, 225.0) > whole
    assert whole == RESTLESS.p_value(0.9, 9_000.0)
    assert 1.0 == RESTLESS.p_value(0.0, 900.0)


def test_a_reference_of_many_days_carries_its_dispersion() -> None:
    rng = np.random.default_rng(1)
    days = np.repeat(np.arange(40), 200)
    values = rng.normal(size=days.size) + rng.normal(size=40)[days]
    spec = FeatureSpec(name="x", kind=FeatureKind.NUMERIC)
    columns = Columns(features=(spec,), arrays=(values,))
    profile = build_profile(columns, times=(days * 86_400.0 + 1.0).astype(np.float64))
    found = profile.features[0].dispersion["ks"]
    assert 40 == found.blocks
    assert 0.15 < found.expected < 0.6
    assert {} == build_profile(columns).features[0].dispersion
