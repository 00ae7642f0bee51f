from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import StoreConfig
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.stores import postgres
from trimtab.testing import FakeClock, check_feature_store


@pytest.mark.anyio
async def test_postgres_keeps_the_laws_of_a_feature_store(postgresql: str, tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url=postgresql + "postgres")
    await check_feature_store(lambda: postgres.create(config, tmp_path, FakeClock()))


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url="postgresql://nobody@127.0.0.1:1/none")
    store = postgres.create(config, tmp_path, FakeClock())
    with pytest.raises(Unavailable) as caught:
        await store.read("v", ["e"])
    assert caught.value.code == "store_unavailable"
    await store.close()


def test_a_url_that_is_none_is_refused_without_being_printed(tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url="password=secret whatever")
    with pytest.raises(InvalidConfig) as caught:
        postgres.create(config, tmp_path, FakeClock())
    assert "secret" not in str(caught.value)
