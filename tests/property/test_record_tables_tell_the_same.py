"""Columns of many records tell what each record says, whether they look alike or not."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.recordtable import NO_RECORD, Alike, Loose, RecordTable, decoded, joined, table_of
from trimtab.types import PredictionRecord

WIDTH = 4
FLOATS = st.floats(width=64) | st.sampled_from([0.0, -0.0, math.nan, math.inf])
WHOLES = st.integers(-(2**63), 2**64 - 1) | st.integers(-40, 300)
TEXTS = st.sampled_from(["", "a", "b", "dé", "a much longer text " * 3, "é" * 120, "x" * 300])
KINDS: tuple[st.SearchStrategy[Any], ...] = (
    FLOATS, WHOLES, TEXTS, st.booleans(), st.none(), FLOATS | st.none(), TEXTS | st.none(),
    FLOATS | WHOLES | TEXTS | st.booleans() | st.none(),
)  # fmt: skip
AGES = st.none() | FLOATS


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, st.SearchStrategy[Any]]:
    """How the fields of some records are drawn: many with one of these look alike."""
    values = [draw(st.sampled_from(KINDS)) for _ in range(WIDTH)]
    keys = draw(st.lists(st.sampled_from(["user", "shop"]), unique=True))
    return {
        "request_id": draw(st.sampled_from([st.none(), TEXTS, TEXTS | st.none()])),
        "event_time": FLOATS,
        "version": st.integers(1, 2),
        "model": st.sampled_from(["m", "n", "another"]),
        "values": st.tuples(*values),
        "ages_seconds": draw(
            st.sampled_from([st.just((None,) * WIDTH), st.tuples(*[AGES] * WIDTH)])
        ),
        "positive": draw(st.sampled_from([st.none(), st.booleans()])),
        "shadow": st.booleans(),
        "outputs": st.tuples(FLOATS, FLOATS),
        "entities": st.fixed_dictionaries(dict.fromkeys(keys, st.sampled_from(["11", "22"]))),
        "withheld": draw(st.sampled_from([st.just(()), st.tuples(st.integers(0, WIDTH - 1))])),
        "answered": draw(st.sampled_from([st.none(), st.tuples(FLOATS, FLOATS)])),
    }


def record(**fields: Any) -> PredictionRecord:
    always: dict[str, Any] = {
        "wall_time": 1.5, "digest": "sha256:0", "epoch": 3, "rollout": None, "arm": 0, "share": 0.1,
        "unit": "0123", "sticky": True, "sources": "q" * WIDTH, "ages_seconds": (None,) * WIDTH,
        "score": 0.5, "latency_ms": 2.0,
    }  # fmt: skip
    return PredictionRecord(**always | fields)


@st.composite
def batches(draw: st.DrawFn) -> list[PredictionRecord]:
    """Records of a few shapes, the most of each alike."""
    found: list[PredictionRecord] = []
    for shape in draw(st.lists(shapes(), max_size=3)):
        few = draw(st.lists(st.fixed_dictionaries(shape), min_size=1, max_size=6))
        count = draw(st.sampled_from([1, 40]))
        found += [
            record(**few[at % len(few)] | {"score": at / 100, "prediction_id": f"{at * 997}"})
            for at in range(count)
        ]
    return draw(st.permutations(found)) if len(found) < 60 else found


def written(records: list[PredictionRecord]) -> list[bytes]:
    return [msgspec.msgpack.encode(one) for one in records]


def exactly(value: object) -> str:
    """Tells NaN from nothing, 1 from 1.0 and from True, and 0.0 from -0.0."""
    return repr(value)


def numbers(values: list[Any]) -> list[str] | None:
    if any(isinstance(value, str) for value in values):
        return None
    return [repr(math.nan if value is None else float(value)) for value in values]


@settings(max_examples=25, deadline=None)
@given(batches())
def test_columns_tell_what_records_say(records: list[PredictionRecord]) -> None:
    found, bad = decoded(written(records))
    assert [] == bad
    assert exactly(records) == exactly(list(found))
    for name in PredictionRecord.__struct_fields__:
        cells = [getattr(one, name) for one in records]
        assert exactly(cells) == exactly(found.cells(name))
    for name in ("event_time", "score", "version", "shadow", "positive"):
        assert numbers([getattr(one, name) for one in records]) == (
            [repr(x) for x in found.floats(name).tolist()]
        )


@settings(max_examples=20, deadline=None)
@given(batches(), st.integers(1, 2), st.sampled_from(["m", "n"]))
def test_a_versions_features_are_columns(
    records: list[PredictionRecord], version: int, model: str
) -> None:
    for all_ in (decoded(written(records))[0], table_of(records)):
        of_model = all_.of_model(model)
        found = of_model.where(of_model.of_version(version))
        chosen = [r for r in records if (r.model, r.version) == (model, version) and not r.shadow]
        assert exactly(chosen) == exactly(list(found))
        for at in range(WIDTH):
            cells = [one.values[at] for one in chosen]
            assert exactly(cells) == exactly(found.scalars(at))
            actual = found.numbers(at)
            assert numbers(cells) == (
                None if actual is None else [repr(x) for x in actual.tolist()]
            )


@settings(max_examples=15, deadline=None)
@given(batches(), st.data())
def test_parts_joined_and_chosen_keep_their_order(
    records: list[PredictionRecord], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(records)))
    both = joined([decoded(written(part))[0] for part in (records[:cut], records[cut:])])
    assert exactly(records) == exactly(list(both))
    places = data.draw(st.lists(st.integers(0, max(len(records) - 1, 0)), max_size=9))
    chosen = places if records else []
    assert exactly([records[at] for at in chosen]) == exactly(
        list(both.where(np.array(chosen, dtype=np.int64)))
    )
    assert exactly(records[cut:]) == exactly(list(both[cut:]))


@settings(max_examples=20, deadline=None)
@given(batches(), st.data())
def test_what_holds_no_record_is_told_and_costs_only_itself(
    records: list[PredictionRecord], data: st.DataObject
) -> None:
    payloads = written(records)
    spoiled = data.draw(st.sets(st.integers(0, max(len(payloads) - 1, 0)), max_size=5))
    spoiled &= set(range(len(payloads)))
    for at in spoiled:
        payloads[at] = data.draw(
            st.sampled_from(
                [b"", b"\xc1" * 9, payloads[at][:-1], payloads[at] + b"\x00", b"\x93" * 4]
            )
        )
    found, bad = decoded(payloads)
    assert sorted(spoiled) == list(bad)
    assert exactly([r for at, r in enumerate(records) if at not in spoiled]) == exactly(list(found))


@settings(max_examples=60, deadline=None)
@given(batches(), st.data())
def test_whatever_bytes_there_are_the_decoder_is_right(
    records: list[PredictionRecord], data: st.DataObject
) -> None:
    payloads = [bytearray(one) for one in written(records)]
    for payload in payloads[:: data.draw(st.integers(1, 9))]:
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.sampled_from([payload[at] ^ 1, 0xC0, 0xA3, 0xFF, 0xD9, 0x93]))
    agrees([bytes(payload) for payload in payloads])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_a_field_is_the_decoder_is_right(data: st.DataObject) -> None:
    fields = [msgspec.to_builtins(one) for one in usual(40)]
    odd = st.sampled_from(
        [None, "text", 1.5, 7, True, [], [1.5], ["text"], [None, 2], {}, {"a": 1}]
    )
    for one in fields[:: data.draw(st.integers(1, 20))]:
        one[data.draw(st.integers(0, len(one) - 1))] = data.draw(odd)
    agrees([msgspec.msgpack.encode(one) for one in fields])


def agrees(payloads: list[bytes]) -> None:
    """Whether records are what the decoder says, and their columns too."""
    expected, holding_none = [], []
    for at, payload in enumerate(payloads):
        try:
            expected.append(msgspec.msgpack.decode(payload, type=PredictionRecord))
        except NO_RECORD:
            holding_none.append(at)
    found, bad = decoded(payloads)
    assert holding_none == list(bad)
    assert exactly(expected) == exactly(list(found))
    for name in PredictionRecord.__struct_fields__:
        assert exactly([getattr(one, name) for one in expected]) == exactly(found.cells(name))


def usual(count: int, **fields: Any) -> list[PredictionRecord]:
    always: dict[str, Any] = {
        "outputs": (), "positive": None, "request_id": None, "version": 1, "model": "m",
    }  # fmt: skip
    return [
        record(prediction_id=f"{at:04d}", event_time=float(at), **{**always, "values": (0.5, "ab", at, None), **fields})
        for at in range(count)
    ]  # fmt: skip


def kinds_of(found: RecordTable) -> list[tuple[type, int]]:
    return [(type(piece), len(piece)) for piece in found.pieces]


def test_records_that_are_built_alike_are_a_table() -> None:
    alike = usual(100)
    assert [(Alike, 100)] == kinds_of(decoded(written(alike))[0])
    for odd in ("é", None, 1.5, "abc", "y" * 200):
        mixed = [*alike, msgspec.structs.replace(alike[0], values=(0.5, odd, 7, None))]
        found, _ = decoded(written(mixed))
        assert [(Alike, 101)] == kinds_of(found)
        assert mixed == list(found)
        assert [one.values[1] for one in mixed] == found.scalars(1)


def test_models_whose_rows_miss_nothing_are_looked_at_one_by_one() -> None:
    one, other = usual(300, values=(0.5, "ab", 7, None)), usual(200, model="other", values=(0.5,))
    mixed = [*one[:100], *other, *one[100:]]
    found, _ = decoded(written(mixed))
    assert [(Alike, 300), (Alike, 200)] == kinds_of(found)
    assert mixed == list(found)


def test_what_is_built_otherwise_is_a_table_of_its_own_or_none() -> None:
    alike, shadows = usual(100), usual(40, answered=(0.5, 1.0))
    mixed = [one for pair in zip(alike[:40], shadows, strict=True) for one in pair] + alike[40:]
    wider = msgspec.structs.replace(alike[3], values=(0.5,) * 5)
    long = msgspec.structs.replace(alike[4], values=(0.5, "x" * 300, 7, None))
    records = [wider, long, *mixed]
    found, bad = decoded([b"\xc1", *written(records)])
    assert ([(Alike, 100), (Alike, 40), (Loose, 1), (Loose, 1)], [0]) == (kinds_of(found), bad)
    assert records == list(found)
    assert [(Loose, 31)] == kinds_of(decoded(written(alike[:31]))[0])


def test_structure_that_no_record_has_is_left_to_the_decoder() -> None:
    three = [msgspec.to_builtins(one) for one in usual(40)]
    payloads = [msgspec.msgpack.encode([*one[:-1], [0.5, 0.5, 0.5]]) for one in three]
    found, bad = decoded(payloads)
    assert (0, list(range(40))) == (len(found), list(bad))


def test_records_written_before_there_were_such_fields_have_their_defaults() -> None:
    names = PredictionRecord.__struct_fields__
    old = record(values=(0.5,), prediction_id="p", outputs=(), positive=None, request_id=None, event_time=1.0, version=1, model="m")  # fmt: skip
    payload = msgspec.msgpack.encode([getattr(old, name) for name in names[:20]])
    found, _ = decoded([payload] * 40)
    assert [Alike] == [type(piece) for piece in found.pieces]
    assert [old] * 40 == list(found)
    for name in names:
        assert [getattr(old, name)] * 40 == found.cells(name)
    assert [0.0] * 40 == found.floats("shadow").tolist()


def test_a_table_is_a_sequence() -> None:
    records = [record(values=(at,), prediction_id=f"{at}", outputs=(), positive=None, request_id=None, event_time=1.0, version=1, model="m") for at in range(3)]  # fmt: skip
    found = table_of(records)
    assert isinstance(found, RecordTable)
    assert table_of(found) is found
    assert (found == records, found[1:] == records[1:], found == records[1:]) == (True, True, False)
    assert (records[2], 3, True) == (found[2], len(found), records[1] in found)
