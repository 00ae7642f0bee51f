from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature, ViewTransform
from trimtab.errors import InvalidConfig, InvalidRow
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.transforms import TransformingResolver
from trimtab.features.views import FeaturePlan, compile_plan
from trimtab.schema import Checker
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    Resolved,
    RowRequest,
    Scalar,
    Signature,
    StoredRow,
    Task,
)


def signature(*names: str, nullable: bool = False) -> Signature:
    return Signature(
        features=tuple(
            FeatureSpec(name=name, kind=FeatureKind.NUMERIC, nullable=nullable) for name in names
        ),
        task=Task.BINARY,
    )


def made(
    name: str, function: str, *inputs: str, default: Scalar = None, takes_missing: bool = False
) -> ViewTransform:
    return ViewTransform(
        name=name,
        function=function,
        inputs=inputs,
        default=default,
        takes_missing=takes_missing,
    )


def config(*transforms: ViewTransform) -> FeaturesConfig:
    return FeaturesConfig(
        stores={"online": StoreConfig(kind="memory")},
        views={
            "customer": ViewConfig(
                entity="customer_id", realtime="online", features=(ViewFeature(name="mean"),)
            ),
            "ratios": ViewConfig(transforms=transforms, request=(ViewFeature(name="amount"),)),
        },
    )


RATIO = made("ratio", "operator:truediv", "amount", "mean", default=1.0)
VIEWS = ("customer", "ratios")


class World:
    """A model's checker and resolver, and one store with a customer whose mean is 4."""

    def __init__(
        self, views: FeaturesConfig, takes: Signature, clock: FakeClock | None = None
    ) -> None:
        self.plan = compile_plan(views, takes, VIEWS)
        self.metrics = Metrics()
        clock = clock or FakeClock()
        store = MemoryStore()
        store._rows["customer", "ann"] = StoredRow(values={"mean": 4.0}, event_time=7.0)
        guards = {"online": Guard("online", store, self.metrics, clock, views)}
        inner = Resolver(self.plan, self.plan.stored(takes), guards, self.metrics, clock, views)
        self.resolver = TransformingResolver(inner, self.plan, takes, self.metrics, clock, views)
        self.checker = Checker(
            takes, self.plan.provided, self.plan.entities, inputs=self.plan.inputs
        )

    def ask(self, features: Mapping[str, Scalar]) -> Resolved:
        values, entities = self.checker.check(RowRequest(features=features), "rows[0]")
        answers: Sequence[Resolved] = []

        async def main(_: FakeClock) -> None:
            nonlocal answers
            answers = await self.resolver.resolve([values], [entities], [10.0], 100.0)

        run_virtually(main)
        return answers[0]

    def refused(self, feature: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "ml_feature_refused_total", {"view": "ratios", "feature": feature}
        )


def test_a_transform_takes_a_request_value_and_a_stored_one() -> None:
    world = World(config(RATIO), signature("ratio"))
    assert world.ask({"customer_id": "ann", "amount": 10.0}) == Resolved(
        values=(2.5,), sources="r", ages_seconds=(3.0,)
    )


def test_the_plan_places_what_the_model_itself_does_not_take_behind_it() -> None:
    plan = compile_plan(config(RATIO), signature("age", "ratio"), VIEWS)
    assert [spec.name for spec in plan.inputs] == ["amount", "mean"]
    assert plan.transforms[0].inputs == (2, 3)
    assert plan.stored(signature("age", "ratio")).names == ("age", "amount", "mean")
    assert plan.provided == {"mean", "ratio"}


def test_a_transform_that_the_model_does_not_need_is_not_planned() -> None:
    plan = compile_plan(config(RATIO), signature("mean"), VIEWS)
    assert (plan.transforms, plan.inputs) == ((), ())


def test_a_missing_input_gives_the_default() -> None:
    world = World(config(RATIO), signature("ratio"))
    answer = world.ask({"customer_id": "bob", "amount": 10.0})
    assert (answer.values, answer.sources, answer.ages_seconds) == ((1.0,), "d", (None,))


def test_a_transform_may_take_missing_inputs() -> None:
    first = made("first", "builtins:bool", "mean", takes_missing=True)
    step = ViewTransform(
        name="known", kind="boolean", function="builtins:bool", inputs=("mean",), takes_missing=True
    )
    assert first.takes_missing
    takes = Signature(
        features=(FeatureSpec(name="known", kind=FeatureKind.BOOLEAN),), task=Task.BINARY
    )
    world = World(config(step), takes)
    assert world.ask({"customer_id": "bob"}).values == (False,)
    assert world.ask({"customer_id": "ann"}).values == (True,)


def test_what_the_request_brings_itself_is_not_computed() -> None:
    world = World(config(RATIO), signature("ratio"))
    answer = world.ask({"ratio": 9.0, "customer_id": "ann", "amount": 10.0})
    assert (answer.values, answer.sources) == ((9.0,), "q")


def test_a_transform_that_fails_gives_the_default_and_is_counted() -> None:
    broken = made("ratio", "operator:truediv", "amount", "zero", default=1.0)
    zero = made("zero", "operator:sub", "mean", "mean")
    world = World(config(broken, zero), signature("ratio"))
    assert world.ask({"customer_id": "ann", "amount": 10.0}).sources == "d"
    assert world.refused("ratio") == 1.0


def test_an_output_of_the_wrong_type_is_refused_and_counted() -> None:
    text = made("ratio", "builtins:repr", "mean", default=1.0)
    world = World(config(text), signature("ratio"))
    assert world.ask({"customer_id": "ann"}).values == (1.0,)
    assert world.refused("ratio") == 1.0


def test_without_a_default_a_missing_output_is_an_error_that_names_it() -> None:
    bare = made("ratio", "operator:truediv", "amount", "mean")
    world = World(config(bare), signature("ratio"))
    with pytest.raises(InvalidRow) as caught:
        world.ask({"customer_id": "ann"})
    assert (caught.value.code, caught.value.path) == (
        "feature_unavailable",
        "rows[0].features.ratio",
    )
    nullable = World(config(bare), signature("ratio", nullable=True))
    assert nullable.ask({"customer_id": "ann"}).sources == "-"


def test_transforms_follow_each_other_in_the_order_they_need() -> None:
    last = made("last", "operator:add", "ratio", "double")
    double = made("double", "operator:add", "ratio", "ratio")
    world = World(config(last, double, RATIO), signature("last"))
    assert [step.output.name for step in world.plan.transforms] == ["ratio", "double", "last"]
    assert world.ask({"customer_id": "ann", "amount": 8.0}).values == (6.0,)


def refused(*transforms: ViewTransform) -> tuple[str, str | None]:
    with pytest.raises(InvalidConfig) as caught:
        compile_plan(config(*transforms), signature("ratio"), VIEWS)
    return caught.value.code, caught.value.path


def test_a_circle_is_refused_with_its_path() -> None:
    one = made("ratio", "operator:neg", "other")
    other = made("other", "operator:neg", "ratio")
    assert refused(one, other) == (
        "cyclic_transforms",
        "features.views.ratios.transforms[0].inputs",
    )


def test_an_unknown_input_or_function_is_refused_with_its_path() -> None:
    assert refused(made("ratio", "operator:neg", "nobody")) == (
        "unknown_input",
        "features.views.ratios.transforms[0].inputs[0]",
    )
    for name in ("operator:nothing", "no_such_module:f", "operator", "sys:version"):
        assert refused(made("ratio", name, "mean")) == (
            "unknown_function",
            "features.views.ratios.transforms[0].function",
        )


def test_a_stored_feature_and_a_transform_of_one_name_are_refused() -> None:
    assert refused(
        made("ratio", "operator:neg", "mean"), made("mean", "operator:neg", "amount")
    ) == (
        "feature_provided_twice",
        "features.views.customer.features[0].name",
    )


def test_a_plan_without_transforms_leaves_the_signature_alone() -> None:
    takes = signature("mean")
    assert FeaturePlan().stored(takes) is takes


CLOCK = FakeClock()
CALLS: list[float] = []


def heavy(amount: float) -> float:
    """Holds the loop for so many milliseconds."""
    CALLS.append(amount)
    CLOCK.advance(amount / 1e3)
    return amount


def heavy_world(**settings: float) -> World:
    CALLS.clear()
    views = replace(config(made("heavy", f"{__name__}:heavy", "amount", default=-1.0)), **settings)
    return World(views, signature("heavy"), CLOCK)


def test_a_transform_that_is_slow_again_and_again_is_left_alone_and_tried_now_and_then() -> None:
    world = heavy_world(breaker_failures=3, breaker_seconds=2.0)
    assert [world.ask({"amount": 11.0}).values for _ in range(6)] == [(11.0,)] * 3 + [(-1.0,)] * 3
    assert len(CALLS) == 3
    labels = {"store": "ratios.heavy"}
    assert world.metrics.registry.get_sample_value("ml_feature_breaker_open", labels) == 1.0
    CLOCK.advance(2.0)
    assert [world.ask({"amount": 9.0}).sources for _ in range(3)] == ["q", "q", "q"]
    assert world.metrics.registry.get_sample_value("ml_feature_breaker_open", labels) == 0.0


def test_once_the_deadline_has_passed_no_transform_is_called() -> None:
    world = heavy_world(breaker_failures=100)

    async def main(_: FakeClock) -> Sequence[Resolved]:
        values, entities = world.checker.check(RowRequest(features={"amount": 40.0}), "rows[0]")
        return await world.resolver.resolve([values] * 5, [entities] * 5, [10.0] * 5, 100.0)

    assert [answer.sources for answer in run_virtually(main)] == ["q", "q", "q", "d", "d"]
    assert len(CALLS) == 3
