"""Tests of all features together, on samples of rows; one file a method."""

from trimtab.drift.multivariate.encoding import SAMPLE_ROWS, Encoder, evenly
from trimtab.drift.multivariate.mmd import KernelMean
from trimtab.drift.multivariate.pca import PcaReconstruction

METHODS = {
    "mmd": "trimtab.drift.multivariate.mmd:KernelMean",
    "pca": "trimtab.drift.multivariate.pca:PcaReconstruction",
    "domain_classifier": "trimtab.drift.multivariate.domain_classifier:DomainClassifier",
}
"""Where each method is; the domain classifier needs the extra ``sklearn``."""

__all__ = [
    "METHODS",
    "SAMPLE_ROWS",
    "Encoder",
    "KernelMean",
    "PcaReconstruction",
    "evenly",
]
