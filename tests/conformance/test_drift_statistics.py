"""Every drift statistic obeys the laws, and the suite sees those that do not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec.structs
import pytest

from trimtab.drift.chi_square import ChiSquare
from trimtab.drift.constant import ConstantChanged
from trimtab.drift.cramer_von_mises import CramerVonMises
from trimtab.drift.hellinger import Hellinger
from trimtab.drift.jensen_shannon import JensenShannon
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.drift.l_infinity import LInfinity
from trimtab.drift.missing_rate import MissingRate
from trimtab.drift.new_category import NewCategory
from trimtab.drift.psi import PopulationStability
from trimtab.drift.total_variation import TotalVariation
from trimtab.drift.wasserstein import Wasserstein
from trimtab.protocols import DriftStatistic
from trimtab.sketch import Sketch
from trimtab.testing.drift_statistics import check_drift_statistic
from trimtab.types import Comparison

Change = Callable[[Comparison, Sketch], Comparison | None]

STATISTICS: list[DriftStatistic] = [
    ChiSquare(),
    ConstantChanged(),
    CramerVonMises(),
    Hellinger(),
    JensenShannon(),
    KolmogorovSmirnov(),
    LInfinity(),
    MissingRate(),
    NewCategory(),
    PopulationStability(),
    TotalVariation(),
    Wasserstein(),
]


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda s: s.name)
def test_a_built_in_statistic_obeys_the_laws(statistic: DriftStatistic) -> None:
    check_drift_statistic(statistic)


class Changed:
    """Kolmogorov-Smirnov with its answer changed."""

    def __init__(self, name: str, change: Change) -> None:
        self.name = name
        self.change = change

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        found = KolmogorovSmirnov().score(reference, current)
        return None if found is None else self.change(found, reference)


def with_score(score: Callable[[Comparison], float]) -> Change:
    return lambda found, _: msgspec.structs.replace(found, score=score(found))


def meddle(found: Comparison, reference: Sketch) -> Comparison:
    reference.counts[0] += 1
    return found


@pytest.mark.parametrize(
    ("statistic", "law"),
    [
        (Changed("one minus p", with_score(lambda c: 1 - (c.p_value or 0))), "number of rows"),
        (Changed("falling", with_score(lambda c: c.score * (1 - 4 * c.score))), "score falls"),
        (Changed("never nought", with_score(lambda c: max(c.score, 0.1))), "equal samples score 0"),
        (Changed("unbounded", with_score(lambda c: c.score * 10)), "is not in"),
        (Changed("meddling", meddle), "another answer|changed its arguments"),
        (Changed("blind", lambda _, __: None), "sees none of"),
    ],
)
def test_the_suite_sees_what_breaks_a_law(statistic: DriftStatistic, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_drift_statistic(statistic)
