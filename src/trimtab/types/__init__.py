"""The nouns: frozen records that cross rooms, one file a part of the system.

Units stand in names or docstrings. Times are Unix seconds in UTC: ``event_time`` is when the thing
happened in the world, ``wall_time`` is when Trimtab saw it. Shares and rates lie in [0, 1].
"""

from trimtab.types.acting import EVERY_CHANNEL, Alert, AuditEntry, Severity
from trimtab.types.features import (
    AppliedView,
    Provenance,
    Resolved,
    SourceProgress,
    StoredRow,
)
from trimtab.types.models import (
    Alias,
    Columns,
    CompactForm,
    FeatureKind,
    FeatureSpec,
    Seal,
    Signature,
    Task,
    Version,
)
from trimtab.types.optimizing import Certificate, Footprint, MetricChange, SegmentChange
from trimtab.types.planning import Ground, ModelFile, Rows
from trimtab.types.predictions import (
    PROCESS_EXIT,
    FeatureOrigin,
    Matured,
    OutcomeReceipt,
    OutcomeRecord,
    PredictAnswer,
    Prediction,
    PredictionFacts,
    PredictionRecord,
    PredictRequest,
    RowRequest,
)
from trimtab.types.record import Array, FloatArray, Record, Scalar
from trimtab.types.rollouts import (
    Exposure,
    GuardrailAction,
    GuardrailReading,
    GuardrailSpec,
    Harm,
    PromotionPolicy,
    RampHours,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    UnitEvent,
)
from trimtab.types.routing import Arm, Assignment, Route
from trimtab.types.watching import Comparison, State, Verdict, Window

__all__ = [
    "EVERY_CHANNEL",
    "PROCESS_EXIT",
    "Alert",
    "Alias",
    "AppliedView",
    "Arm",
    "Array",
    "Assignment",
    "AuditEntry",
    "Certificate",
    "Columns",
    "CompactForm",
    "Comparison",
    "Exposure",
    "FeatureKind",
    "FeatureOrigin",
    "FeatureSpec",
    "FloatArray",
    "Footprint",
    "Ground",
    "GuardrailAction",
    "GuardrailReading",
    "GuardrailSpec",
    "Harm",
    "Matured",
    "MetricChange",
    "ModelFile",
    "OutcomeReceipt",
    "OutcomeRecord",
    "PredictAnswer",
    "PredictRequest",
    "Prediction",
    "PredictionFacts",
    "PredictionRecord",
    "PromotionPolicy",
    "Provenance",
    "RampHours",
    "RampStep",
    "Record",
    "Resolved",
    "Rollout",
    "RolloutPlan",
    "RolloutState",
    "Route",
    "RowRequest",
    "Rows",
    "Scalar",
    "Seal",
    "SegmentChange",
    "Severity",
    "Signature",
    "SourceProgress",
    "State",
    "StoredRow",
    "Task",
    "UnitEvent",
    "Verdict",
    "Version",
    "Window",
]
