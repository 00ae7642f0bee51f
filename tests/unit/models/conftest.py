from __future__ import annotations

import numpy as np
import pytest

from trimtab.protocols import StateStore
from trimtab.testing import RegistryState
from trimtab.types import Columns, FeatureKind, FeatureSpec, Signature, Task


@pytest.fixture
def state() -> StateStore:
    return RegistryState()


@pytest.fixture
def signature() -> Signature:
    return Signature(features=(FeatureSpec(name="x", kind=FeatureKind.NUMERIC),), task=Task.BINARY)


@pytest.fixture
def columns(signature: Signature) -> Columns:
    return Columns(features=signature.features, arrays=(np.array([0.25, 0.5]),))
