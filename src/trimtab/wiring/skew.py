"""Skew, composed: the subject that watches what stores served against views' histories."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidConfig, TrimtabError
from trimtab.features.ahead import AheadComparer, AheadWindows
from trimtab.features.history import History, history_of
from trimtab.features.lookup import HistoryLookup
from trimtab.features.skew import FEATURE_SKEW, SkewComparer, SkewWindows
from trimtab.features.views import compile_plan
from trimtab.judge import DriftJudge
from trimtab.log_events import Event
from trimtab.protocols import Actor
from trimtab.types import Comparison, Version, Window
from trimtab.watch import Subject
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import served_features

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedSkew:
    """Compares with the views that are served when a window is looked at, and the files of their histories.

    Histories grow by files: those of the watcher's start are not all.
    """

    deployment: Deployment
    version: Version

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a feature of which anything could be compared; nothing while serving fails too."""
        config = served_features(self.deployment)
        try:
            plan = compile_plan(config, self.version.signature, self.version.views)
        except TrimtabError:
            return ()
        histories = self._histories(config, [view.name for view in plan.views])
        views = [view for view in plan.views if view.name in histories]
        return SkewComparer(views, HistoryLookup(histories), config).compare(window)

    def _histories(self, config: FeaturesConfig, views: Sequence[str]) -> dict[str, History]:
        found: dict[str, History] = {}
        for view in views:
            try:
                found[view] = history_of(config, view, self.deployment.dir)
            except InvalidConfig:
                continue  # a view without a history has nothing to be compared with
            except TrimtabError as missing:
                why = {"view": view, "reason": f"history: {missing.message}"}
                logger.warning(Event.STORE_FAILED, extra=why)
        return found


def skew_subjects(deployment: Deployment, version: Version, actor: Actor) -> Sequence[Subject]:
    """The subject ``feature_skew`` of a version, if any of its views may have a history."""
    config = served_features(deployment)
    if not any(_has_history(config, view) for view in version.views):
        return ()
    watch = deployment.config.watch
    windows = SkewWindows(
        version.model, version.version, version.signature.names, watch.window_seconds, config
    )
    ahead = AheadWindows(windows, ServedSkew(deployment, version))
    return (
        Subject(
            key=f"{version.model}/{version.version}/{FEATURE_SKEW}",
            windower=ahead,
            comparer=AheadComparer(),
            judge=DriftJudge(FEATURE_SKEW, watch, against="the history"),
            actor=actor,
            before=ahead.look,
        ),
    )


def _has_history(config: FeaturesConfig, name: str) -> bool:
    view = config.views.get(name)
    if view is None:
        return False
    batch = config.stores.get(view.batch)
    return bool(view.history) or (batch is not None and batch.kind == "parquet")
