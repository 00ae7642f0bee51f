"""Arrays that grow in place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.types import Array


class Growing:
    """An array that grows in place: where it is large, the system moves its pages without a copy.

    Args:
        kind: Of its values.

    >>> numbers = Growing(np.uint32)
    >>> numbers.add(np.arange(1500, dtype=np.uint32))
    >>> numbers.add(np.array([7], np.uint32))
    >>> found = numbers.taken()
    >>> len(found), int(found[1499]), int(found[-1])
    (1501, 1499, 7)
    """

    def __init__(self, kind: npt.DTypeLike) -> None:
        self._array: Array = np.empty(1024, kind)
        self._used = 0

    def add(self, values: Array) -> None:
        """Put values at the end."""
        end = self._used + len(values)
        if end > len(self._array):
            self._array.resize(max(end, len(self._array) * 9 // 8), refcheck=False)
        self._array[self._used : end] = values
        self._used = end

    def taken(self) -> Array:
        """All values; nothing may be added any more."""
        self._array.resize(self._used, refcheck=False)
        return self._array
