"""Models, their features and signatures, and what the registry knows of them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from trimtab.types.optimizing import Certificate
from trimtab.types.record import Array, Record


class FeatureKind(StrEnum):
    """How a feature's values are typed and compared."""

    NUMERIC = "numeric"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"


class Task(StrEnum):
    """What a model answers."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class FeatureSpec(Record, frozen=True):
    """One input of a model.

    ``nullable`` says that the training frame had missing values, so the model can take one.
    ``unit`` is free text such as ``mile`` or ``minute after midnight``.
    """

    name: str
    kind: FeatureKind
    nullable: bool = False
    unit: str | None = None


class Signature(Record, frozen=True):
    """What a model takes and answers.

    ``threshold`` turns a binary score into a decision: ``score >= threshold``.
    ``labels`` are the classes in the order of the output columns (binary: negative, positive).
    """

    features: tuple[FeatureSpec, ...]
    task: Task
    labels: tuple[str, ...] = ()
    threshold: float = 0.5

    @property
    def names(self) -> tuple[str, ...]:
        """The feature names in the model's order."""
        return tuple(feature.name for feature in self.features)


class Columns(Record, frozen=True):
    """Rows of features, column by column, in the signature's order.

    Numeric, integer and boolean columns are ``float64`` with NaN for missing; categorical columns
    are ``object`` arrays of ``str`` with ``None`` for missing. Each has shape ``(rows,)``.
    """

    features: tuple[FeatureSpec, ...]
    arrays: tuple[Array, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.arrays[0]) if self.arrays else 0


class CompactForm(Record, frozen=True):
    """The compiled form of a version, which is served in place of the original and answers alike.

    ``digest`` and ``size_bytes`` are its artifact's. At registration both forms answered ``rows``
    rows, ``equal`` of them alike bit for bit, the others at most ``max_abs`` apart; ``row_us`` are the
    medians of single rows in microseconds, of the original and of this form. Its ``format`` can run
    code only where steps of the original stay native. ``certificate`` says the same and more of rows that
    the model was not fitted on, where such were given; None for versions of before there was one.
    """

    digest: str
    size_bytes: int
    rows: int
    equal: int
    max_abs: float
    row_us: tuple[float, float]
    format: str = "compact"
    certificate: Certificate | None = None


class Seal(Record, frozen=True):
    """A signer's word for an artifact: ``signer`` is a public key, ``ed25519:`` and base64.

    ``signature`` is of the artifact's digest and format, ``compact`` of those of the compiled form; both
    in base64, empty where there is none.
    """

    signer: str
    signature: str
    compact: str = ""


class Version(Record, frozen=True):
    """One immutable version of a model, as the registry knows it.

    ``digest`` is ``sha256:<hex>`` over the artifact's bytes. ``metrics`` are held-out figures, for
    example ``{"roc_auc": .71, "accuracy": .8, "rows": 9000}``. ``lineage`` names data, code, parent.
    ``view_versions`` are the digests of the ``views`` that it was trained with, by name.
    ``trusted_by`` is who allowed a format that can run code, ``""`` if nobody. ``promise_digest`` names
    what its held-out rows promise of its performance.
    ``compact`` is the compiled form that is served in its place, None if there is none.
    ``certificate`` says how an optimised version differs from the one that it was made of. ``seal`` is who
    signed it.
    """

    model: str
    version: int
    digest: str
    format: str
    size_bytes: int
    signature: Signature
    created_at: float
    author: str = ""
    description: str = ""
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    lineage: dict[str, str] = msgspec.field(default_factory=dict)
    profile_digest: str | None = None
    views: tuple[str, ...] = ()
    view_versions: dict[str, str] = msgspec.field(default_factory=dict)
    trusted_by: str = ""
    promise_digest: str | None = None
    compact: CompactForm | None = None
    certificate: Certificate | None = None
    seal: Seal | None = None


class Alias(Record, frozen=True):
    """A movable name for a version: ``champion`` or ``challenger``."""

    model: str
    alias: str
    version: int
    since: float
    actor: str
    reason: str
