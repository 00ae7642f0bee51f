from typing import Self

import numpy as np
import numpy.typing as npt

INTERFACE: int

class Row:
    def __new__(cls, width: int, changes: bytes, given: bytes) -> Self: ...
    def __call__(self, *values: float | str | None) -> bytearray: ...

class Forest:
    def __new__(
        cls, numbers: tuple[int, ...], sections: tuple[npt.NDArray[np.uint8], ...]
    ) -> Self: ...
    def sums(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.float64], /) -> None: ...
    def paths(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.uint64], /) -> None: ...
