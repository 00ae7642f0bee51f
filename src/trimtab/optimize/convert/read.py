"""A signature's features as the columns that a fitted scikit-learn model is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from trimtab.optimize.convert.symbols import Column, Matrix, Number, Text, Unsupported
from trimtab.types import FeatureKind, FeatureSpec, Signature


def sources(model: Any, signature: Signature) -> Matrix:
    """The frame or matrix that serving hands to the model, column by column in its order.

    Raises:
        Unsupported: the model takes other columns.
    """
    own = list(signature.names)
    named = hasattr(model, "feature_names_in_")
    names = [str(name) for name in model.feature_names_in_] if named else own
    if sorted(names) != sorted(own) or getattr(model, "n_features_in_", len(own)) != len(own):
        raise Unsupported("the model takes other columns than the signature names")
    missing = None if _learned_none(model) else math.nan
    columns = [_column(own.index(name), signature, named, missing) for name in names]
    return Matrix(tuple(columns), tuple(names) if named else ())


def _column(place: int, signature: Signature, named: bool, missing: Any) -> Column:
    spec: FeatureSpec = signature.features[place]
    if spec.kind is FeatureKind.CATEGORICAL:
        return Text(place, missing)
    plain = not named or spec.nullable
    return Number(place, kind=FeatureKind.NUMERIC if plain else spec.kind)


def parts(model: Any) -> Iterator[Any]:
    """A model and all estimators inside it, fitted ones where it keeps them."""
    yield model
    inner = [step for _, step, *_ in getattr(model, "steps", ())]
    inner += [step for _, step, *_ in getattr(model, "transformers_", ())]
    inner += [part for _, part in getattr(model, "transformer_list", ())]
    for part in inner:
        if hasattr(part, "get_params"):
            yield from parts(part)


def _learned_none(model: Any) -> bool:
    """Whether an encoder learned None, and not NaN, as the missing category."""
    return any(
        value is None
        for part in parts(model)
        if isinstance(learned := getattr(part, "categories_", None), list)
        for values in learned
        if values.dtype == object
        for value in values
    )
