"""A tree ensemble in the compact format, alone or behind the steps that prepare its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from trimtab.compact import Forest, Tree, TreeEnsemble, decision_paths, pack
from trimtab.optimize.forms import Answer, NativeForm, libraries
from trimtab.optimize.pipelines import matrix, picked, prepared, split
from trimtab.types import FloatArray, ModelFile


class PackedForm:
    """Trees packed into 8 bytes an inner node.

    Args:
        ensemble: The trees; they are packed when first asked.
        head: Fitted steps that prepare the columns; None where there are none.
    """

    def __init__(self, ensemble: TreeEnsemble, head: Any | None = None) -> None:
        places = picked(head)
        self.ensemble = ensemble if places is None else _reading(ensemble, places, head)
        self.head = head if places is None else None
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """The compact file's bytes."""
        if self._packed is None:
            self._packed = pack(self.ensemble)
        return self._packed

    def outputs(self, rows: Any) -> FloatArray:
        """Class probabilities or values, shape ``(rows, k)``."""
        return Forest(self.packed).predict(matrix(prepared(self.head, rows)))

    def write(self, path: Path) -> ModelFile:
        """The compact file, or a folder of it and the steps before it."""
        if self.head is None:
            target = path.with_name(f"{path.name}.forest")
            target.write_bytes(self.packed)
            return ModelFile(path=str(target), opener="trimtab.optimize.probe:open_forest")
        folder = path.with_name(f"{path.name}.parts")
        folder.mkdir()
        (folder / "forest").write_bytes(self.packed)
        joblib.dump(self.head, folder / "head.joblib")
        return ModelFile(
            path=str(folder), opener=f"{__name__}:open_parts", imports=libraries(self.head)
        )

    def paths_differ(self, original: object, rows: Any) -> int | None:
        """How many rows take another way through any tree than in the original; None if unknown."""
        if not isinstance(original, NativeForm):
            return None
        head, tail = split(original.model)
        return paths_differ(Forest(self.packed), self.ensemble, tail, prepared(head, rows))


def open_parts(path: Path) -> Answer:
    """A folder of prepared steps and a compact file as a function from rows to outputs."""
    head, forest = joblib.load(path / "head.joblib"), Forest.open(path / "forest")
    return lambda rows: forest.predict(matrix(prepared(head, rows)))


def paths_differ(forest: Forest, ensemble: TreeEnsemble, tail: Any, X: Any) -> int:
    """How many rows take another way through any tree of ``forest`` than through the original's.

    The original's ways are those of its library where it tells its leaves in the record's own
    places (scikit-learn's forests), else those of the plain walk over the unpacked trees.

    Args:
        forest: The packed trees.
        ensemble: The same trees, unpacked.
        tail: The fitted estimator that they come from.
        X: Rows as it takes them.
    """
    told = tail.apply(X) if _tells_leaves(tail) else ensemble.leaves(matrix(X))
    ends = np.asarray(told).astype(np.intp)  # gradient boosting tells them as floats
    ways = forest.paths(matrix(X))
    differ = np.zeros(len(ways), dtype=np.bool_)
    for place, tree in enumerate(ensemble.trees):
        own = ends.reshape(len(ways), -1)[:, place]
        differ |= decision_paths(tree)[own] != ways[:, place]
    return int(differ.sum())


@dataclass(frozen=True, slots=True)
class Changed(Sequence[Tree]):
    """Trees that are changed when they are asked for, so that not all are there twice."""

    trees: Sequence[Tree]
    change: Callable[[Tree], Tree]

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Changed(self.trees[place], self.change)
        return self.change(self.trees[place])

    def __iter__(self) -> Iterator[Tree]:
        return (self.change(tree) for tree in self.trees)


def changed(form: PackedForm, change: Callable[[Tree], Tree]) -> PackedForm:
    """The form with each of its trees changed."""
    ensemble = replace(form.ensemble, trees=Changed(form.ensemble.trees, change))
    return PackedForm(ensemble, form.head)


def _reading(ensemble: TreeEnsemble, places: Sequence[int], head: Any) -> TreeEnsemble:
    """The ensemble reading whole rows, of which it was fitted on the columns at ``places``."""
    where = np.asarray(places, dtype=np.int32)

    def moved(tree: Tree) -> Tree:
        inner = tree.left >= 0
        feature = np.where(inner, where[np.where(inner, tree.feature, 0)], tree.feature)
        return replace(tree, feature=feature.astype(np.int32))

    return replace(
        ensemble,
        trees=Changed(ensemble.trees, moved),
        features=int(head.steps[0][1].n_features_in_),
        categories={int(where[own]): known for own, known in ensemble.categories.items()},
    )


def _tells_leaves(tail: Any) -> bool:
    return type(tail).__module__.startswith("sklearn.") and hasattr(tail, "apply")
