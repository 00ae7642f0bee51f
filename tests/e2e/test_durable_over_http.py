"""Mode durable over both ways in: what was answered is on disk, and `kill -9` of everything changes nothing about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.clients import Load, journal, metric
from tests.e2e.conftest import Start, registered


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_what_was_answered_is_in_the_journal(serve: Start, tmp_path: Path, way: str) -> None:
    config = registered(tmp_path)
    text = config.read_text().replace("[serve]\n", f'[serve]\nhttp = "{way}"\n')
    config.write_text(f'{text}\n[journal]\nmode = "durable"\n')
    server = serve(config)
    with Load(server.url, clients=4) as load:
        load.more(120)
        with server.client as client:
            assert 0 == metric(client, "ml_journal_loss_bound_seconds")
            assert metric(client, "ml_journal_lag_seconds") > 0
        load.more(20)
        server.kill_tree()
    assert {200} == set(load.statuses)
    recorded = [record.prediction_id for record in journal(config)]
    assert len(recorded) == len(set(recorded))
    assert set() == set(load.ids) - set(recorded)
