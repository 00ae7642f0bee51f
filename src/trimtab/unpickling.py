"""Reads what joblib wrote without holding a forest's arrays twice."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import joblib
from joblib.numpy_pickle import NumpyUnpickler

PICKLE_START = b"\x80"
_TREE = ("sklearn.tree._tree", "Tree")


def load(path: Path) -> Any:
    """What a joblib or pickle file holds; whatever code is in it runs now.

    ``joblib.load`` keeps the arrays that trees were read from until its end, though each tree has copied
    them: twice the forest. Here they are dropped tree by tree. A compressed file is left to joblib.
    """
    with path.open("rb") as file:
        if file.read(1) != PICKLE_START:
            return joblib.load(path)
        file.seek(0)
        return _Frugal(str(path), file, **native_order()).load()


def native_order() -> dict[str, bool]:
    """The setting that newer releases of joblib want."""
    known = inspect.signature(NumpyUnpickler).parameters
    return {"ensure_native_byte_order": False} if "ensure_native_byte_order" in known else {}


class _Frugal(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    """Forgets a tree's state once the tree has it."""

    dispatch = NumpyUnpickler.dispatch.copy()

    def load_build(self) -> None:
        """Give an object its state."""
        state = self.stack[-1]
        super().load_build()
        kind = type(self.stack[-1])
        if (kind.__module__, kind.__qualname__) == _TREE and isinstance(state, dict):
            state.clear()

    dispatch[pickle.BUILD[0]] = load_build
