"""What `trimtab status` prints of an overview."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from rich.console import Console

from trimtab.cli.status import show_overview
from trimtab.types import State
from trimtab.wiring.overview import ModelOverview


def printed(one: ModelOverview) -> str:
    console = Console(width=200)
    with console.capture() as caught:
        show_overview(console, one)
    return " ".join(caught.get().split())


def test_what_stands_out_in_the_newest_window_is_named(
    overview_of: Callable[..., ModelOverview],
) -> None:
    drift = overview_of().latest("data_drift")
    assert drift is not None
    end, rows = 1_356_998_400.0, 1_200
    window = replace(drift, state=State.DRIFTED, score=0.25, end=end, rows=rows)
    whole = replace(window, start=end - 86_400.0, flagged=("a", "[b]", "c", "d", "e"))
    brief = replace(window, start=end - 60.0, flagged=(), state=State.NOT_ENOUGH_DATA)
    assert (
        "data drift drifted, score 0.25, window to 2013-01-01, 1,200 rows: a, [b], c and 2 more"
        in printed(overview_of(verdicts=(whole,)))
    )
    said = printed(overview_of(verdicts=(brief,)))
    assert "data drift not enough data, score 0.25, window to 2013-01-01 00:00, 1,200 rows" in said
    assert "rows:" not in said
