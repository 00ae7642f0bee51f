"""A function of an installed package, named by a one-line text file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from trimtab import plugins
from trimtab.models.formats.matrix import outputs
from trimtab.types import Array, Columns, FloatArray, Signature

_SHAPE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_MAX_BYTES = 1024


class CallableFormat:
    """``module:function``, which takes arrays by feature name.

    It answers probabilities or values of shape ``(rows,)`` or ``(rows, k)``. The digest covers the name, not the code: note the package's version in the lineage.
    """

    name = "callable"
    runs_code = True

    def sniff(self, path: Path) -> bool:
        """Whether it is one line of the form ``module:function``."""
        if path.stat().st_size > _MAX_BYTES:
            return False
        return bool(_SHAPE.fullmatch(path.read_bytes().decode("ascii", "replace").strip()))

    def load(self, path: Path, signature: Signature) -> CallablePredictor:
        """Import the function.

        Raises:
            InvalidConfig: the module or the function does not exist.
        """
        return CallablePredictor(plugins.by_path(path.read_text().strip()), signature)

    def accepts(self, model: object) -> bool:
        """Whether it is such a name."""
        return isinstance(model, str) and bool(_SHAPE.fullmatch(model))

    def save(self, model: object, path: Path) -> None:
        """Write the name."""
        path.write_text(f"{model}\n")


class CallablePredictor:
    """A function as a :class:`~trimtab.protocols.Predictor`."""

    def __init__(
        self, function: Callable[[Mapping[str, Array]], object], signature: Signature
    ) -> None:
        self._function = function
        self._signature = signature

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        named = dict(zip(self._signature.names, columns.arrays, strict=True))
        return outputs(np.asarray(self._function(named)), self._signature.task)
