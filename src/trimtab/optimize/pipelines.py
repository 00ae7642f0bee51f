"""A pipeline as what prepares columns and what predicts from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from trimtab.types import Array, FloatArray


def split(model: Any) -> tuple[Any | None, Any]:
    """The fitted preparing steps, None where there are none, and the final estimator."""
    if isinstance(model, Pipeline) and len(model.steps) > 1:
        return model[:-1], model.steps[-1][1]
    return (None, model.steps[-1][1]) if isinstance(model, Pipeline) else (None, model)


def joined(head: Any | None, tail: Any) -> Any:
    """A fitted pipeline of fitted parts; the tail alone without preparing steps."""
    return tail if head is None else Pipeline([*head.steps, ("model", tail)])


def prepared(head: Any | None, X: Any) -> Any:
    """What the final estimator sees."""
    made = X if head is None else head.transform(X)
    return made.toarray() if hasattr(made, "toarray") else made


def matrix(X: Any) -> FloatArray:
    """Prepared rows as numbers.

    Raises:
        ValueError: a column holds text.
    """
    return np.asarray(X, dtype=np.float64)


def picker(Z: Any, places: Sequence[int]) -> Pipeline:
    """A fitted step that keeps the columns at ``places``."""
    keep = ColumnTransformer([("keep", "passthrough", list(places))]).fit(Z[:2])
    return Pipeline([("columns", keep)])


def extended(head: Any | None, Z: Any, places: Sequence[int]) -> Pipeline:
    """The preparing steps, and then only the columns at ``places`` of what they make."""
    return Pipeline([*(() if head is None else head.steps), *picker(Z, places).steps])


def picked(head: Any | None) -> tuple[int, ...] | None:
    """The places that a head keeps which does nothing but pick; None for any other."""
    if not isinstance(head, Pipeline) or [name for name, _ in head.steps] != ["columns"]:
        return None
    return tuple(int(place) for place in head.steps[0][1].transformers_[0][2])


def groups(head: Any | None, X: Any, Z: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Which prepared columns come from the same original one, so that they stay or go together."""
    names = [str(name) for name in getattr(X, "columns", range(np.shape(X)[1]))]
    if head is None:
        return _one_hot(names, matrix(Z))
    made = getattr(head, "get_feature_names_out", lambda: None)()
    owners = [_owner(str(name), names) for name in (made if made is not None else ())]
    if len(owners) != np.shape(Z)[1]:
        return [(str(place), (place,)) for place in range(np.shape(Z)[1])]
    return _gathered(owners)


def _owner(made: str, names: Sequence[str]) -> str:
    """The original column whose name a prepared column's name carries."""
    bare = made.rpartition("__")[2]
    whole = [name for name in names if bare == name or bare.startswith(f"{name}_")]
    return max(whole, key=len, default=made)


def _one_hot(names: Sequence[str], Z: FloatArray) -> list[tuple[str, tuple[int, ...]]]:
    """Columns of 0 and 1 with one prefix, of which each row has at most one, belong together."""
    flags = [bool(np.isin(Z[:, place], (0.0, 1.0)).all()) for place in range(Z.shape[1])]
    stems = [
        name.rpartition("_")[0] or name if flag else name
        for name, flag in zip(names, flags, strict=True)
    ]
    found = []
    for stem, places in _gathered(stems):
        if len(places) > 1 and float(Z[:, list(places)].sum(axis=1).max()) <= 1.0:
            found.append((stem, places))
        else:
            found += [(names[place], (place,)) for place in places]
    return found


def _gathered(owners: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    places: dict[str, list[int]] = {}
    for place, owner in enumerate(owners):
        places.setdefault(owner, []).append(place)
    return [(owner, tuple(own)) for owner, own in places.items()]


def classes(tail: Any) -> Array | None:
    """The labels of a classifier, None for a regression."""
    found = getattr(tail, "classes_", None)
    return None if found is None else np.asarray(found)
