from __future__ import annotations

import pytest

from trimtab.errors import Conflict
from trimtab.store.state import open_state
from trimtab.types import AppliedView, SourceProgress


def applied(view: str, version: int) -> AppliedView:
    return AppliedView(
        view=view,
        version=version,
        digest=f"sha256:{version}",
        applied_at=float(version),
        actor="ann",
        reason="Because.",
        body={"entity": "origin", "features": [{"name": "wïnd", "default": 1.5}]},
        code={"ratio": "sha256:1"},
    )


def test_versions_are_kept_and_the_newest_counts(url: str) -> None:
    store = open_state(url)
    with store.transaction() as tx:
        for one in (applied("b", 1), applied("b", 2), applied("a", 10), applied("b", 11)):
            tx.features.add_view(one)
    with store.reading() as tx:
        assert [applied("a", 10), applied("b", 11)] == list(tx.features.views())
        assert [1, 2, 11] == [one.version for one in tx.features.versions("b")]
        assert [] == list(tx.features.versions("c"))
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.features.add_view(applied("b", 2))
    store.close()


def test_progress_is_kept_by_job_and_source(url: str) -> None:
    store = open_state(url)
    one = SourceProgress(source="a.parquet", stamp="1", done=3)
    with store.transaction() as tx:
        tx.features.save_progress("weather", SourceProgress(source="a.parquet", stamp="1", done=2))
        tx.features.save_progress("weather", one)
        tx.features.save_progress("sea", one)
    with store.transaction() as tx:
        assert {"a.parquet": one} == tx.features.progress("weather")
        tx.features.forget_progress("weather")
    with store.reading() as tx:
        assert {} == tx.features.progress("weather")
        assert {"a.parquet": one} == tx.features.progress("sea")
    store.close()
