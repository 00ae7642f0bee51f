"""What a feature view may say: checked on its own, whatever the models are; refusals name the path."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.config import FeaturesConfig, ViewConfig, ViewFeature, ViewTransform
from trimtab.errors import InvalidConfig
from trimtab.features.values import conform
from trimtab.types import NAME_HINT, FeatureKind, Scalar, is_name

Declared = ViewFeature | ViewTransform

_NUMBERS = frozenset({"numeric", "integer"})


def check_view(config: FeaturesConfig, name: str) -> None:
    """Check one view.

    Raises:
        InvalidConfig: the view or one of its stores does not exist, it has features and no key, a
            name stands in it twice or cannot be one, or a default, a bound or an allowed value does not fit.
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
    if not is_name(name):
        raise InvalidConfig(
            f"{name!r} is no name for a view.", code="invalid_name", path=path, hint=NAME_HINT
        )
    _check_stores(config, view, path)
    _check_keys(view, name, path)
    seen: set[str] = set()
    for at, feature in declared(view, path):
        if not feature.name:
            raise InvalidConfig(
                f"A feature of the view {name!r} has no name.",
                code="invalid_name",
                path=f"{at}.name",
                hint="Give it the name that a model has for it.",
            )
        if feature.name in seen:
            raise InvalidConfig(
                f"The view {name!r} has {feature.name!r} twice.",
                code="feature_provided_twice",
                path=f"{at}.name",
                hint="Leave one out.",
            )
        seen.add(feature.name)
        _check_feature(feature, at)


def declared(view: ViewConfig, path: str) -> Iterator[tuple[str, Declared]]:
    """All that a view declares, each with its path: features, transforms, what it takes of a request."""
    for part in ("features", "transforms", "request"):
        for position, feature in enumerate(getattr(view, part)):
            yield f"{path}.{part}[{position}]", feature


def _check_stores(config: FeaturesConfig, view: ViewConfig, path: str) -> None:
    for role, store in (("realtime", view.realtime), ("batch", view.batch)):
        if store and store not in config.stores:
            raise InvalidConfig(
                f"There is no feature store {store!r}.",
                code="unknown_store",
                path=f"{path}.{role}",
                hint=f"Stores: {', '.join(sorted(config.stores)) or 'none'}.",
            )


def _check_keys(view: ViewConfig, name: str, path: str) -> None:
    if not view.features and not view.transforms:
        raise InvalidConfig(
            f"The view {name!r} provides nothing.",
            code="empty_view",
            path=f"{path}.features",
            hint="Give it features or transforms.",
        )
    keys = view.keys
    if (view.features and not keys) or "" in keys or len(set(keys)) < len(keys):
        raise InvalidConfig(
            f"The view {name!r} has features, and needs the different names of its keys.",
            code="entity_required",
            path=f"{path}.entity",
            hint='For example entity = "customer_id", or a list of names.',
        )


def _check_feature(feature: Declared, at: str) -> None:
    _check_value(feature, feature.default, "default", f"{at}.default")
    for i, value in enumerate(feature.allowed):
        _check_value(feature, value, "allowed value", f"{at}.allowed[{i}]")
    _check_range(feature, at)


def _check_value(feature: Declared, value: Scalar, what: str, path: str) -> None:
    try:
        conform(FeatureKind(feature.kind), value)
    except ValueError as wrong:
        raise InvalidConfig(
            f"The {what} of {feature.name!r} is {value!r}, {wrong}.",
            code=f"{what.split(maxsplit=1)[0]}_of_wrong_type",
            path=path,
            hint=f"Mend the {what}, or the feature's kind.",
        ) from wrong


def _check_range(feature: Declared, at: str) -> None:
    low, high, default = feature.minimum, feature.maximum, feature.default
    bounded = low is not None or high is not None
    if bounded and feature.kind not in _NUMBERS:
        raise InvalidConfig(
            f"{feature.name!r} is {feature.kind}, which has no minimum or maximum.",
            code="range_of_wrong_kind",
            path=f"{at}.{'minimum' if low is not None else 'maximum'}",
            hint="Leave it out, or list the allowed values.",
        )
    if low is not None and high is not None and low > high:
        raise InvalidConfig(
            f"The minimum of {feature.name!r} is {low:g}, above its maximum of {high:g}.",
            code="range_is_empty",
            path=f"{at}.minimum",
            hint="Exchange them.",
        )
    outside = (
        bounded
        and isinstance(default, int | float)
        and ((low is not None and default < low) or (high is not None and default > high))
    )
    strange = bool(feature.allowed) and default is not None and default not in feature.allowed
    if outside or strange:
        raise InvalidConfig(
            f"The default of {feature.name!r} is {default!r}, which the view itself refuses.",
            code="default_out_of_range",
            path=f"{at}.default",
            hint="Mend the default, or what is allowed.",
        )
