"""A compact forest that answers: opened by memory map, so that all workers share its pages."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.compact.ensemble import as_rows
from trimtab.compact.kernel import COMPILED, kernel
from trimtab.compact.layout import read
from trimtab.compact.links import Link, linked, logistic_of_one
from trimtab.errors import NotFound, Refused
from trimtab.types import Array, FloatArray


class Forest:
    """A packed ensemble. Safe to use from many threads; a batch leaves the interpreter to others.

    Args:
        data: A whole file, as :func:`trimtab.compact.pack` made it; it must not change while the
            forest is in use.
        compiled: Walk in C; otherwise in NumPy, with equal results.
        verified: A digest of these bytes has been checked; every reference in them is in any case.

    Raises:
        Refused: the content is damaged or contradicts itself; nothing was walked.
    """

    def __init__(
        self, data: bytes | memoryview, *, compiled: bool = COMPILED, verified: bool = False
    ) -> None:
        view = memoryview(data)
        self._header, parts = read(view, verified=verified)
        self._kernel = kernel(self._header, parts, compiled=compiled)
        self.size_bytes = len(view)
        """Bytes of the file, which is also what it takes in memory."""
        self.trees = len(parts["roots"])
        self.inner_nodes = len(parts["nodes"])
        self.columns = len(parts["base"])
        """Sums before the link."""
        self.features = self._header.features
        starts, marks = len(parts["tree_starts"]), len(parts["marks"])
        self.marked = 0 if not starts else 64 if marks > self.inner_nodes else 32
        """Leaves for which a tree has room by marks; 0 where trees are walked."""
        self.in_registers = bool(len(parts["byte_slots"]))
        """Whether a row and all nodes of a tree fit into registers, where the processor has such."""
        self.link = self._header.link
        self.groups = self._header.groups
        """Widths of the outputs that the columns belong to."""

    @classmethod
    def open(cls, path: Path, *, compiled: bool = COMPILED) -> Forest:
        """The forest in a file, mapped into memory.

        Raises:
            NotFound: there is no such file.
            Refused: it is damaged or contradicts itself.
        """
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {path}.", code="no_such_file") from error
        except ValueError as error:
            raise Refused(f"{path} is empty.", code="damaged_artifact") from error
        return cls(memoryview(mapped), compiled=compiled)

    @property
    def outputs(self) -> int:
        """Columns of :meth:`predict`."""
        return 2 if self.link is Link.BINARY else self.columns

    def predict(self, X: Array) -> FloatArray:
        """Outputs of shape ``(rows, outputs)`` for rows of shape ``(rows, features)``.

        Raises:
            InvalidInput: the shape is wrong or values are no numbers.
        """
        header = self._header
        return linked(self.link, self.raw(X), header.link_scale, float32=header.float32_sums)

    def one(self, row: FloatArray) -> Sequence[float]:
        """The same for one row of shape ``(features,)``."""
        sums, header = self.raw(row[None]), self._header
        if self.link is Link.BINARY and not header.float32_sums:
            return logistic_of_one(header.link_scale * float(sums[0, 0]))
        outputs = linked(self.link, sums, header.link_scale, float32=header.float32_sums)
        return outputs[0].tolist()  # type: ignore[no-any-return]  # of float64

    def raw(self, X: Array) -> FloatArray:
        """The sums before the link, shape ``(rows, columns)``."""
        rows = self._rows(X)
        out = np.empty((len(rows), self.columns))
        self._kernel.sums(rows, out)
        return out

    def paths(self, X: Array) -> npt.NDArray[np.uint64]:
        """The turns that each row takes in each tree, as :func:`decision_paths` numbers them."""
        rows = self._rows(X)
        out = np.empty((len(rows), self.trees), np.uint64)
        self._kernel.paths(rows, out)
        return out

    def _rows(self, X: Array) -> FloatArray:
        if (
            type(X) is np.ndarray
            and X.dtype == np.float64
            and X.ndim == 2
            and X.shape[1] == self.features
        ):
            return np.ascontiguousarray(X)
        header = self._header
        rows = as_rows(
            X,
            self.features,
            float32=header.float32_input,
            float32_integers=header.float32_integers,
        )
        return np.ascontiguousarray(rows)
