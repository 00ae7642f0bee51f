"""What every noun is, and what arrays and raw values are."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Scalar = float | int | str | bool | None
"""One raw feature value; ``None`` is missing."""

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen, slotted record; every noun below is one."""
