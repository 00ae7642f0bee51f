"""Fitted models of the libraries as tree ensembles: one file a library, one function for all."""

from trimtab.optimize.convert.dispatch import ensemble_of

__all__ = ["ensemble_of"]
