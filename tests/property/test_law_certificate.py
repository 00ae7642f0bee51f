"""Law 11: what exceeds its budget is refused, and a certificate says what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimtab.optimize.budget import parse_budget
from trimtab.optimize.course import Course, Standing
from trimtab.optimize.planner import Plan, Planner
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Footprint, Ground, ModelFile, Rows, Task


class Shifted:
    """A model whose probability is the row's own number, moved by ``by``; ``us`` a row, ``size`` bytes."""

    def __init__(self, by: float, us: float, size: int) -> None:
        self.by, self.us, self.size = by, us, size

    def outputs(self, rows: Any) -> FloatArray:
        positive = np.clip(rows[:, 0] + self.by * np.sign(rows[:, 1]), 0.0, 1.0)
        return np.column_stack([1.0 - positive, positive])

    def write(self, path: Path) -> ModelFile:
        path.write_text(f"{self.us} {self.size}")
        return ModelFile(path=str(path), opener="")


class Offering:
    """A step that offers these forms, whatever it is given; to another than the original, none."""

    def __init__(self, name: str, lossless: bool, forms: Sequence[Shifted]) -> None:
        self.name, self.lossless, self._forms = name, lossless, forms

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        assert len(ground.choose) > 0
        if isinstance(form, Shifted) and form.by == 0.0 and form.size == ORIGINAL.size:
            yield from ((f"{self.name} {place}", each) for place, each in enumerate(self._forms))


ORIGINAL = Shifted(0.0, 1_000.0, 1_000_000)


def measured(files: Sequence[ModelFile], rows: Any, **_: Any) -> list[Footprint]:
    assert len(rows) > 0
    found = []
    for file in files:
        us, size = Path(file.path).read_text().split()
        found.append(
            Footprint(
                disk_bytes=int(size), rss_bytes=int(size), pss_bytes=int(size), workers=4,
                load_ms=1.0, p50_us=float(us), p99_us=float(us), rows_per_s=1e6 / float(us),
            )
        )  # fmt: skip
    return found


def ground(seed: int = 0, rows: int = 600) -> Ground:
    random = np.random.default_rng(seed)
    X = np.column_stack([random.uniform(0.02, 0.98, 2 * rows), random.normal(size=2 * rows)])
    y = (random.random(2 * rows) < X[:, 0]).astype(np.int64)
    first, second = Rows(X=X[:rows], outcomes=y[:rows]), Rows(X=X[rows:], outcomes=y[rows:])
    return Ground(task=Task.BINARY, fit=first, choose=first, certify=second)


def made(budget: str, *steps: Offering) -> tuple[Plan, ModelForm | None]:
    planner = Planner(ground(), parse_budget(budget), steps, measure=measured)
    return planner.plan(ORIGINAL, digest="sha256:0", now=0.0)


@given(
    shifts=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=6),
    allowed=st.floats(0.0, 0.3),
    data=st.data(),
)
def test_what_is_kept_never_exceeds_its_budget(
    shifts: list[float], allowed: float, data: st.DataObject
) -> None:
    costs = [data.draw(st.integers(1, 999)) for _ in shifts]
    offered = [Shifted(by, us, us * 100) for by, us in zip(shifts, costs, strict=True)]
    plan, kept = made(f"max_abs<={allowed}", Offering("shift", False, offered))
    inside = [f for f in offered if np.abs(f.by) * 0.999999 <= allowed]
    if plan.certificate is not None and isinstance(kept, Shifted):
        before, after = ORIGINAL.outputs(ground().certify.X), kept.outputs(ground().certify.X)
        assert np.abs(before - after).max() == plan.certificate.max_abs <= allowed
        assert all(kept.us <= other.us for other in inside if other.by + 1e-9 < allowed)
    else:
        assert all(form.by + 1e-9 >= allowed for form in offered if form.by > 0.0)
    for trial in plan.trials:
        assert (trial.agreed.max_abs > allowed) <= bool(trial.unmet)


@given(by=st.floats(1e-6, 0.4))
def test_without_a_budget_nothing_lossy_is_even_tried(by: float) -> None:
    plan, kept = made("", Offering("shift", False, [Shifted(by, 1.0, 1)]))
    assert (["original"], None, True) == ([t.name for t in plan.trials], kept, plan.reached)


@given(us=st.integers(1, 2_000), limit=st.integers(1, 2_000))
def test_a_budget_out_of_reach_changes_nothing_and_shows_what_came_nearest(
    us: int, limit: int
) -> None:
    plan, kept = made(f"p99<={limit}us", Offering("safe", True, [Shifted(0.0, us, 10)]))
    reachable = us <= limit or limit >= 1_000
    assert plan.reached == reachable
    if not reachable:
        assert kept is None
        assert plan.certificate is None
        assert "p99" in plan.words
        assert all(trial.unmet for trial in plan.trials)


@given(seed=st.integers(0, 1_000), by=st.floats(0.0, 0.2))
def test_losses_are_those_of_rows_that_had_no_part_in_the_choice(seed: int, by: float) -> None:
    planner = Planner(
        ground(seed), parse_budget("auc<=0.2,max_abs<=0.5"),
        [Offering("shift", False, [Shifted(by, 1.0, 1)])], measure=measured,
    )  # fmt: skip
    plan, _ = planner.plan(ORIGINAL, digest="sha256:0", now=0.0)
    if plan.certificate is not None:
        assert plan.certificate.rows == 600
        auc = plan.certificate.metrics[0]
        assert auc.low <= auc.loss <= auc.high <= 0.2
        assert plan.certificate.metrics != plan.trials[1].agreed.metrics or by == 0.0


def test_a_certificate_that_fails_on_fresh_rows_lets_the_next_best_try() -> None:
    """The cheapest form is right on the rows for choosing and wrong on those for certifying."""

    class TwoFaced(Shifted):
        def outputs(self, rows: Any) -> FloatArray:
            same = rows.shape == REAL.choose.X.shape and (rows == REAL.choose.X).all()
            return Shifted(0.0 if same else 0.3, 1.0, 1).outputs(rows)

    honest = Shifted(0.0005, 5.0, 5)
    plan, kept = made("max_abs<=0.001", Offering("try", False, [TwoFaced(0.0, 1.0, 1), honest]))
    assert kept is honest
    assert plan.certificate is not None
    assert plan.certificate.max_abs <= 0.001
    assert "max_abs" in plan.trials[1].unmet[0]


REAL = ground()


def test_a_segment_that_loses_more_than_its_own_budget_refuses_the_whole() -> None:
    random = np.random.default_rng(5)
    X = np.column_stack([random.uniform(0.02, 0.98, 4_000), np.ones(4_000)])
    small = np.arange(4_000) % 10 == 0
    y = (random.random(4_000) < X[:, 0]).astype(np.int64)

    class Unfair(Shifted):
        def outputs(self, rows: Any) -> FloatArray:
            answer = ORIGINAL.outputs(rows)
            few = np.arange(len(rows)) % 10 == 0
            answer[few] = 0.5
            return answer

    labels = np.where(small, "few", "many").astype(object)
    rows = Rows(X=X, outcomes=y, segments={"group": labels})
    both = Ground(task=Task.BINARY, fit=rows, choose=rows, certify=rows)
    step = Offering("unfair", False, [Unfair(0.0, 1.0, 1)])
    planner = Planner(both, parse_budget("brier<=0.05"), [step], measure=measured)
    plan, kept = planner.plan(ORIGINAL, digest="sha256:0", now=0.0)
    assert kept is not None
    strict = Planner(both, parse_budget("brier<=0.05,segment<=0.05"), [step], measure=measured)
    plan, kept = strict.plan(ORIGINAL, digest="sha256:0", now=0.0)
    assert kept is None
    assert any("group=few loses" in words for words in plan.trials[1].unmet)


def test_what_changes_nothing_is_not_tried_twice() -> None:
    offered = Offering("shift", False, [Shifted(0.01, 5.0, 50), Shifted(0.01, 5.0, 50)])
    plan, kept = made("max_abs<=0.1", offered)
    assert ["original", "shift 0"] == [trial.name for trial in plan.trials]
    assert kept is not None


class OnAll(Offering):
    """Offers its forms to whatever it is given."""

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        assert isinstance(form, Shifted)
        assert len(ground.fit) > 0
        for place, each in enumerate(self._forms):
            moved = Shifted(form.by + each.by, form.us * each.us, form.size + each.size)
            yield f"{self.name} {place}", moved


def test_what_lost_too_much_alone_is_not_combined() -> None:
    first = OnAll("one", False, [Shifted(0.01, 0.9, 1), Shifted(0.2, 0.1, 2)])
    second = OnAll("two", False, [Shifted(0.02, 0.8, 3), Shifted(0.3, 0.1, 4)])
    plan, _ = made("max_abs<=0.1", first, second)
    assert {"original", "one 0", "one 1", "two 0", "two 1", "two 0, one 0"} == {
        trial.name for trial in plan.trials
    }


def test_a_search_ends_when_its_time_is_up_and_says_what_it_left_out() -> None:
    told: list[Standing] = []
    clock = [0.0]

    def slowly(files: Sequence[ModelFile], rows: Any, **settings: Any) -> list[Footprint]:
        clock[0] += 3.0
        return measured(files, rows, **settings)

    planner = Planner(
        ground(), parse_budget("max_abs<=0.1"),
        [
            OnAll(name, False, [Shifted(0.001, 0.9, size)])
            for size, name in enumerate(("one", "two", "three"))
        ],
        measure=slowly, progress=told.append, course=Course(seconds=5.0, timer=lambda: clock[0]),
    )  # fmt: skip
    plan, kept = planner.plan(ORIGINAL, digest="sha256:0", now=0.0)
    assert isinstance(kept, Shifted)
    assert ["original", "one 0", "two 0"] == [trial.name for trial in plan.trials]
    assert "After 5 s no more was tried; unfinished: two, three." in plan.words
    assert [None, None, 17.0, 15.0] == [each.left_seconds for each in told]
    assert [0.0, 0.0, 0.15, 6 / 21] == [each.share for each in told]
