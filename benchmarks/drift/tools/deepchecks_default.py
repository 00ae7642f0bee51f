"""Deepchecks' FeatureDrift on all rows (as it comes it takes 100,000 of them)."""

import warnings

import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.checks import FeatureDrift
from measure import measure, paths

warnings.simplefilter("ignore")
reference, current = map(pd.read_parquet, paths())
texts = [name for name in reference.columns if name.startswith("s")]
old, new = Dataset(reference, cat_features=texts), Dataset(current, cat_features=texts)
measure(lambda: FeatureDrift(n_samples=10_000_000, n_top_columns=60).run(old, new))
