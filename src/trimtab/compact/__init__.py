"""Tree ensembles made small: one neutral record, one memory-mapped format, one walk.

::

    fitted model --optimize.convert--> TreeEnsemble --pack--> file --Forest.open--> answers

The format keeps inner nodes only, in 8 bytes each: a leaf is a reference into a dictionary of leaf
values, held by its parent. A threshold is replaced by a code that orders inputs exactly as the
threshold does (:mod:`trimtab.compact.slots`), so no decision changes.
"""

from trimtab.compact.ensemble import (
    CategorySet,
    Link,
    Missing,
    Reading,
    Tree,
    TreeEnsemble,
    decision_paths,
)
from trimtab.compact.forest import Forest
from trimtab.compact.pack import Packer, pack

__all__ = [
    "CategorySet",
    "Forest",
    "Link",
    "Missing",
    "Packer",
    "Reading",
    "Tree",
    "TreeEnsemble",
    "decision_paths",
    "pack",
]
