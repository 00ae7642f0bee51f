"""Many rows of one request answer as each of them would alone: law 10 does not know how they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.block import Block
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.stores.packed import pack, unpack, unpack_all
from trimtab.features.views import compile_plan
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Resolved, Scalar, Signature, StoredRow, Task

ROWS = 24  # enough for a sheet and for a table
WEATHER, AIRLINE = ("wind", "snow", "heat"), ("delay", "seats")
NAMES = ("distance", *WEATHER, *AIRLINE)
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=n, kind=FeatureKind.NUMERIC, nullable=True) for n in NAMES),
    task=Task.BINARY,
)


class PackedStore(MemoryStore):
    """Holds rows as bytes, and reads many of them as one table."""

    def read_now(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        held = (self._rows.get((view, entity)) for entity in entities)
        return unpack_all(entities, [None if row is None else pack(row) for row in held])

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        return self.read_now(view, entities)


good = st.floats(-9, 9)
odd = st.sampled_from([None, math.nan, math.inf, 3, "x", True, 1e300])


def stored(names: Sequence[str]) -> st.SearchStrategy[StoredRow]:
    """Mostly whole rows of floats, which are what a table takes."""
    whole = st.fixed_dictionaries(dict.fromkeys(names, good))
    return st.builds(
        StoredRow,
        values=st.one_of(
            whole,
            whole,
            st.fixed_dictionaries(dict.fromkeys((*reversed(names), "other"), good)),
            st.fixed_dictionaries(dict.fromkeys(names, st.one_of(good, odd))),
            st.dictionaries(st.sampled_from(names), st.one_of(good, odd)),
        ),
        event_time=st.sampled_from([90.0, 90.0, 40.0, 120.0]),
    )


def fleet(names: Sequence[str]) -> st.SearchStrategy[dict[str, StoredRow]]:
    """Rows of each entity: all alike in kind, with a few that differ or are absent."""
    keys = [f"e{at}" for at in range(ROWS)]
    plain = st.fixed_dictionaries(
        {key: st.builds(StoredRow, values=st.just(dict.fromkeys(names, 1.5)), event_time=st.sampled_from([90.0, 90.0, 40.0])) for key in keys}
    )  # fmt: skip
    some = st.dictionaries(st.sampled_from(keys), st.one_of(st.none(), stored(names)), max_size=4)
    return st.tuples(plain, some).map(
        lambda both: {k: row for k, row in (both[0] | both[1]).items() if row is not None}
    )


patterns = st.lists(st.sampled_from([None, None, None, 7.0]), min_size=6, max_size=6)
rows = st.one_of(
    patterns.map(lambda row: [row] * ROWS),
    st.lists(patterns, min_size=ROWS, max_size=ROWS),
    patterns.map(lambda row: [[math.nan if at == 3 else v for v in row] for at in range(ROWS)]),
)
keys = st.one_of(
    st.just([f"e{at}" for at in range(ROWS)]),
    st.just(["e1"] * ROWS),
    st.lists(st.sampled_from(["e1", "e2", "e3", "nobody", "", "ключ"]), min_size=ROWS, max_size=ROWS),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    rows,
    keys,
    fleet(WEATHER),
    fleet(AIRLINE),
    st.sampled_from([None, 60.0]),
    st.sampled_from([(None, None), (-5.0, 5.0)]),
    st.booleans(),
)
def test_many_rows_answer_as_each_alone(
    asked: Sequence[Sequence[Scalar]],
    names: Sequence[str],
    weather: Mapping[str, StoredRow],
    airline: Mapping[str, StoredRow],
    ttl: float | None,
    bounds: tuple[float | None, float | None],
    packed: bool,
) -> None:
    def features(names: Sequence[str], default: float | None) -> tuple[ViewFeature, ...]:
        low, high = bounds
        return tuple(ViewFeature(name=n, minimum=low, maximum=high, default=default) for n in names)

    config = FeaturesConfig(
        stores={name: StoreConfig(kind="memory") for name in ("online", "nightly")},
        views={
            "weather": ViewConfig(
                entity="origin", realtime="online", batch="nightly", ttl_seconds=ttl,
                features=features(WEATHER, -1.0),
            ),
            "airline": ViewConfig(
                entity="carrier", realtime="online", features=features(AIRLINE, None)
            ),
        },
    )  # fmt: skip

    async def main(clock: FakeClock) -> tuple[Sequence[Resolved], Sequence[Resolved]]:
        online: MemoryStore = PackedStore() if packed else MemoryStore()
        nightly = MemoryStore()
        await online.write("weather", weather)
        await online.write("airline", airline)
        await nightly.write("weather", {"e2": StoredRow(values={"wind": 2.0}, event_time=1.0)})
        metrics = Metrics()
        stores = {"online": online, "nightly": nightly}
        guards = {n: Guard(n, store, metrics, clock, config) for n, store in stores.items()}
        plan = compile_plan(config, SIGNATURE, ["weather", "airline"])
        resolver = Resolver(plan, SIGNATURE, guards, metrics, clock, config)
        entities = [{"origin": name, "carrier": name} for name in names]
        times = [100.0 + at for at in range(ROWS)]
        together = await resolver.resolve(asked, entities, times, 100.0)
        alone = [
            (await resolver.resolve([row], [entity], [time], 100.0))[0]
            for row, entity, time in zip(asked, entities, times, strict=True)
        ]
        return together, alone

    together, alone = run_virtually(main)
    assert alone == together


@given(st.lists(st.one_of(st.none(), stored(WEATHER)), min_size=16, max_size=40), st.data())
def test_a_table_holds_the_rows_that_one_by_one_have(
    held: Sequence[StoredRow | None], data: st.DataObject
) -> None:
    names = [f"e{at}" for at in range(len(held))]
    blobs = [None if row is None else pack(row) for row in held]
    place = data.draw(st.integers(0, len(held) - 1))
    blobs[place] = data.draw(
        st.sampled_from([blobs[place], b"", b"short", (blobs[place] or b"")[:-1]])
    )
    one_by_one = {
        name: row
        for name, blob in zip(names, blobs, strict=True)
        if blob is not None and (row := unpack(blob)) is not None
    }
    found = unpack_all(names, blobs)
    assert repr(one_by_one) == repr(dict(found))
    assert list(one_by_one) == list(found)
    assert len(one_by_one) == len(found)


def test_plain_rows_of_floats_are_read_as_a_table() -> None:
    row = StoredRow(values={"wind": 1.0, "snow": 2.0}, event_time=3.0)
    names, blobs = [f"e{at}" for at in range(20)], [pack(row)] * 20
    assert unpack(blobs[0]) == row
    found = unpack_all(names, blobs)
    assert type(found) is Block
    assert dict(found) == dict.fromkeys(names, row)
    assert dict(unpack_all(["e0"] * 20, blobs)) == {"e0": row}
