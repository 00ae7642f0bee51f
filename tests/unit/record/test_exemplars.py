"""Buckets of latency name predictions, for those who scrape OpenMetrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from trimtab.config import JournalConfig
from trimtab.metric_files import exposition
from trimtab.record.journal import Journal
from trimtab.record.latest import TAIL_BYTES, latest
from trimtab.recordtable import table_of
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]


def answer(make: Make, name: str, ms: float, at: float, **fields: object) -> PredictionRecord:
    return make(0, at, **{"model": "m", "prediction_id": name, "latency_ms": ms} | fields)


def named(metrics: Metrics, answers: list[PredictionRecord]) -> dict[float, Exemplar]:
    """The exemplar of each bucket that has one, as a strict parser reads it."""
    text = exposition(metrics.registry, target=lambda _: 0.999, answers=table_of(answers)).decode()
    return {
        float(sample.labels["le"]): exemplar._replace(timestamp=float(exemplar.timestamp))
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # has no types
        for sample in family.samples
        if (exemplar := sample.exemplar) is not None
    }


def observed(*seconds: float) -> Metrics:
    metrics = Metrics()
    metrics.observer("ml_prediction_duration_seconds", model="m")(*seconds)
    metrics.count("ml_requests_total", model="m", code=200)
    return metrics


def test_a_bucket_names_the_latest_answer_in_it(make_record: Make) -> None:
    answers = [
        answer(make_record, "slow", 3_000.0, 5.0),
        answer(make_record, "late", 4.0, 9.0),
        answer(make_record, "early", 3.0, 8.0),
        answer(make_record, "on the edge", 1.0, 7.0),
        answer(make_record, "nobody got it", 4.5, 10.0, shadow=True),
        answer(make_record, "x" * 116, 4.5, 11.0),
        answer(make_record, "another's", 4.0, 12.0, model="n"),
    ]
    assert {
        0.001: Exemplar({"prediction_id": "on the edge"}, 0.001, 7.0),
        0.005: Exemplar({"prediction_id": "late"}, 0.004, 9.0),
        math.inf: Exemplar({"prediction_id": "slow"}, 3.0, 5.0),
    } == named(observed(0.001, 0.003, 0.004, 3.0), answers)


def test_ids_of_any_letters_are_read(make_record: Make) -> None:
    odd = 'a "quoted" é\\ \n id'
    found = named(observed(0.004), [answer(make_record, odd, 4.0, 9.0)])
    assert {0.005: Exemplar({"prediction_id": odd}, 0.004, 9.0)} == found


def test_without_answers_nothing_is_named() -> None:
    assert {} == named(observed(0.004), [])
    assert b"# EOF" not in exposition(observed(0.004).registry)


def test_the_latest_records_of_writers_that_live_are_looked_at(
    tmp_path: Path, make_record: Make
) -> None:
    gone, one, other = (
        Journal(tmp_path, JournalConfig(), Metrics(), FakeClock()) for _ in range(3)
    )
    gone.append([make_record(0)])
    gone.close()
    many = [make_record(at) for at in range(3_000)]
    one.append(many)
    other.append([make_record(9_999)])
    found = list(latest(tmp_path))
    assert [*many[-len(found) + 1 :], make_record(9_999)] == sorted(
        found, key=lambda record: record.event_time
    )
    assert 100 < len(found) * len(repr(many[0])) < 10 * TAIL_BYTES
    one.close()
    other.close()
    assert [] == list(latest(tmp_path))
