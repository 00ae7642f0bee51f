"""The page of one comparison."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.report.drift_page import render_drift
from trimtab.types import Comparison, State, Verdict


def verdict(words: str = "median 1 → 9") -> Verdict:
    moved = Comparison(
        name="amount", statistic="ks", score=0.6, noise_floor=0.02, floor=0.05, p_value=1e-9,
        words=words,
    )  # fmt: skip
    still = Comparison(
        name="age", statistic="ks", score=0.01, noise_floor=0.02, floor=0.05, p_value=0.7
    )
    return Verdict(
        subject="data_drift", model="", version=0, start=0, end=1, rows=1234, state=State.WATCH,
        score=0.6, evidence=2.0, alarm_at=1000.0, alarmed=False, since=0.0,
        comparisons=(still, moved), flagged=("amount",), words="1 of 2 differ.",
    )  # fmt: skip


def test_what_drifted_stands_first_and_is_named(
    unbalanced: Callable[[str], list[str]],
) -> None:
    page = render_drift(verdict(), "old.parquet", "new.parquet")
    assert page.index("amount") < page.index(">age<")
    assert "1,234 rows" in page
    assert "old.parquet" in page
    assert [] == unbalanced(page)


def test_names_and_words_are_escaped() -> None:
    page = render_drift(verdict("<script>alert(1)</script>"), "<b>", "new")
    assert "<script>" not in page
    assert "<b>.parquet" not in page
    assert "&lt;b&gt;" in page


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert "http" not in render_drift(verdict(), "a", "b").replace("http://www.w3.org", "")
