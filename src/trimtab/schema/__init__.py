"""The signature of a model: inferred from the training frame, checked against every row.

``None``, NaN and absent all mean missing. A boolean is not a number, a numeric string is not a
number, and a number that ``float64`` cannot hold exactly is refused rather than rounded.
"""

from trimtab.schema.checker import Checker
from trimtab.schema.compatible import compatible
from trimtab.schema.frames import columns_from_frame, infer_signature

__all__ = ["Checker", "columns_from_frame", "compatible", "infer_signature"]
