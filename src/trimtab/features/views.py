"""Which view provides which feature of a model: checked once, compiled for the request path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from sys import float_info

from msgspec.structs import replace

from trimtab.config import FeaturesConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidConfig
from trimtab.features.definitions import check_view
from trimtab.features.steps import PlannedTransform, plan_steps
from trimtab.features.values import PlannedFeature, conform, is_plain_text, is_text, join_keys
from trimtab.types import FeatureKind, FeatureSpec, Record, Signature

__all__ = [
    "FeaturePlan",
    "PlannedFeature",
    "PlannedView",
    "check_view",
    "compile_plan",
    "conform",
    "is_text",
    "planned_feature",
]


class PlannedView(Record, frozen=True):
    """One view as a model reads it; ``realtime`` and ``batch`` name stores, or are empty."""

    name: str
    keys: tuple[str, ...]
    features: tuple[PlannedFeature, ...]
    realtime: str = ""
    batch: str = ""
    ttl_seconds: float | None = None

    @property
    def entity(self) -> str:
        """The names of its keys, for people."""
        return ", ".join(self.keys)

    def entity_of(self, entities: Mapping[str, str]) -> str | None:
        """The entity that a request's keys name; None if one is absent or cannot be a key."""
        if len(self.keys) == 1:
            entity = entities.get(self.keys[0])
        else:
            parts = tuple(filter(None, map(entities.get, self.keys)))
            entity = join_keys(parts) if len(parts) == len(self.keys) else None
        return entity if entity and is_text(entity) else None

    def entities_of(self, rows: Sequence[Mapping[str, str]]) -> Sequence[str | None]:
        """The entity of each of many rows; plain names are looked at together."""
        if len(self.keys) == 1:
            try:
                names = [*map(itemgetter(self.keys[0]), rows)]
            except KeyError:
                names = []  # some row has none
            if names and all(names) and is_plain_text(names):
                return names
        return [self.entity_of(entities) for entities in rows]


class FeaturePlan(Record, frozen=True):
    """The views that fill one model's features, and the transforms that follow.

    ``inputs`` are what transforms take beside the model's features; a row carries their values behind
    those of the signature.
    """

    views: tuple[PlannedView, ...] = ()
    transforms: tuple[PlannedTransform, ...] = ()
    inputs: tuple[FeatureSpec, ...] = ()

    @property
    def provided(self) -> frozenset[str]:
        """The features that a request may leave out, because a view provides them."""
        stored = frozenset(feature.name for view in self.views for feature in view.features)
        return stored | {step.output.name for step in self.transforms}

    @property
    def entities(self) -> tuple[str, ...]:
        """The names under which a request carries entity keys."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    def stored(self, signature: Signature) -> Signature:
        """What the stores and the request fill: the signature less transforms' outputs, and inputs."""
        if not self.transforms:
            return signature
        made = {step.output.name for step in self.transforms}
        kept = (spec for spec in signature.features if spec.name not in made)
        return replace(signature, features=(*kept, *self.inputs))


def compile_plan(
    config: FeaturesConfig, signature: Signature, views: Sequence[str] = ()
) -> FeaturePlan:
    """Match the named views to a model's signature.

    Features of a view that neither the model nor a transform takes are ignored.

    Raises:
        InvalidConfig: naming the path of what does not fit.
    """
    names = tuple(dict.fromkeys(views))
    for name in names:
        check_view(config, name)
    steps, inputs = plan_steps({name: config.views[name] for name in names}, signature)
    plan = FeaturePlan(transforms=steps, inputs=inputs)
    filled = plan.stored(signature).features
    specs = {spec.name: (index, spec) for index, spec in enumerate(filled)}
    owners = {step.output.name: step.view for step in steps}
    planned = []
    for name in names:
        view = config.views[name]
        features = []
        for position, feature in enumerate(view.features):
            path = f"features.views.{name}.features[{position}]"
            if feature.name in specs or feature.name in owners:
                _claim(owners, feature.name, name, path)
            if feature.name in specs:
                index, spec = specs[feature.name]
                _check_kind(FeatureKind(feature.kind), spec, path)
                features.append(planned_feature(index, spec.kind, feature, view))
        if view.features:
            planned.append(_planned(name, view, features))
    return replace(plan, views=tuple(planned))


def planned_feature(
    index: int, kind: FeatureKind, feature: ViewFeature, view: ViewConfig
) -> PlannedFeature:
    """A declared feature as it is checked; ``kind`` is what it is served as."""
    return PlannedFeature(
        index=index,
        name=feature.name,
        kind=kind,
        default=conform(kind, feature.default),
        minimum=-float_info.max if feature.minimum is None else feature.minimum,
        maximum=float_info.max if feature.maximum is None else feature.maximum,
        allowed=frozenset(conform(kind, value) for value in feature.allowed),
        ttl_seconds=_shorter(feature.ttl_seconds, view.ttl_seconds),
    )


def _shorter(one: float | None, other: float | None) -> float | None:
    bounds = [bound for bound in (one, other) if bound is not None]
    return min(bounds, default=None)


def _claim(owners: dict[str, str], feature: str, view: str, path: str) -> None:
    owner = owners.setdefault(feature, view)
    if owner != view:
        raise InvalidConfig(
            f"The views {owner!r} and {view!r} both provide {feature!r}.",
            code="feature_provided_twice",
            path=f"{path}.name",
            hint="Rename one, or leave one of the views out of the model.",
        )


def _check_kind(kind: FeatureKind, spec: FeatureSpec, path: str) -> None:
    fits = kind is spec.kind or (kind, spec.kind) == (FeatureKind.INTEGER, FeatureKind.NUMERIC)
    if not fits:
        raise InvalidConfig(
            f"The view has {spec.name!r} as {kind.value}, the model takes it as {spec.kind.value}.",
            code="feature_kind_mismatch",
            path=f"{path}.kind",
            hint="Mend the view, or register the model with the right signature.",
        )


def _planned(name: str, view: ViewConfig, features: Sequence[PlannedFeature]) -> PlannedView:
    return PlannedView(
        name=name,
        keys=view.keys,
        features=tuple(features),
        realtime=view.realtime,
        batch=view.batch,
        ttl_seconds=view.ttl_seconds,
    )
