"""SciPy's naive way: ``ks_2samp`` on numbers, Jensen-Shannon of ``value_counts`` on text."""

import pandas as pd
from measure import measure, paths
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

reference, current = map(pd.read_parquet, paths())


def run() -> object:
    """A score a column."""
    found = {}
    for name in reference.columns:
        if name.startswith("x"):
            found[name] = ks_2samp(reference[name], current[name]).pvalue
        else:
            p = reference[name].value_counts(normalize=True)
            q = current[name].value_counts(normalize=True)
            names = p.index.union(q.index)
            found[name] = jensenshannon(
                p.reindex(names, fill_value=0), q.reindex(names, fill_value=0), base=2
            )
    return found


measure(run)
