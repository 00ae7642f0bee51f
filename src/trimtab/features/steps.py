"""Which transforms a model needs, in which order, and from what: planned once, loaded by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import float_info

from trimtab import plugins
from trimtab.config import ViewConfig, ViewFeature, ViewTransform
from trimtab.errors import InvalidConfig
from trimtab.features.values import PlannedFeature, conform
from trimtab.types import FeatureKind, FeatureSpec, Record, Signature

Function = Callable[..., object]


class PlannedTransform(Record, frozen=True):
    """One transform as a model needs it.

    ``output.index`` and ``inputs`` are places among the values of a row: the signature's features,
    then the plan's inputs, then the outputs that the model itself does not take.
    """

    view: str
    output: PlannedFeature
    function: Function
    inputs: tuple[int, ...]
    takes_missing: bool = False


class _Declared(Record, frozen=True):
    """A transform with its view and path."""

    view: str
    path: str
    transform: ViewTransform


def plan_steps(
    views: Mapping[str, ViewConfig], signature: Signature
) -> tuple[tuple[PlannedTransform, ...], tuple[FeatureSpec, ...]]:
    """The transforms that make features of the model, in order, and what they take beside them.

    Raises:
        InvalidConfig: an input is unknown, a function cannot be loaded, transforms depend on each
            other in a circle, or two views make one feature.
    """
    transforms = _declared(views)
    order: list[str] = []
    for name in signature.names:
        _visit(name, transforms, (), order)
    if not order:
        return (), ()
    specs = {spec.name: spec for spec in signature.features}
    known = _known(views)
    inputs: dict[str, FeatureSpec] = {}
    for name in order:
        found = transforms[name]
        for position, wanted in enumerate(found.transform.inputs):
            if wanted in specs or wanted in transforms:
                continue
            if wanted not in known:
                raise InvalidConfig(
                    f"The transform {name!r} takes {wanted!r}, which nothing provides.",
                    code="unknown_input",
                    path=f"{found.path}.inputs[{position}]",
                    hint="Declare it under 'request' of the view, or name a view that has it.",
                )
            kind = FeatureKind(known[wanted].kind)
            inputs[wanted] = FeatureSpec(name=wanted, kind=kind, nullable=True)
    inner = [name for name in order if name not in specs]
    places = {name: at for at, name in enumerate((*specs, *inputs, *inner))}
    steps = tuple(_planned(transforms[name], places, specs) for name in order)
    return steps, tuple(inputs.values())


def _declared(views: Mapping[str, ViewConfig]) -> dict[str, _Declared]:
    found: dict[str, _Declared] = {}
    for view, config in views.items():
        for position, transform in enumerate(config.transforms):
            path = f"features.views.{view}.transforms[{position}]"
            other = found.get(transform.name)
            if other is not None:
                raise InvalidConfig(
                    f"The views {other.view!r} and {view!r} both provide {transform.name!r}.",
                    code="feature_provided_twice",
                    path=f"{path}.name",
                    hint="Rename one, or leave one of the views out of the model.",
                )
            found[transform.name] = _Declared(view=view, path=path, transform=transform)
    return found


def _visit(
    name: str, transforms: Mapping[str, _Declared], above: tuple[str, ...], order: list[str]
) -> None:
    """Put a transform behind those that it needs."""
    found = transforms.get(name)
    if found is None or name in order:
        return
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise InvalidConfig(
            f"Transforms depend on each other in a circle: {circle}.",
            code="cyclic_transforms",
            path=f"{found.path}.inputs",
            hint="Take one of the inputs out.",
        )
    for wanted in found.transform.inputs:
        _visit(wanted, transforms, (*above, name), order)
    order.append(name)


def check_circles(views: Mapping[str, ViewConfig]) -> None:
    """Refuse transforms that depend on each other in a circle, whatever the models are.

    Raises:
        InvalidConfig: there is a circle, or a name that two of the views provide.
    """
    transforms = _declared(views)
    order: list[str] = []
    for name in transforms:
        _visit(name, transforms, (), order)


def _known(views: Mapping[str, ViewConfig]) -> dict[str, ViewFeature]:
    """What views have stored, and what they take from a request, by name."""
    found: dict[str, ViewFeature] = {}
    for view in views.values():
        found |= {feature.name: feature for feature in (*view.request, *view.features)}
    return found


def _planned(
    found: _Declared, places: Mapping[str, int], specs: Mapping[str, FeatureSpec]
) -> PlannedTransform:
    transform = found.transform
    spec = specs.get(transform.name)
    kind = FeatureKind(transform.kind)
    if spec is not None and kind is not spec.kind:
        if (kind, spec.kind) != (FeatureKind.INTEGER, FeatureKind.NUMERIC):
            raise InvalidConfig(
                f"The view has {spec.name!r} as {kind.value}, the model takes it as "
                f"{spec.kind.value}.",
                code="feature_kind_mismatch",
                path=f"{found.path}.kind",
                hint="Mend the view, or register the model with the right signature.",
            )
        kind = spec.kind
    return PlannedTransform(
        view=found.view,
        output=PlannedFeature(
            index=places[transform.name],
            name=transform.name,
            kind=kind,
            default=conform(kind, transform.default),
            minimum=-float_info.max if transform.minimum is None else transform.minimum,
            maximum=float_info.max if transform.maximum is None else transform.maximum,
            allowed=frozenset(conform(kind, value) for value in transform.allowed),
        ),
        function=load_function(transform.function, f"{found.path}.function"),
        inputs=tuple(places[name] for name in transform.inputs),
        takes_missing=transform.takes_missing,
    )


def load_function(name: str, path: str) -> Function:
    """The function that ``module:function`` names.

    Raises:
        InvalidConfig: it cannot be imported, or cannot be called.
    """
    try:
        found = plugins.by_path(name)
    except InvalidConfig as wrong:
        raise InvalidConfig(
            wrong.message, hint=wrong.hint, code="unknown_function", path=path
        ) from wrong
    if not callable(found):
        raise InvalidConfig(
            f"{name!r} cannot be called.",
            code="unknown_function",
            path=path,
            hint="Name a function as module:function.",
        )
    return found  # type: ignore[no-any-return]  # callable: that is all there is to know
