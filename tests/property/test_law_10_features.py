"""Law 10: a prediction gets its features within the deadline whatever the stores do.

Both stores get any combination of faults and delays; an oracle says from what each did which source
each value must have. Time is virtual, so the deadline is checked exactly.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidRow
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import compile_plan
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Resolved, Scalar, Signature, StoredRow, Task

NAMES = ("a", "b", "c")
ENTITIES = ("JFK", "LGA", "EWR")
NOW = 1_000.0
TTL = 300.0
DEADLINE_MS = 100.0
HEDGE_MS = 50.0

NOT_A_REPLY = [None, 3, "JFK", ["JFK"], {"JFK"}, {"JFK": 1}.items, b"\x00"]
NOT_A_ROW = [3, "row", {"a": 1.0}, StoredRow(values=None, event_time=1.0)]  # type: ignore[arg-type]
NOT_A_ROW += [StoredRow(values={"a": 1.0}, event_time=t) for t in (math.nan, math.inf)]
NOT_A_ROW += [StoredRow(values={"a": 1.0}, event_time="noon")]  # type: ignore[arg-type]
NOT_A_NUMBER: list[Any] = [None, math.nan, "1.0", True, math.inf, [1.0], {}, object()]
ERRORS = [OSError, KeyError, ValueError, TimeoutError, RuntimeError, asyncio.CancelledError]


@dataclass
class Faulty(MemoryStore):
    """Answers ``reply`` after ``delay_ms``, or never, or raises; may ignore being cancelled."""

    delay_ms: float = 0.0
    error: type[BaseException] | None = None
    reply: Any = field(default_factory=dict)
    ignores_cancelling: bool = False

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:  # noqa: ARG002
        if self.ignores_cancelling:
            for _ in range(3):
                try:
                    await asyncio.sleep(2 * DEADLINE_MS / 1e3)
                except asyncio.CancelledError:
                    continue
        await asyncio.sleep(self.delay_ms / 1e3)
        if self.error is not None:
            raise self.error
        return self.reply

    def delivers_after_ms(self) -> float:
        return math.inf if self.ignores_cancelling else self.delay_ms

    def value(self, entity: str, name: str, ttl: float | None) -> tuple[float, float] | None:
        """The value that must be taken from this store and its age, if it comes in time."""
        row = self.reply.get(entity) if self.error is None and type(self.reply) is dict else None
        if not isinstance(row, StoredRow) or row in NOT_A_ROW:
            return None
        value, age = row.values.get(name), max(0.0, NOW - row.event_time)
        if type(value) is not float or not math.isfinite(value) or (ttl is not None and age > ttl):
            return None
        return value, age


values = st.one_of(st.floats(-9, 9), st.floats(-9, 9), st.sampled_from(NOT_A_NUMBER))
event_times = st.sampled_from([NOW + 5, NOW, NOW - 10, NOW - TTL, NOW - TTL - 1, 0.0])
rows = st.builds(
    StoredRow, values=st.dictionaries(st.sampled_from(NAMES), values), event_time=event_times
)
full_rows = st.builds(
    StoredRow,
    values=st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(-9, 9))),
    event_time=event_times,
)
replies = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(ENTITIES, full_rows)),
    st.dictionaries(st.sampled_from(ENTITIES), rows),
    st.dictionaries(st.sampled_from(ENTITIES), rows, min_size=2),
    st.dictionaries(st.sampled_from(ENTITIES), st.one_of(rows, st.sampled_from(NOT_A_ROW))),
    st.sampled_from(NOT_A_REPLY),
)
stores = st.builds(
    Faulty,
    delay_ms=st.sampled_from([0.0, 1.0, 20.0, 60.0, 130.0, 1e9]),
    error=st.one_of(st.none(), st.none(), st.none(), st.sampled_from(ERRORS)),
    reply=replies,
    ignores_cancelling=st.sampled_from([False, False, False, True]),
)
requests = st.lists(
    st.tuples(
        st.sampled_from([*ENTITIES, "", "\ud800", None]),
        st.tuples(*(st.sampled_from([None, None, math.nan, 7.0]) for _ in NAMES)),
    ),
    min_size=1,
    max_size=4,
)
defaults = st.tuples(*(st.sampled_from([None, -1.0]) for _ in NAMES))
nullable = st.tuples(*(st.booleans() for _ in NAMES))


@dataclass(frozen=True)
class Case:
    realtime: Faulty
    batch: Faulty
    rows: Sequence[tuple[str | None, tuple[Scalar, ...]]]
    defaults: tuple[float | None, ...]
    nullable: tuple[bool, ...]


cases = st.builds(Case, stores, stores, requests, defaults, nullable)


async def resolve(case: Case, clock: FakeClock) -> Sequence[Resolved]:
    config = FeaturesConfig(
        deadline_ms=DEADLINE_MS,
        stores={"online": StoreConfig(kind="memory"), "nightly": StoreConfig(kind="memory")},
        views={
            "weather": ViewConfig(
                entity="origin",
                realtime="online",
                batch="nightly",
                ttl_seconds=TTL,
                features=tuple(
                    ViewFeature(name=name, default=default)
                    for name, default in zip(NAMES, case.defaults, strict=True)
                ),
            )
        },
    )
    signature = Signature(
        features=tuple(
            FeatureSpec(name=name, kind=FeatureKind.NUMERIC, nullable=may)
            for name, may in zip(NAMES, case.nullable, strict=True)
        ),
        task=Task.BINARY,
    )
    metrics = Metrics()
    stores = {"online": case.realtime, "nightly": case.batch}
    guards = {n: Guard(n, store, metrics, clock, config) for n, store in stores.items()}
    plan = compile_plan(config, signature, ["weather"])
    resolver = Resolver(plan, signature, guards, metrics, clock, config)
    entities = [{} if key is None else {"origin": key} for key, _ in case.rows]
    return await resolver.resolve(
        [list(row) for _, row in case.rows], entities, [NOW] * len(case.rows), 1e6
    )


def wanted(case: Case) -> list[tuple[str, str]]:
    """What of the stores is wanted: pairs of entity and feature."""
    return [
        (key, name)
        for key, row in case.rows
        if key in ENTITIES and key is not None
        for name, value in zip(NAMES, row, strict=True)
        if value is None or value != value  # noqa: PLR0124 - NaN
    ]


def in_time(case: Case) -> tuple[bool, bool]:
    """Whether each store answers before the deadline, by when it is asked."""
    online = case.realtime.delivers_after_ms()
    batch_starts = min(online, HEDGE_MS)
    return online < DEADLINE_MS, batch_starts + case.batch.delivers_after_ms() < DEADLINE_MS


def expected(case: Case) -> list[Resolved] | str:
    """What must be answered, or the path of the feature that must be named as unavailable."""
    online, nightly = in_time(case)
    answers = []
    for index, (key, row) in enumerate(case.rows):
        filled: list[tuple[Scalar, str, float | None]] = []
        for at, name in enumerate(NAMES):
            value = row[at]
            fresh = case.realtime.value(key, name, TTL) if online and key else None
            stored = case.batch.value(key, name, None) if nightly and key else None
            if value is not None and value == value:  # noqa: PLR0124 - not NaN
                filled.append((value, "q", None))
            elif fresh is not None:
                filled.append((fresh[0], "r", fresh[1]))
            elif stored is not None:
                filled.append((stored[0], "b", stored[1]))
            elif case.defaults[at] is not None:
                filled.append((case.defaults[at], "d", None))
            elif case.nullable[at]:
                filled.append((None, "-", None))
            else:
                return f"rows[{index}].features.{name}"
        answers.append(
            Resolved(
                values=tuple(value for value, _, _ in filled),
                sources="".join(source for _, source, _ in filled),
                ages_seconds=tuple(age for _, _, age in filled),
            )
        )
    return answers


@settings(max_examples=600, deadline=None)
@given(cases)
def test_every_value_comes_from_the_best_source_within_the_deadline(case: Case) -> None:
    async def main(clock: FakeClock) -> tuple[list[Resolved] | str | None, float]:
        started = clock.monotonic()
        answer: list[Resolved] | str | None
        try:
            answer = list(await resolve(case, clock))
        except InvalidRow as refused:
            answer = refused.path if refused.code == "feature_unavailable" else None
        return answer, (clock.monotonic() - started) * 1e3

    answer, took_ms = run_virtually(main)
    assert expected(case) == answer
    assert took_ms <= DEADLINE_MS + 1e-6
    if not wanted(case):
        assert took_ms == 0.0
