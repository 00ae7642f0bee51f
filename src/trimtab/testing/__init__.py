"""Fakes and conformance suites for those who build on Trimtab.

A suite is a function in a file of its own: it takes what it needs to make your object, and raises
``AssertionError`` where a law is broken.
"""

from trimtab.testing.alert_channels import check_alert_channel
from trimtab.testing.drift_statistics import check_drift_statistic
from trimtab.testing.fakes import (
    FakeClock,
    FolderBlobs,
    MemoryJournal,
    MemoryRegistry,
    RegistryState,
)
from trimtab.testing.feature_stores import check_feature_store
from trimtab.testing.model_formats import check_model_format
from trimtab.testing.proxy import Fault, FaultyProxy
from trimtab.testing.rollout_strategies import check_rollout_strategy
from trimtab.testing.virtual_time import run_virtually

__all__ = [
    "FakeClock",
    "Fault",
    "FaultyProxy",
    "FolderBlobs",
    "MemoryJournal",
    "MemoryRegistry",
    "RegistryState",
    "check_alert_channel",
    "check_drift_statistic",
    "check_feature_store",
    "check_model_format",
    "check_rollout_strategy",
    "run_virtually",
]
