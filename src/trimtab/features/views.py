"""Which view provides which feature of a model: checked once, compiled for the request path."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import TypeGuard

import numpy as np

from trimtab.config import FeaturesConfig, ViewConfig
from trimtab.errors import InvalidConfig
from trimtab.types import FeatureKind, FeatureSpec, Record, Scalar, Signature

_MAX_EXACT = 2**53
_MAX_TEXT = 10_000
_WANTED = {
    FeatureKind.NUMERIC: "a finite number, exact as a float",
    FeatureKind.INTEGER: "a whole number up to 2**53",
    FeatureKind.BOOLEAN: "true or false",
    FeatureKind.CATEGORICAL: "Unicode text of at most 10,000 characters",
}


class PlannedFeature(Record, frozen=True):
    """One feature that a view provides; ``index`` is its place in the signature."""

    index: int
    name: str
    kind: FeatureKind
    default: Scalar = None


class PlannedView(Record, frozen=True):
    """One view as a model reads it; ``realtime`` and ``batch`` name stores, or are empty."""

    name: str
    entity: str
    features: tuple[PlannedFeature, ...]
    realtime: str = ""
    batch: str = ""
    ttl_seconds: float | None = None


class FeaturePlan(Record, frozen=True):
    """The views that fill one model's features."""

    views: tuple[PlannedView, ...] = ()

    @property
    def provided(self) -> frozenset[str]:
        """The features that a request may leave out, because a view provides them."""
        return frozenset(feature.name for view in self.views for feature in view.features)

    @property
    def entities(self) -> tuple[str, ...]:
        """The names under which a request carries entity keys."""
        return tuple(dict.fromkeys(view.entity for view in self.views))


def compile_plan(
    config: FeaturesConfig, signature: Signature, views: Sequence[str] = ()
) -> FeaturePlan:
    """Match the named views to a model's signature.

    Features of a view that the model does not take are ignored.

    Raises:
        InvalidConfig: naming the path of what does not fit.
    """
    specs = {spec.name: (index, spec) for index, spec in enumerate(signature.features)}
    owners: dict[str, str] = {}
    planned = []
    for name in dict.fromkeys(views):
        check_view(config, name)
        view = config.views[name]
        features = []
        for position, feature in enumerate(view.features):
            if feature.name not in specs:
                continue
            path = f"features.views.{name}.features[{position}]"
            owner = owners.setdefault(feature.name, name)
            if owner != name:
                raise InvalidConfig(
                    f"The views {owner!r} and {name!r} both provide {feature.name!r}.",
                    code="feature_provided_twice",
                    path=f"{path}.name",
                    hint="Rename one, or leave one of the views out of the model.",
                )
            index, spec = specs[feature.name]
            _check_kind(FeatureKind(feature.kind), spec, path)
            features.append(
                PlannedFeature(
                    index=index,
                    name=spec.name,
                    kind=spec.kind,
                    default=conform(spec.kind, feature.default),
                )
            )
        planned.append(_planned(name, view, features))
    return FeaturePlan(views=tuple(planned))


def check_view(config: FeaturesConfig, name: str) -> None:
    """Check one view on its own, whatever the models are.

    Raises:
        InvalidConfig: the view or one of its stores does not exist, a feature stands in it twice, or
            a default is not of its feature's kind.
    """
    path = f"features.views.{name}"
    view = config.views.get(name)
    if view is None:
        raise InvalidConfig(
            f"There is no feature view {name!r}.",
            code="unknown_view",
            path=path,
            hint=f"Views: {', '.join(sorted(config.views)) or 'none'}.",
        )
    for role, store in (("realtime", view.realtime), ("batch", view.batch)):
        if store and store not in config.stores:
            raise InvalidConfig(
                f"There is no feature store {store!r}.",
                code="unknown_store",
                path=f"{path}.{role}",
                hint=f"Stores: {', '.join(sorted(config.stores)) or 'none'}.",
            )
    seen: set[str] = set()
    for position, feature in enumerate(view.features):
        at = f"{path}.features[{position}]"
        if feature.name in seen:
            raise InvalidConfig(
                f"The view {name!r} has {feature.name!r} twice.",
                code="feature_provided_twice",
                path=f"{at}.name",
                hint="Leave one out.",
            )
        seen.add(feature.name)
        try:
            conform(FeatureKind(feature.kind), feature.default)
        except ValueError as wrong:
            raise InvalidConfig(
                f"The default of {feature.name!r} is {feature.default!r}, {wrong}.",
                code="default_of_wrong_type",
                path=f"{at}.default",
                hint="Mend the default, or the feature's kind.",
            ) from wrong


def conform(kind: FeatureKind, value: object) -> Scalar:
    """A value as its kind is served, or None if it is missing (None or NaN).

    Raises:
        ValueError: it is of another kind, or infinite.
    """
    if type(value) is float and kind is FeatureKind.NUMERIC and isfinite(value):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    fits: Scalar = None
    if kind is FeatureKind.CATEGORICAL:
        fits = value if is_text(value) else None
    elif kind is FeatureKind.BOOLEAN:
        fits = value if isinstance(value, bool) else None
    elif isinstance(value, float | int) and not isinstance(value, bool):
        fits = _number(kind, value)
    if fits is None:
        message = f"not {_WANTED[kind]}"
        raise ValueError(message)
    return fits


def _number(kind: FeatureKind, value: float) -> float | None:
    whole = abs(value) <= _MAX_EXACT and value == int(value)
    if kind is FeatureKind.INTEGER:
        return int(value) if whole else None
    exact = whole or (not isinstance(value, int) and isfinite(value))
    return float(value) if exact else None


def is_text(value: object) -> TypeGuard[str]:
    """Whether this can be a category or an entity key: not too long, and with an encoding."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        entity=view.entity,
        features=tuple(features),
        realtime=view.realtime,
        batch=view.batch,
        ttl_seconds=view.ttl_seconds,
    )
