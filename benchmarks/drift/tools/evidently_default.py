"""Evidently's DataDriftPreset as it comes."""

import warnings

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from measure import measure, paths

warnings.simplefilter("ignore")
reference, current = map(pd.read_parquet, paths())
definition = DataDefinition(
    numerical_columns=[c for c in reference.columns if c.startswith("x")],
    categorical_columns=[c for c in reference.columns if c.startswith("s")],
)
old = Dataset.from_pandas(reference, data_definition=definition)
new = Dataset.from_pandas(current, data_definition=definition)
measure(lambda: Report([DataDriftPreset()]).run(new, old).dict())
