from __future__ import annotations

from trimtab.config import CacheConfig
from trimtab.features.cache import RowCache
from trimtab.features.stores.packed import pack, unpack
from trimtab.types import StoredRow

CONFIG = CacheConfig(bytes=4_000, fresh_ms=1_000.0, absent_ms=500.0, stale_seconds=10.0)


def row(x: float) -> StoredRow:
    return StoredRow(values={"x": x}, event_time=0.0)


def test_rows_are_fresh_then_stale_then_gone() -> None:
    cache = RowCache(CONFIG)
    cache.keep("v", ["a"], {"a": row(1.0)}, 100.0)
    assert cache.fresh("v", ["a", "b"], 100.9) == ({"a": row(1.0)}, ["b"], 0)
    assert cache.fresh("v", ["a"], 101.0) == ({}, ["a"], 0)
    assert cache.stale("v", ["a", "b"], 109.9) == {"a": row(1.0)}
    assert cache.stale("v", ["a"], 110.0) == {}


def test_absence_is_known_for_its_own_time_and_never_stands_in() -> None:
    cache = RowCache(CONFIG)
    cache.keep("v", ["a"], {}, 100.0)
    assert cache.fresh("v", ["a"], 100.4) == ({}, [], 1)
    assert cache.fresh("v", ["a"], 100.5) == ({}, ["a"], 0)
    assert cache.stale("v", ["a"], 100.1) == {}


def test_views_do_not_share_entities() -> None:
    cache = RowCache(CONFIG)
    cache.keep("v", ["a"], {"a": row(1.0)}, 100.0)
    assert cache.fresh("w", ["a"], 100.0) == ({}, ["a"], 0)


def test_memory_is_bounded_and_the_least_used_row_goes_first() -> None:
    cache = RowCache(CONFIG)
    for number in range(100):
        cache.keep("v", [f"e{number}"], {f"e{number}": row(float(number))}, 100.0)
        cache.fresh("v", ["e0"], 100.0)
        assert cache.bytes <= CONFIG.bytes
    kept, _, _ = cache.fresh("v", [f"e{number}" for number in range(100)], 100.0)
    assert 2 <= len(kept) < 20
    assert {"e0", "e99"} <= set(kept)
    assert "e1" not in kept


def test_a_row_larger_than_the_cache_is_not_kept_and_drives_nothing_out() -> None:
    cache = RowCache(CONFIG)
    cache.keep("v", ["a"], {"a": row(1.0)}, 100.0)
    large = StoredRow(values={"text": "x" * 10_000}, event_time=0.0)
    cache.keep("v", ["b"], {"b": large}, 100.0)
    assert cache.fresh("v", ["a", "b"], 100.0) == ({"a": row(1.0)}, ["b"], 0)


def test_a_row_read_again_takes_no_more_memory() -> None:
    cache = RowCache(CONFIG)
    cache.keep("v", ["a"], {"a": row(1.0)}, 100.0)
    held = cache.bytes
    cache.keep("v", ["a"], {"a": row(2.0)}, 101.0)
    assert cache.bytes == held
    assert cache.stale("v", ["a"], 102.0) == {"a": row(2.0)}


def test_a_packed_row_is_measured_with_its_values() -> None:
    cache = RowCache(CONFIG)
    packed = unpack(pack(StoredRow(values={"text": "x" * 2_000, "n": 1.0}, event_time=0.0)))
    assert packed is not None
    cache.keep("v", ["a"], {"a": packed}, 100.0)
    assert cache.bytes > 2_000
