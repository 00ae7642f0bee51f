"""A pickled scikit-learn forest made compact while it is read, tree by tree.

``joblib.load`` needs the forest's arrays twice. Here each tree is packed when it has been read, and
its arrays are dropped, so that what is in memory is the compact form and one tree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from joblib.numpy_pickle import NumpyUnpickler

from trimtab.compact import Packer, TreeEnsemble
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert.dispatch import converter_of
from trimtab.optimize.convert.refusal import unsupported
from trimtab.optimize.convert.sklearn_trees import from_state
from trimtab.unpickling import PICKLE_START, native_order

LARGE_BYTES = 4096


def compact_file(path: Path) -> bytes:
    """The compact file of a forest in a joblib or pickle file that is not compressed.

    Reading a pickle runs what it says: pass only files whose digest and signer were checked.

    Args:
        path: Of a fitted decision tree, random forest or extra trees.

    Raises:
        InvalidPlan: the file is compressed, or holds something else.
    """
    with path.open("rb") as file:
        if file.read(1) != PICKLE_START:
            raise InvalidPlan(
                f"{path.name} is compressed or no pickle, so it cannot be read tree by tree.",
                code="not_a_pickle",
                hint="Save it again with joblib.dump(model, path, compress=0).",
            )
        file.seek(0)
        reader = _Reader(path, file)
        model = reader.load()
    if converter_of(model) != "sklearn_trees":
        raise unsupported(model, "is no forest that can be read tree by tree")
    kept = [estimator.tree_ for estimator in getattr(model, "estimators_", [model])]
    if reader.trees != kept or reader.packer is None:
        raise unsupported(model, "has trees in another order than in its file, or others besides")
    return reader.packer.finish(divisor=len(kept))


class _Placeholder:
    """Stands where a tree was."""


class _Reader(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    """Reads a pickle, packing trees as they come."""

    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(str(path), file, **native_order())
        self.trees: list[_Placeholder] = []
        self.packer: Packer | None = None
        self._forgotten = 0

    def find_class(self, module: str, name: str) -> Any:
        """A class by name; trees are stood in for."""
        if (module, name) == ("sklearn.tree._tree", "Tree"):
            return self._tree
        return super().find_class(module, name)

    def _tree(self, features: int, classes: Any, outputs: int) -> Any:
        groups = tuple(int(count) for count in np.atleast_1d(classes))
        if len(groups) != outputs:
            raise InvalidPlan(
                "A tree has another number of outputs than it says.", code="not_a_tree"
            )
        if self.packer is None:
            self.packer = Packer(
                TreeEnsemble(
                    trees=(),
                    features=int(features),
                    base=np.zeros(sum(groups)),
                    float32_input=True,
                    groups=groups,
                )
            )
        placeholder = _PackedTree(lambda state: self._pack(state, groups))
        self.trees.append(placeholder)
        return placeholder

    def _pack(self, state: dict[str, Any], groups: tuple[int, ...]) -> None:
        cast("Packer", self.packer).add(from_state(state, groups))
        state.clear()
        # A plain pickle's arrays are also kept for being referred to again; a tree's never are.
        for place in range(self._forgotten, len(self.memo)):
            kept = self.memo.get(place)
            if isinstance(kept, bytes | bytearray | np.ndarray) and len(kept) > LARGE_BYTES:
                self.memo[place] = None
        self._forgotten = len(self.memo)


class _PackedTree(_Placeholder):
    """Hands its state over and keeps none of it."""

    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        self._take = take

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._take(state)
