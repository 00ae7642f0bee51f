"""Every setting: type, unit, bounds, meaning. Precedence: CLI > environment > file > default.

A setting ``[serve] port`` is overridden by the environment variable ``TRIMTAB_SERVE__PORT``; two
underscores go one level down. Values from the environment are read as TOML, or else as text.
Secrets are written as ``env:NAME`` or ``file:PATH`` and are never printed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from trimtab.errors import InvalidConfig
from trimtab.types import RolloutPlan, Scalar

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Quantile = Annotated[float, Meta(ge=0.5, lt=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of settings; unknown keys are refused."""


class StateConfig(Section, frozen=True):
    """Where state lives.

    ``url`` is empty for SQLite in ``dir``, or a ``postgresql://`` URL. ``artifacts`` is empty for a folder
    in ``dir``, or a folder or URL that all machines reach, for example ``s3://bucket/models`` with the
    extra ``s3``; then ``dir`` has verified copies of what is in use here.
    """

    dir: str = ".trimtab"
    url: str = ""
    artifacts: str = ""


class ServeConfig(Section, frozen=True):
    """The HTTP edge.

    ``max_body_bytes`` and ``max_rows`` bound one request; ``max_in_flight`` bounds a worker's open
    predictions, and ``max_wait_ms`` how long requests may have waited for those before them, above which
    newer ones are answered first and they are refused with 503. A worker holds ``max_connections``, and cuts one whose request takes longer than
    ``request_seconds`` to arrive, or whose client does not take its answers for so long. Of bodies that arrive in pieces it holds ``max_held_bytes`` until
    they are answered, at least one of ``max_body_bytes``; who brings more is refused with 503 and cut. A worker whose resident memory is above ``max_worker_bytes`` gives way to a fresh one, 0 never.
    ``drain_seconds`` is how long a stopping
    worker waits for requests in flight; ``unknown_features`` refuses or ignores unknown names;
    ``max_future_seconds`` is how far an event time may lie ahead of the server's clock. ``http``
    ``lane`` answers predictions, plain ones and those of the Open Inference Protocol, inside the connection; ``asgi`` sends all through the application.
    With a ``grpc_port`` the Open Inference Protocol is also spoken over gRPC there; 0 takes any free one.
    With ``exemplars`` buckets of latency name a prediction each, for those who scrape OpenMetrics.
    """

    host: str = "127.0.0.1"
    port: Port = 8400
    workers: Count = 2
    max_body_bytes: Count = 8 * 1024 * 1024
    max_rows: Count = 10_000
    max_in_flight: Count = 256
    max_wait_ms: Positive = 250.0
    max_connections: Count = 1_000
    max_held_bytes: Count = 128 * 1024 * 1024
    request_seconds: Positive = 30.0
    drain_seconds: Positive = 10.0
    max_worker_bytes: Annotated[int, Meta(ge=0)] = 0
    unknown_features: Literal["refuse", "ignore"] = "refuse"
    max_future_seconds: NonNegative = 300.0
    http: Literal["asgi", "lane"] = "lane"
    grpc_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    exemplars: bool = False


Sensitivity = Literal["public", "internal", "personal", "secret"]


class JournalConfig(Section, frozen=True):
    """The prediction journal.

    ``mode`` ``durable``: the reply waits for the disk. ``bounded``: the record is in the kernel
    before the reply, and on disk within ``sync_ms`` and one sync. ``sampled``: the same for the share
    ``sample_ratio`` of units, chosen by their hash; nothing is kept of the others. ``on_full`` says what happens to predictions
    when the disk refuses: ``refuse`` answers 503, ``drop`` answers and counts the loss. A segment
    is closed when it reaches ``segment_bytes``, or with the first record ``segment_seconds`` after its own
    first.

    With ``compact`` closed segments become Parquet once the watcher has read them and nothing was written
    to them for ``compact_after_seconds``. Records are kept for ``retain_days`` after they were made, and
    the newest ``retain_bytes`` of them; 0 sets no limit. What the watcher has not read is always kept.

    Of features that a view declares with one of the sensitivities in ``withhold``, no values are recorded, of
    whichever model; ``withhold`` of a model names others.
    """

    mode: Literal["durable", "bounded", "sampled"] = "bounded"
    sample_ratio: Share = 0.1
    sync_ms: Positive = 50.0
    segment_bytes: Count = 64 * 1024 * 1024
    segment_seconds: Positive = 3_600.0
    on_full: Literal["refuse", "drop"] = "refuse"
    compact: bool = True
    compact_after_seconds: NonNegative = 60.0
    retain_days: NonNegative = 0.0
    retain_bytes: Annotated[int, Meta(ge=0)] = 0
    withhold: tuple[Sensitivity, ...] = ()


class WatchConfig(Section, frozen=True):
    """How traffic is watched; all spans are in event time.

    ``window_seconds`` long windows close ``lateness_seconds`` after their end, and need
    ``min_rows``. ``window_by`` ``rows``: windows of drift and data quality close when they have
    ``window_rows`` instead; ``both``: at whichever comes first. They tumble, or with
    ``window_panes`` above 1 slide by so-manieth of a window. A performance window closes when ``maturity_ratio`` of its predictions have their
    outcome, or ``outcome_delay_seconds`` after its end. Outcomes that come later are counted in the
    latest ``recount_windows`` closed windows of a version.

    A subject has drifted when two flagged windows in a row score ``drift_threshold`` or more, or when
    its evidence reaches ``run_length_windows``: without drift that happens at most once in so many
    windows on average. An alarm of data drift whose score is ``retrain_threshold`` or more calls for
    retraining. Every ``poll_ms`` the watcher takes at most ``batch_rows`` records, and no more than it gets
    done in a quarter of a second. ``statistics`` names
    the drift statistics, built in or installed, that features and scores are compared by.

    ``replica`` is this machine's name where several share one database: their windows are merged then,
    and rollouts judged by what all have answered. One that is ``replica_wait_seconds`` behind the others
    is not waited for.
    """

    poll_ms: Positive = 200.0
    batch_rows: Count = 20_000
    window_by: Literal["time", "rows", "both"] = "time"
    window_seconds: Positive = 86_400.0
    window_rows: Count = 10_000
    window_panes: Annotated[int, Meta(ge=1, le=100)] = 1
    lateness_seconds: NonNegative = 3_600.0
    min_rows: Count = 100
    outcome_delay_seconds: NonNegative = 172_800.0
    maturity_ratio: Share = 0.99
    recount_windows: Count = 35
    drift_threshold: Share = 0.1
    retrain_threshold: Share = 0.3
    run_length_windows: Positive = 1_000.0
    statistics: tuple[str, ...] = (
        "ks",
        "total_variation",
        "missing_rate",
        "new_category",
        "constant_changed",
    )
    replica: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]*$", max_length=64)] = ""
    replica_wait_seconds: NonNegative = 3_600.0


class CacheConfig(Section, frozen=True):
    """A memory of a store's rows in each worker, of at most ``bytes``.

    A row that was read less than ``stale_seconds`` ago stands in for a read that fails. One that was
    read less than ``fresh_ms`` ago is served without a read, and so is, for ``absent_ms``, the
    knowledge that there is none. A view's ``ttl_seconds`` holds for them as for all rows.
    """

    bytes: Count = 64 * 1024 * 1024
    stale_seconds: NonNegative = 300.0
    fresh_ms: NonNegative = 0.0
    absent_ms: NonNegative = 1_000.0


class StoreConfig(Section, frozen=True):
    """A feature store: ``kind`` is a plugin name, ``url`` and ``options`` are its own.

    Without ``cache`` every request reads.
    """

    kind: str
    url: str = ""
    options: dict[str, Scalar] = {}
    cache: CacheConfig | None = None


class ViewFeature(Section, frozen=True):
    """One feature of a view. Without ``default``, absence everywhere is an error.

    A value outside ``minimum`` and ``maximum`` (both inclusive), or none of ``allowed``, is refused to
    its fallback. ``ttl_seconds`` is this feature's own freshness limit. ``sensitivity``, ``owner``,
    ``unit`` and ``description`` are for people.
    """

    name: str
    kind: Literal["numeric", "integer", "boolean", "categorical"] = "numeric"
    unit: str = ""
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()
    ttl_seconds: Positive | None = None
    sensitivity: Sensitivity = "internal"
    owner: str = ""
    description: str = ""


class ViewTransform(Section, frozen=True):
    """A feature that is computed for each request by ``function``, a ``module:function``.

    The function is called with the values of ``inputs`` in their order: features of the model, of its
    views, of other transforms, or what the view declares under ``request``. It must be pure. Where an
    input is missing the output is, unless ``takes_missing``; then missing inputs are None. The rest is
    as for a stored feature.
    """

    name: str
    function: str
    inputs: tuple[str, ...]
    takes_missing: bool = False
    kind: Literal["numeric", "integer", "boolean", "categorical"] = "numeric"
    unit: str = ""
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()
    sensitivity: Sensitivity = "internal"
    owner: str = ""
    description: str = ""


class ViewConfig(Section, frozen=True):
    """A feature view: for the entity named by ``entity``, read ``realtime``, else ``batch``.

    ``entity`` is the name of the request's feature or field that holds the key, or several names. A
    realtime value older than ``ttl_seconds`` of event time counts as missing. ``history`` is a file or
    pattern of Parquet files of past values, for training sets, materialisation and the skew watch: a
    column for each key, ``time_column`` and the features; without it the view's file in a batch store
    of the kind ``parquet`` is read. ``request`` declares what else its ``transforms`` take from a
    request; a view of transforms alone needs no entity.
    """

    entity: str | tuple[str, ...] = ()
    features: tuple[ViewFeature, ...] = ()
    transforms: tuple[ViewTransform, ...] = ()
    request: tuple[ViewFeature, ...] = ()
    realtime: str = ""
    batch: str = ""
    history: str = ""
    time_column: str = "event_time"
    ttl_seconds: Positive | None = None
    owner: str = ""
    description: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the entity's keys, in order."""
        return (self.entity,) if isinstance(self.entity, str) else self.entity


class FeaturesConfig(Section, frozen=True):
    """Feature stores and views. ``deadline_ms`` bounds the feature step of a request.

    A store's breaker opens after ``breaker_failures`` failures in a row and tries one read again
    after ``breaker_seconds``. A read that takes longer than the ``hedge_quantile`` of its store's
    latencies is sent a second time; such reads add at most ``hedge_ratio`` to the store's load, and 0
    turns them off.

    When more than ``fallback_ratio`` of at least ``fallback_min_values`` values of a feature in a window
    of ``fallback_window_seconds`` came from a fallback, people are told. Values that requests brought
    do not count.

    The skew watch compares ``skew_samples`` predictions of a window with the views' histories,
    ``skew_delay_seconds`` after the window's end. Numbers within ``skew_tolerance_ratio`` of each other
    are equal; a share of at most ``skew_floor`` that differs does not matter.
    """

    deadline_ms: Positive = 100.0
    breaker_failures: Count = 5
    breaker_seconds: Positive = 1.0
    hedge_quantile: Quantile = 0.95
    hedge_ratio: Share = 0.05
    fallback_ratio: Share = 0.05
    fallback_min_values: Count = 1_000
    fallback_window_seconds: Positive = 300.0
    skew_delay_seconds: NonNegative = 86_400.0
    skew_samples: Count = 1_000
    skew_tolerance_ratio: Share = 1e-6
    skew_floor: Share = 0.01
    stores: dict[str, StoreConfig] = {}
    views: dict[str, ViewConfig] = {}


class PerformanceConfig(Section, frozen=True):
    """What a model's performance is measured by, beside what its task has anyway.

    ``segments`` names features by whose values performance is also measured: categories, truth values,
    or numbers in four parts of equally many held-out rows. ``costs`` has one row an outcome and one
    column a decision, in the order of the model's labels: what each costs, in ``currency``; gains are
    negative. ``quantile`` says which one a regression predicts. With ``ranking_k`` the rows of a request
    are a ranking, and its first ``ranking_k`` places count.
    """

    segments: tuple[str, ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()
    currency: str = ""
    quantile: Annotated[float, Meta(gt=0, lt=1)] | None = None
    ranking_k: Count | None = None


class ModelConfig(Section, frozen=True):
    """What one model has of its own. ``outcome`` names what becomes known later, in words.

    A candidate that needs longer than ``deadline_ms`` is left behind, and the champion answers.
    ``features_deadline_ms`` is this model's own ``deadline_ms`` of ``[features]``. ``trainer`` is
    ``package.module:function``, for ``trimtab retrain``. ``owner`` and ``purpose``
    stand in the report. Rows are watched apart by the values of the feature ``segment_by``: the
    ``max_segments`` most frequent of the reference.

    Single rows of requests that arrive together are scored in one call where that was found to pay: at most
    ``batch_rows`` of them, and none waits for others longer than ``batch_wait_ms``. 1 row turns it off.

    ``availability_target`` is the share of requests that are to be answered without a fault of the server;
    what it leaves is the error budget that ``/metrics`` tells of.

    ``withhold`` names features, and keys of feature views, whose values the journal never gets. What reads
    the journal knows them as withheld: neither drift nor quality is judged of them, and no training set is
    made of them.
    """

    deadline_ms: Positive = 1_000.0
    features_deadline_ms: Positive | None = None
    rollout: RolloutPlan | None = None
    trainer: str = ""
    owner: str = ""
    purpose: str = ""
    outcome: str = "outcome"
    performance: PerformanceConfig = PerformanceConfig()
    segment_by: str = ""
    max_segments: Annotated[int, Meta(ge=1, le=100)] = 10
    batch_rows: Count = 64
    batch_wait_ms: NonNegative = 5.0
    availability_target: Annotated[float, Meta(ge=0, lt=1)] = 0.999
    withhold: tuple[str, ...] = ()


class ChannelConfig(Section, frozen=True):
    """An alert channel: ``kind`` is a plugin name; ``min_severity`` bounds what it gets.

    Changes of traffic are of the severity ``info``, those that a guardrail brought about ``ticket``: a
    channel with a higher ``min_severity`` does not hear of ramps, promotions and what people do. With
    ``changes`` ``all`` it gets every change of traffic whatever its severity, with ``none`` none of the
    severity ``info``.
    """

    kind: str
    url: str = ""
    min_severity: Literal["info", "ticket", "page"] = "info"
    changes: Literal["by_severity", "all", "none"] = "by_severity"
    timeout_seconds: Positive = 5.0
    options: dict[str, Scalar] = {}


class AlertsConfig(Section, frozen=True):
    """Where alerts go; they are always on the dashboard and in ``trimtab events``."""

    channels: dict[str, ChannelConfig] = {}


class TokenConfig(Section, frozen=True):
    """A bearer token of the control plane; ``secret`` is ``env:NAME`` or ``file:PATH``."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    secret: str


class AuthConfig(Section, frozen=True):
    """Who may change state over HTTP. Without tokens nobody may; the command line always can.

    ``allow_code`` names versions (``model`` or ``model:version``) whose artifacts may run code when
    they are loaded (pickle, joblib), though nobody vouched for them when they were registered.
    ``signers`` are trusted public keys by name (``ed25519:…``, as ``trimtab keys`` shows them): what they
    signed may run code, and a signature of theirs that does not hold is refused at every load. With
    ``require_signature`` nothing else is loaded, except by name in ``allow_code``.
    """

    tokens: tuple[TokenConfig, ...] = ()
    allow_code: tuple[str, ...] = ()
    signers: dict[str, str] = {}
    require_signature: bool = False


class OptimizeConfig(Section, frozen=True):
    """``compact`` compiles what is registered, and serves compiled forms in place of originals."""

    compact: bool = True


class Config(Section, frozen=True):
    """The whole of ``trimtab.toml``."""

    state: StateConfig = StateConfig()
    serve: ServeConfig = ServeConfig()
    journal: JournalConfig = JournalConfig()
    watch: WatchConfig = WatchConfig()
    features: FeaturesConfig = FeaturesConfig()
    models: dict[str, ModelConfig] = {}
    alerts: AlertsConfig = AlertsConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    auth: AuthConfig = AuthConfig()

    def __post_init__(self) -> None:
        for model, own in self.models.items():
            for name in sorted(self.withheld(model) & {own.segment_by, *own.performance.segments}):
                message = f"{name!r} is withheld from the journal, so nothing is watched by it"
                raise ValueError(message)

    def withheld(
        self, model: str, applied: Mapping[str, ViewConfig] | None = None
    ) -> frozenset[str]:
        """The features and keys of a model whose values the journal never gets.

        Args:
            model: Its name.
            applied: Feature views that are served in the place of those that are configured.
        """
        sensitive = {
            one.name
            for view in {**self.features.views, **(applied or {})}.values()
            for declared in (view.features, view.transforms, view.request)
            for one in declared
            if one.sensitivity in self.journal.withhold
        }
        return frozenset(self.models.get(model, ModelConfig()).withhold) | sensitive


T = TypeVar("T")
FILE_NAME = "trimtab.toml"
PREFIX = "TRIMTAB_"


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read the configuration.

    Args:
        path: The file; None means ``trimtab.toml`` in the working directory if there is one.
        environ: Where ``TRIMTAB_*`` variables are looked up.
        overrides: Settings by dotted path, for example ``{"serve.port": 0}``; they win.

    Raises:
        InvalidConfig: a file is missing or malformed, a key unknown, a value out of bounds.
    """
    tree: dict[str, Any] = {}
    if path is None and Path(FILE_NAME).is_file():
        path = Path(FILE_NAME)
    if path is not None:
        tree = _read(path)
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX) and name != PREFIX:
            _put(tree, name.removeprefix(PREFIX).lower().split("__"), _value(text), name)
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, dotted)
    return convert(tree, Config)


def convert(tree: Any, kind: type[T]) -> T:
    """Check a decoded tree against a struct.

    Raises:
        InvalidConfig: naming the path of the offending key.
    """
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as wrong:
        message, _, where = str(wrong).partition(" - at `$")
        raise InvalidConfig(
            f"{message}.",
            path=_named(tree, kind, where.strip("`.")) or None,
            hint="`trimtab config schema` lists every setting with its bounds.",
        ) from wrong


def _named(tree: Any, kind: type[T], where: str) -> str:
    """A path whose ``[...]``, msgspec's word for a key of a table, are the keys that they stand for."""
    lead, gap, _ = where.partition("[...]")
    table = tree
    for part in lead.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    if not gap or not isinstance(table, dict):
        return where
    whole = dict(table)
    for key, value in whole.items():
        table.clear()
        table[key] = value
        try:
            msgspec.convert(tree, kind)
        except msgspec.ValidationError:
            where = where.replace("[...]", f".{key}", 1)
            break
    table.clear()
    table.update(whole)
    return where


def secret(reference: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """The text behind ``env:NAME`` or ``file:PATH``.

    Raises:
        InvalidConfig: it is neither form, or there is nothing behind it.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = environ.get(name, "")
    elif kind == "file":
        file = Path(name)
        found = file.read_text().strip() if file.is_file() else ""
    else:
        raise InvalidConfig(
            "A secret must not stand in the configuration itself.",
            hint="Write it as 'env:NAME' or 'file:PATH'.",
        )
    if not found:
        raise InvalidConfig(f"The secret {reference!r} is empty or missing.", hint="Set it first.")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise InvalidConfig(
            f"There is no configuration file {str(path)!r}.", hint="`trimtab init` writes one."
        ) from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise InvalidConfig(f"{path} is not valid TOML: {wrong}.", path=str(path)) from wrong


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise InvalidConfig(f"{name} goes below {part!r}, which is a single value.", path=part)
        tree = below
    tree[path[-1]] = value
