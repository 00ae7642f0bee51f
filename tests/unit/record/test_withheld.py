"""What is withheld reaches no journal, and what reads one knows it from what is missing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from trimtab.config import (
    Config,
    FeaturesConfig,
    JournalConfig,
    ModelConfig,
    PerformanceConfig,
    ViewConfig,
    ViewFeature,
    ViewTransform,
)
from trimtab.record.compaction import compact
from trimtab.record.journal import Journal
from trimtab.record.reader import SegmentReader
from trimtab.record.table import table
from trimtab.record.withheld import Withholding
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, MemoryJournal
from trimtab.types import FeatureKind, FeatureSpec, PredictionRecord, Signature, Task

Make = Callable[..., PredictionRecord]
KINDS = (FeatureKind.NUMERIC, FeatureKind.INTEGER, FeatureKind.BOOLEAN, FeatureKind.CATEGORICAL)
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=f"f{i}", kind=kind) for i, kind in enumerate(KINDS)),
    task=Task.BINARY,
)
SECRET = "what-nobody-may-read"


def naming(*names: str) -> Callable[[str, int], tuple[Signature | None, frozenset[str]]]:
    return lambda _model, _version: (SIGNATURE, frozenset(names))


SUBSETS = [set(some) for size in range(5) for some in combinations(SIGNATURE.names, size)]


@pytest.mark.parametrize("names", SUBSETS)
def test_values_go_and_all_else_stays(make_record: Make, names: set[str]) -> None:
    kept = MemoryJournal()
    given_record = make_record(1, sources="qrb-", entities={"who": "ann"})
    Withholding(kept, naming(*names)).append([given_record])
    (found,) = kept.records
    assert tuple(SIGNATURE.names.index(name) for name in sorted(names)) == found.withheld
    for at, (before, after) in enumerate(zip(given_record.values, found.values, strict=True)):
        assert after == (None if at in found.withheld else before)
    assert (given_record.sources, given_record.entities) == (found.sources, found.entities)


def test_a_withheld_key_is_left_out(make_record: Make) -> None:
    kept = MemoryJournal()
    record = make_record(1, entities={"who": SECRET, "where": "here"})
    Withholding(kept, naming("who")).put([record])
    assert {"where": "here"} == kept.records[0].entities


def test_the_value_is_in_no_segment_and_in_no_part_and_the_record_is_whole(
    make_record: Make, tmp_path: Path
) -> None:
    journal = Journal(tmp_path, JournalConfig(), Metrics(), FakeClock())
    writer = Withholding(journal, naming("f3"))
    records = [make_record(i, values=(1.5, 3, True, f"{SECRET}-{i}")) for i in range(5)]
    writer.append(records)
    writer.close()
    before = list(SegmentReader(tmp_path, Metrics()).records())
    assert [(3,)] * 5 == [record.withheld for record in before]
    (segment,) = tmp_path.glob("*.seg")
    assert SECRET.encode() not in segment.read_bytes()
    compact(segment, lambda _model, _version: SIGNATURE)
    (part,) = tmp_path.rglob("*.parquet")
    assert SECRET.encode() not in part.read_bytes()
    assert before == list(SegmentReader(tmp_path, Metrics()).records())
    assert [["f3"]] * 5 == table(before, SIGNATURE)["_withheld"].to_pylist()


def test_what_is_withheld_cannot_part_the_traffic() -> None:
    for own in (
        ModelConfig(withhold=("a",), segment_by="a"),
        ModelConfig(withhold=("a",), performance=PerformanceConfig(segments=("b", "a"))),
    ):
        with pytest.raises(ValueError, match="nothing is watched by it"):
            Config(models={"m": own})


def test_features_are_withheld_by_their_names_and_by_what_views_say_of_them() -> None:
    view = ViewConfig(
        entity="user",
        features=(ViewFeature(name="income", sensitivity="secret"), ViewFeature(name="visits")),
        request=(ViewFeature(name="user", sensitivity="personal"),),
        transforms=(ViewTransform("ratio", "m:f", ("income",), sensitivity="secret"),),
    )
    config = Config(
        models={"m": ModelConfig(withhold=("amount",))},
        features=FeaturesConfig(views={"users": view}),
        journal=JournalConfig(withhold=("personal", "secret")),
    )
    assert {"amount", "income", "user", "ratio"} == config.withheld("m")
    assert {"income", "user", "ratio"} == config.withheld("other")
    assert {"amount"} == replace(config, journal=JournalConfig()).withheld("m")
