"""Rows come out of stores as they went in, whichever form they were written in, and answer alike."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.stores.packed import pack, time_of, unpack
from trimtab.features.views import compile_plan
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Resolved, Scalar, Signature, StoredRow, Task

NAMES = ("a", "b", "c")

scalars = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-(2**53), 2**53),
    st.text(max_size=9),
    st.booleans(),
    st.none(),
)
times = st.floats(-1e12, 1e12)
any_rows = st.builds(
    StoredRow, values=st.dictionaries(st.text(max_size=9), scalars, max_size=9), event_time=times
)
float_rows = st.builds(
    StoredRow,
    values=st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False), max_size=9),
    event_time=times,
)


def pack_plainly(row: StoredRow) -> bytes:
    """The form that rows had before they had heads."""
    return struct.pack(">d", row.event_time) + msgspec.msgpack.encode(row.values)


@given(st.one_of(any_rows, float_rows))
def test_what_is_packed_comes_out_the_same(row: StoredRow) -> None:
    for blob in (pack(row), pack_plainly(row)):
        found = unpack(blob)
        assert found is not None
        values = dict(found.values)
        assert (values, found.event_time) == (row.values, row.event_time)
        assert list(map(type, values.values())) == list(map(type, row.values.values()))
        assert found == row
        assert row == found
        assert row.event_time == time_of(blob)
        again = unpack(pack(found))
        assert found == again


@given(st.one_of(any_rows, float_rows), st.data())
def test_bytes_that_changed_are_another_row_or_none_and_never_an_error(
    row: StoredRow, data: st.DataObject
) -> None:
    blob = bytearray(pack(row))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    found = unpack(bytes(blob[: data.draw(st.integers(0, len(blob)))]))
    if found is not None:
        assert math.isfinite(found.event_time)
        assert len(found.values) == len(dict(found.values))


def test_a_head_that_does_not_say_its_own_hash_is_none() -> None:
    lead = struct.pack(">dBBHQ", 9.0, 0xC1, 0, 6, 1234)
    assert unpack(lead + msgspec.msgpack.encode(("gale",)) + struct.pack(">d", 1.0)) is None


# --------------------------------------------------------------------------- one answer for all forms

stored_values = st.one_of(
    st.floats(-9, 9), st.floats(-9, 9), st.sampled_from([None, math.nan, math.inf, 3, "x", True])
)
stored_rows = st.builds(
    StoredRow,
    values=st.one_of(
        st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(-9, 9))),
        st.permutations(("z", *NAMES)).map(lambda names: dict.fromkeys(names, 1.5)),
        st.dictionaries(st.sampled_from(("z", *NAMES)), stored_values),
    ),
    event_time=st.sampled_from([0.0, 5.0, 100.0]),
)
requests = st.lists(
    st.tuples(*(st.sampled_from([None, None, 7.0]) for _ in NAMES)), min_size=1, max_size=3
)
bounds = st.sampled_from([(None, None), (-5.0, 5.0)])


def answers(
    row: StoredRow, asked: Sequence[Sequence[Scalar]], bound: tuple[float | None, float | None]
) -> Sequence[Resolved]:
    features = tuple(
        ViewFeature(name=name, minimum=bound[0], maximum=bound[1], default=-1.0) for name in NAMES
    )
    view = ViewConfig(entity="origin", realtime="online", ttl_seconds=50.0, features=features)
    config = FeaturesConfig(stores={"online": StoreConfig(kind="memory")}, views={"weather": view})
    signature = Signature(
        features=tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in NAMES),
        task=Task.BINARY,
    )

    async def main(clock: FakeClock) -> Sequence[Resolved]:
        store, metrics = MemoryStore(), Metrics()
        await store.write("weather", {"JFK": row})
        guards = {"online": Guard("online", store, metrics, clock, config)}
        plan = compile_plan(config, signature, ["weather"])
        resolver = Resolver(plan, signature, guards, metrics, clock, config)
        entities = [{"origin": "JFK"}] * len(asked)
        return await resolver.resolve(asked, entities, [100.0] * len(asked), 100.0)

    return run_virtually(main)


@settings(deadline=None)
@given(stored_rows, requests, bounds)
def test_a_row_answers_alike_in_every_form(
    row: StoredRow,
    asked: Sequence[Sequence[Scalar]],
    bound: tuple[float | None, float | None],
) -> None:
    expected = answers(row, asked, bound)
    for blob in (pack(row), pack_plainly(row)):
        found = unpack(blob)
        assert found is not None
        assert expected == answers(found, asked, bound)
