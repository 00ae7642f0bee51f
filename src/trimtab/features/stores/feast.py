"""Features of an existing Feast repository: its online store, read through Feast itself.

Feast names a feature by view and name, and an entity by its join keys. A view here is the
feature view of that name there; the names of its keys are in the order of Feast's join keys. Feast
keeps event times in whole seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from feast import FeatureStore as Repository
from feast.errors import FeastObjectNotFoundException

from trimtab.config import Count, Section, StoreConfig, convert
from trimtab.errors import InvalidConfig, Refused
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.features.values import join_keys, split_keys
from trimtab.log_events import Event
from trimtab.protocols import Clock
from trimtab.types import Scalar, StoredRow

logger = logging.getLogger(__name__)

_MOST_WARM_SECONDS = 10.0
"""A worker starts without its repository rather than not at all."""


class FeastOptions(Section, frozen=True):
    """What ``[features.stores.<name>.options]`` may say: how many reads may run side by side."""

    threads: Count = 8


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> ThreadedStore:  # noqa: ARG001 - every store's form
    """The store over the Feast repository in the folder ``url``.

    Raises:
        InvalidConfig: there is no repository, or an option cannot be used.
    """
    options = convert(config.options, FeastOptions)
    if not (Path(config.url) / "feature_store.yaml").is_file():
        raise InvalidConfig(
            f"There is no Feast repository in {config.url!r}.",
            path="features.stores",
            hint="Name the folder that holds feature_store.yaml.",
        )
    pool = DaemonPool("feast", lambda _: None, threads=options.threads)
    store = FeastStore(Path(config.url))
    # What fails now fails again where a read can say so.
    wait([pool.submit(store.warm)], _MOST_WARM_SECONDS)
    return ThreadedStore(store, pool)


class FeastStore:
    """Rows of a repository's feature views; synchronous, as Feast is.

    Args:
        folder: Where ``feature_store.yaml`` is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._opened: Any = None
        self._views: dict[str, _View] = {}
        self._unknown: set[str] = set()

    def warm(self) -> None:
        """Open the repository and read from it: Feast takes seconds for its first answer, which no request has."""
        for view in self._repository().list_feature_views()[:1]:
            self.read(view.name, [join_keys(("0",) * len(view.entity_columns))])

    def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that the online store has, in order.

        A view that the repository does not know has none, which is logged once. A key of another type than Feast's is one
        that it cannot have. Errors are Feast's own.
        """
        if not entities:
            return {}
        found = self._view(view)
        if found is None:
            return {}
        asked = [(entity, keys) for entity in entities if (keys := found.keys_of(entity))]
        if not asked:
            return {}
        answer = self._repository().get_online_features(
            features=found.references, entity_rows=[keys for _, keys in asked]
        )
        return _rows([entity for entity, _ in asked], set(found.features), answer)

    def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Refuse: not every online store of Feast keeps the newer of two events.

        Raises:
            Refused: always.
        """
        raise Refused(
            f"{len(rows)} rows of the view {view!r} are not written to Feast.",
            code="store_read_only",
            hint="Write them with Feast itself: `feast materialize`, or a push source.",
        )

    def ping(self) -> None:
        """Return if the registry can be read; errors are Feast's own."""
        self._repository().list_feature_views()

    def close(self) -> None:
        """Nothing to release: Feast keeps its connections for the process."""

    def _repository(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = Repository(repo_path=str(self._folder))
            return self._opened

    def _view(self, name: str) -> _View | None:
        if name not in self._views:
            try:
                found = self._repository().get_feature_view(name)
            except FeastObjectNotFoundException:
                if name not in self._unknown:
                    self._unknown.add(name)
                    reason = f"the repository has no feature view {name!r}"
                    logger.warning(
                        Event.STORE_FAILED, extra={"store": str(self._folder), "reason": reason}
                    )
                return None
            self._views[name] = _View(
                features=tuple(field.name for field in found.features),
                references=[f"{name}:{field.name}" for field in found.features],
                keys={
                    field.name: int if "Int" in str(field.dtype) else str
                    for field in found.entity_columns
                },
            )
        return self._views[name]


@dataclass(frozen=True, slots=True)
class _View:
    """A feature view of Feast: its features, how they are asked for, and its join keys with types."""

    features: tuple[str, ...]
    references: list[str]
    keys: Mapping[str, type[int | str]]

    def keys_of(self, entity: str) -> dict[str, int | str] | None:
        """The join keys that an entity stands for; None if it can stand for none."""
        parts = [entity] if len(self.keys) == 1 else split_keys(entity)
        if len(parts) != len(self.keys):
            return None
        try:
            return {
                name: kind(part)
                for (name, kind), part in zip(self.keys.items(), parts, strict=True)
            }
        except ValueError:
            return None


def _rows(entities: Sequence[str], features: set[str], answer: Any) -> dict[str, StoredRow]:
    """The rows in Feast's answer; an entity of which nothing is known is omitted."""
    values: dict[str, list[Scalar]] = answer.to_dict()
    times = [0.0] * len(entities)
    for name, vector in zip(
        answer.proto.metadata.feature_names.val, answer.proto.results, strict=True
    ):
        if name in features:
            for at, stamp in enumerate(vector.event_timestamps):
                times[at] = max(times[at], stamp.seconds + stamp.nanos / 1e9)
    return {
        entity: StoredRow(
            values={name: values[name][at] for name in features}, event_time=times[at]
        )
        for at, entity in enumerate(entities)
        if times[at] > 0.0
    }
