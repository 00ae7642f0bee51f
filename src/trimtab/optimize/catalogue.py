"""The steps of optimisation, in the order in which they are tried."""

from __future__ import annotations

from trimtab.optimize.steps.compact import Compact
from trimtab.optimize.steps.distil import Distil
from trimtab.optimize.steps.features import SelectFeatures
from trimtab.optimize.steps.fewer_trees import FewerTrees
from trimtab.optimize.steps.int8 import Int8
from trimtab.optimize.steps.onnx import OnnxRuntime
from trimtab.optimize.steps.prune import MergeLeaves, Prune
from trimtab.optimize.steps.quantise import QuantiseLeaves
from trimtab.optimize.steps.refine import RefineLeaves
from trimtab.protocols import OptimisationStep

STEPS: tuple[OptimisationStep, ...] = (
    Compact(),
    FewerTrees(),
    Prune(),
    MergeLeaves(),
    RefineLeaves(),
    QuantiseLeaves(),
    OnnxRuntime(),
    Int8(),
    Distil(),
    SelectFeatures(),
)
"""Those that fit models anew come last: a search may end before them."""
