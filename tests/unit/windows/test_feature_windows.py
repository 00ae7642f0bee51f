"""Windows close by event time, whatever arrives late, early or from another version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from trimtab.config import WatchConfig
from trimtab.sketch import Binning, Sketcher, TableSketch
from trimtab.types import FeatureKind, PredictionRecord, Scalar, Window
from trimtab.windows import CONFIRM_RECORDS, FeatureWindows

HOUR = 3_600.0
CONFIG = WatchConfig(window_seconds=HOUR, lateness_seconds=600.0)
SKETCHER = Sketcher(
    (
        Binning(kind=FeatureKind.NUMERIC),
        Binning(kind=FeatureKind.CATEGORICAL, bits=0, categories=("a",)),
    )
)


def record(
    at: float,
    values: tuple[Scalar, ...] = (1.0, "a"),
    *,
    model: str = "m",
    version: int = 1,
    shadow: bool = False,
    failed: str | None = None,
) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"p{at}", request_id=None, event_time=at, wall_time=at, model=model,
        version=version, digest="sha256:0", epoch=1, rollout=None, arm=0, share=0.0, unit="u",
        sticky=True, values=values, sources="qq", ages_seconds=(None, None), score=0.5,
        outputs=(0.5, 0.5), positive=True, latency_ms=1.0, failed=failed, shadow=shadow,
    )  # fmt: skip


def windows(version: int = 1) -> FeatureWindows:
    return FeatureWindows("data_drift", "m", version, SKETCHER, CONFIG)


def fold(windower: FeatureWindows, records: Sequence[PredictionRecord]) -> list[Window]:
    # A drift window needs neither outcomes nor the state.
    return list(windower.fold(records, (), None))  # type: ignore[arg-type]


def hour(start: float = 0.0, **kwargs: object) -> list[PredictionRecord]:
    """Records every three minutes of an hour."""
    return [record(start + 180.0 * step, **kwargs) for step in range(20)]  # type: ignore[arg-type]


def spans(found: Sequence[Window]) -> list[tuple[float, float, int]]:
    return [(window.start, window.end, window.rows) for window in found]


def test_a_window_closes_when_the_watermark_is_past_its_end_by_the_lateness() -> None:
    windower = windows()
    assert [] == fold(windower, hour())
    assert [] == fold(windower, [record(HOUR + 599.0)])
    assert [(0.0, HOUR, 20)] == spans(fold(windower, [record(HOUR + 600.0)]))


def test_a_window_says_whose_it_is() -> None:
    windower = windows()
    (found,) = fold(windower, [*hour(), record(2 * HOUR)])
    assert ("data_drift", "m", 1) == (found.subject, found.model, found.version)


def test_late_records_are_folded_while_their_window_is_open() -> None:
    windower = windows()
    (found,) = fold(windower, [*hour(), record(HOUR + 500.0), record(10.0), record(2 * HOUR)])
    assert 21 == found.rows
    assert 0 == windower.late


def test_records_of_a_closed_window_are_dropped_and_counted() -> None:
    windower = windows()
    fold(windower, [*hour(), record(2 * HOUR)])
    assert [] == fold(windower, [record(10.0), record(20.0)])
    assert 2 == windower.late


def test_several_windows_come_oldest_first_and_gaps_are_no_windows() -> None:
    windower = windows()
    fold(windower, hour())
    found = fold(windower, [record(at) for at in (7_500.0, 7_400.0, 11_600.0, 11_500.0, 15_700.0)])
    assert [(0.0, HOUR, 20), (2 * HOUR, 3 * HOUR, 2), (3 * HOUR, 4 * HOUR, 2)] == spans(found)


def test_one_far_future_event_closes_nothing() -> None:
    windower = windows()
    assert [] == fold(windower, [*hour()[:10], record(1e12), *hour()[10:]])
    assert (0, 1) == (windower.late, windower.skewed)
    (found,) = fold(windower, [record(HOUR + 700.0)])
    assert 20 == found.rows


def test_a_broken_clock_among_many_is_dropped_for_good() -> None:
    windower = windows()
    for step, good in enumerate(hour() * 20):
        broken = [record(1e12 + step)] if step % 3 == 0 else []
        assert [] == fold(windower, [good, *broken])
    assert 0 == windower.late
    assert windower.skewed >= 130


def test_a_first_event_in_the_far_future_does_not_set_the_clock() -> None:
    windower = windows()
    fold(windower, [record(1e12), *hour()])
    (found,) = fold(windower, [record(HOUR + 700.0)])
    assert (20, 1) == (found.rows, windower.skewed)


def test_time_moves_on_when_all_events_say_so() -> None:
    windower = windows()
    fold(windower, hour())
    later = 1_000 * HOUR
    silent = [record(later + step) for step in range(CONFIRM_RECORDS - 1)]
    assert [] == fold(windower, silent)
    assert [(0.0, HOUR, 20)] == spans(fold(windower, [record(later + 100.0)]))
    (found,) = fold(windower, [record(later + 1.19 * HOUR)])
    assert (CONFIRM_RECORDS, 0) == (found.rows, windower.skewed)


@pytest.mark.parametrize("at", [float("nan"), float("inf"), float("-inf")])
def test_an_event_without_a_time_is_dropped(at: float) -> None:
    windower = windows()
    fold(windower, [*hour(), record(at)])
    assert 1 == windower.skewed


def test_only_the_versions_own_answers_count_and_no_shadows() -> None:
    windower = windows()
    records = [
        *hour(),
        record(100.0, version=2),
        record(101.0, shadow=True),
        record(102.0, model="other"),
        record(103.0, failed="ModelFailure"),
        record(2 * HOUR, version=2),
    ]
    (found,) = fold(windower, records)
    assert 21 == found.rows


def test_a_version_without_traffic_has_its_last_window_closed_by_the_others() -> None:
    windower = windows()
    fold(windower, hour())
    assert 1 == len(fold(windower, [record(2 * HOUR, version=2)]))


def test_values_that_are_no_numbers_count_as_missing() -> None:
    windower = windows()
    odd = [record(5.0, ("x", "a")), record(6.0, (None, None)), record(7.0, (True, "new"))]
    (found,) = fold(windower, [*hour(), *odd, record(2 * HOUR)])
    content = found.content
    assert isinstance(content, TableSketch)
    numeric, categorical = content.features
    assert (2, 21) == (numeric.missing, numeric.present)
    assert (1, {"new": 1}) == (categorical.missing, categorical.fresh)


@pytest.mark.parametrize("hidden", [0, 5, 20])
def test_what_is_withheld_is_neither_counted_nor_missing(hidden: int) -> None:
    records = hour()
    some = [replace(r, values=(1.0, None), withheld=(1,)) for r in records[:hidden]]
    (found,) = fold(windows(), [*some, *records[hidden:], record(2 * HOUR)])
    (whole,) = fold(windows(), [*records, record(2 * HOUR)])
    number, category = found.content.features
    assert (20, 0) == (number.rows, number.missing)
    assert (20 - hidden, 0) == (category.rows, category.missing)
    assert whole.content.features[0].counts.tolist() == number.counts.tolist()


def test_open_windows_are_bounded_by_the_lateness() -> None:
    windower = windows()
    times = np.random.default_rng(1).uniform(0, 0.4 * HOUR, 3_000).cumsum()
    fold(windower, [record(float(at)) for at in times])
    assert len(windower._open) <= 2
