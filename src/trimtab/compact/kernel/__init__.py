"""The walk over packed nodes, twice: in C where it was built, and in NumPy, with equal results.

Both check everything that a walk relies on before the first one, so that no file can make them read
outside it: see :class:`trimtab.compact.kernel.plain.PlainKernel` for the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trimtab.compact.kernel.plain import PlainKernel, contradiction
from trimtab.compact.layout import Header
from trimtab.types import Array, FloatArray

INTERFACE = 5
try:
    from trimtab.compact.kernel import _walk

    COMPILED = _walk.INTERFACE == INTERFACE
except ImportError:
    COMPILED = False
"""Whether the C kernel is there: there was a compiler, and it is not of another release."""

# The order in which the C kernel takes them.
_SECTIONS = (
    "nodes",
    "roots",
    "tree_columns",
    "slots",
    "thresholds",
    "leaves",
    "pairs",
    "sets",
    "base",
    "marks",
    "list_starts",
    "list_codes",
    "list_trees",
    "list_marks",
    "tree_starts",
    "tree_leaves",
    "byte_slots",
    "byte_codes",
    "byte_starts",
    "byte_table",
    "heap_leaves",
)


_CHANGES = ("subtract", "add", "multiply", "divide", "fill_nan")
"""Steps that C can do, in its order."""


def packing(
    width: int, steps: Sequence[tuple[str, FloatArray]], *, compiled: bool = COMPILED
) -> Callable[..., bytearray] | None:
    """What packs a row's numbers as ``struct`` does, but None as NaN, and changes them step by step; None where C cannot.

    Args:
        width: How many numbers a row has.
        steps: Names of :data:`trimtab.compact.steps.STEPS`, each with a number for each of the row's.
        compiled: Whether to use C.
    """
    row = getattr(_walk, "Row", None) if compiled else None  # an older build has none
    if row is None or any(name not in _CHANGES for name, _ in steps):
        return None
    changes = bytes([_CHANGES.index(name) for name, _ in steps])
    made: Callable[..., bytearray] = row(width, changes, b"".join(n.tobytes() for _, n in steps))
    return made


class Kernel(Protocol):
    """Walks rows of float64 numbers, C-contiguous, of the right width."""

    def sums(self, rows: FloatArray, out: FloatArray) -> None:
        """Write the sums of every row before the link, shape ``(rows, columns)``."""

    def paths(self, rows: FloatArray, out: npt.NDArray[np.uint64]) -> None:
        """Write the path of every row in every tree, shape ``(rows, trees)``."""


def kernel(header: Header, parts: dict[str, Array], *, compiled: bool = COMPILED) -> Kernel:
    """The kernel for a file's header and sections.

    Raises:
        Refused: they contradict one another, so that a walk would leave the file.
    """
    if not compiled:
        return PlainKernel(header, parts)
    return CompiledKernel(header, parts)


class CompiledKernel:
    """The walk in C."""

    def __init__(self, header: Header, parts: dict[str, Array]) -> None:
        flags = (
            header.float32_input
            | header.float32_sums << 1
            | header.direct << 2
            | header.tiny_is_zero << 3
        )
        try:
            self._forest = _walk.Forest(
                (
                    header.features,
                    header.width,
                    flags,
                    header.slot_bits,
                    header.code_bits,
                    header.leaf_bits,
                    header.first_categorical,
                    header.divisor,
                ),
                tuple(np.ascontiguousarray(parts[name]).view(np.uint8) for name in _SECTIONS),
            )
        except ValueError as error:
            raise contradiction(str(error)) from error
        self.sums = self._forest.sums
        self.paths = self._forest.paths
