"""Several versions of a model in one process, each with its exact part of the users."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from msgspec.structs import replace as altered

from trimtab.config import ModelConfig
from trimtab.errors import Conflict, InvalidInput, InvalidPlan, InvalidRow, NotFound, Unavailable
from trimtab.features.threads import DaemonPool
from trimtab.library.tables import model_input
from trimtab.log_events import Event
from trimtab.rollout import slots
from trimtab.rollout.router import Router
from trimtab.rollout.split import SLOTS
from trimtab.telemetry import Metrics, shared_metrics
from trimtab.types import Arm, Route

log = logging.getLogger(__name__)

_CHAMPION = 0


@dataclass(frozen=True, slots=True)
class _Live:
    """What answers now: models in the order of the route's arms, and former champions."""

    route: Route
    models: tuple[Any, ...] = ()
    former: tuple[tuple[str, Any], ...] = ()

    @property
    def ids(self) -> list[str]:
        return [arm.name for arm in self.route.arms]


class ModelDeployment:
    """Routes users to versions of a model; thread-safe.

    The first version deployed is the champion and gets everybody. A later one is a candidate and
    takes exactly its part of all users from the champion. A user stays with a version, in every
    process and after every restart, as long as the same versions are deployed in the same order; a
    ramp moves users from the champion to the candidate only.

    Args:
        salt: Decides which users a candidate gets; the same in every process.
        deadline_ms: After this a candidate's answer is not waited for.
        metrics: Where failures are counted; the library's own on the default registry if None.

    Example:
        >>> class Constant:
        ...     def __init__(self, answer):
        ...         self.answer = answer
        ...
        ...     def predict(self, features):
        ...         return self.answer
        >>> deployment = ModelDeployment()
        >>> deployment.deploy_model("v1", Constant("old"))
        >>> deployment.deploy_model("v2", Constant("new"), traffic_percent=10)
        >>> deployment.shares
        {'v1': 0.9, 'v2': 0.1}
        >>> deployment.predict("user-9", [1.0]), deployment.predict("user-10", [1.0])
        ('old', 'new')
        >>> deployment.rollback_model("v2")
        >>> deployment.predict("user-10", [1.0])
        'old'
    """

    def __init__(
        self,
        *,
        salt: str = "trimtab",
        deadline_ms: float = ModelConfig().deadline_ms,
        metrics: Metrics | None = None,
    ) -> None:
        self._salt = salt
        self._deadline_seconds = deadline_ms / 1e3
        self._metrics = shared_metrics() if metrics is None else metrics
        self._router = Router()
        self._pool = DaemonPool("candidate", lambda _: None)
        self._lock = Lock()
        self._failures: Counter[str] = Counter()
        self._live = _Live(
            Route(
                model="", epoch=0, arms=(), slots=slots.all_control(), salt=salt, strategy="canary"
            )
        )

    @property
    def shares(self) -> dict[str, float]:
        """Each version's part of the users, in [0, 1], the champion first."""
        return {arm.name: arm.share for arm in self._live.route.arms}

    @property
    def failures(self) -> Mapping[str, int]:
        """How often the champion had to answer in a candidate's place, by candidate."""
        with self._lock:
            return dict(self._failures)

    def deploy_model(self, model_id: str, model: Any, traffic_percent: float = 10) -> None:
        """Deploy a version: the first gets everybody, any other its part of the users.

        Args:
            model_id: What the version is called.
            model: Has ``predict``.
            traffic_percent: In [0, 100], in steps of 0.01.

        Raises:
            Conflict: a version of that name is deployed.
            InvalidPlan: the candidates would have more than 100 % together.
            InvalidInput: the model cannot predict.
        """
        if not callable(getattr(model, "predict", None)):
            raise InvalidInput(
                f"{type(model).__name__} has no method 'predict'.",
                code="invalid_model",
                path="model",
            )
        with self._lock:
            live = self._live
            if model_id in live.ids or model_id in dict(live.former):
                raise Conflict(
                    f"A version {model_id!r} is deployed already.",
                    hint="Roll it back first, or give the new one a name of its own.",
                    code="already_deployed",
                )
            if not live.models:
                self._live = _with(live, [model_id], (model,), slots.all_control())
                return
            shares = {**_candidates(live), model_id: _share(traffic_percent)}
            salt = live.route.salt
            if not any(live.route.slots):
                # Nobody is with a candidate: other users than last time can take the risk.
                salt = f"{self._salt}:{model_id}"
            table = _grown(live, shares)
            self._live = _with(live, [*live.ids, model_id], (*live.models, model), table, salt)

    def ramp(self, model_id: str, traffic_percent: float) -> None:
        """Give a candidate a larger part of the users.

        Raises:
            NotFound: no version of that name is deployed.
            InvalidPlan: its part would shrink, or the candidates have more than 100 % together.
            Conflict: it is the champion, who has whatever the candidates leave.
        """
        with self._lock:
            live = self._live
            if _place(live, model_id) == _CHAMPION:
                raise Conflict(
                    f"{model_id!r} is the champion and has what the candidates leave.",
                    hint="Ramp a candidate.",
                    code="is_champion",
                )
            table = _grown(live, {**_candidates(live), model_id: _share(traffic_percent)})
            self._live = _with(live, live.ids, live.models, table)

    def promote(self, model_id: str) -> None:
        """Make a candidate the champion; the former one can take over again if it is rolled back.

        Raises:
            NotFound: no version of that name is deployed.
        """
        with self._lock:
            live = self._live
            place = _place(live, model_id)
            if place != _CHAMPION:
                former = (*live.former, (live.ids[_CHAMPION], live.models[_CHAMPION]))
                self._live = replace(_succeeded(live, place), former=former)

    def rollback_model(self, model_id: str) -> None:
        """Take a version out at once; its users go to the champion.

        In a champion's place comes the champion before it, or else the candidate with the most users.

        Raises:
            NotFound: no version of that name is deployed.
            Conflict: it is the only version.
        """
        with self._lock:
            live = self._live
            if model_id in dict(live.former):
                former = tuple(entry for entry in live.former if entry[0] != model_id)
                self._live = replace(live, former=former)
                return
            place = _place(live, model_id)
            if place != _CHAMPION:
                self._live = _without(live, place)
            elif live.former:
                *former_left, (name, model) = live.former
                ids, models = [name, *live.ids[1:]], (model, *live.models[1:])
                again = _with(live, ids, models, live.route.slots)
                self._live = replace(again, former=tuple(former_left))
            elif len(live.ids) > 1:
                heir = max(range(1, len(live.ids)), key=lambda at: live.route.arms[at].share)
                self._live = _succeeded(live, heir)
            else:
                raise Conflict(
                    f"{model_id!r} is the only version; without it nobody could be answered.",
                    hint="Deploy the version that is to take over, then roll this one back.",
                    code="only_version",
                )

    def model_for(self, user_id: object) -> str:
        """The version that a user is with."""
        live = self._live
        return live.ids[self._arm(live, user_id)]

    def predict(self, user_id: object, features: object) -> Any:
        """What the user's version predicts; the champion's answer if a candidate fails.

        Args:
            user_id: Who asks; its text decides the version.
            features: What the model takes; see :meth:`trimtab.ProductionModel.predict`.

        Returns:
            What the model's ``predict`` returns.

        Raises:
            NotFound: nothing is deployed.
            InvalidRow: there is no user id.
        """
        live = self._live
        arm = self._arm(live, user_id)
        if arm != _CHAMPION:
            failed, answer = self._try(live.models[arm], features)
            if not failed:
                return answer
            self._count(live.ids[arm], failed)
        return _predict(live.models[_CHAMPION], features)

    def _arm(self, live: _Live, user_id: object) -> int:
        if not live.models:
            raise NotFound(
                "No model is deployed.", hint="Call deploy_model first.", code="nothing_deployed"
            )
        if user_id is None or user_id == "":
            raise InvalidRow(
                "Without a user id nobody can be kept with one version.",
                hint="Pass a session or request id for users who are not known.",
                code="missing_key",
                path="user_id",
            )
        return self._router.assign(live.route, str(user_id), "").arm

    def _try(self, model: Any, features: object) -> tuple[str, Any]:
        """Why the candidate failed, or ``""`` and its answer."""
        try:
            future = self._pool.submit(_predict, model, features)
        except Unavailable:
            return "too many earlier calls hang", None
        wait((future,), timeout=self._deadline_seconds)
        if not future.done():
            self._pool.give_up(future)
            return f"no answer within {self._deadline_seconds * 1e3:g} ms", None
        error = future.exception()
        if error is not None:
            return f"{type(error).__name__}: {error}", None
        answer = future.result()
        return ("nonsense: missing or not finite" if _is_nonsense(answer) else ""), answer

    def _count(self, model_id: str, failed: str) -> None:
        with self._lock:
            self._failures[model_id] += 1
        self._metrics.count("ml_candidate_failures_total", model_version=model_id)
        log.warning("%s: %s: %s", Event.CANDIDATE_FAILED, model_id, failed)


def _predict(model: Any, features: object) -> Any:
    return model.predict(model_input(model, features))


def _is_nonsense(answer: object) -> bool:
    if answer is None:
        return True
    array = np.asarray(answer)
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def _share(percent: Any) -> float:
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise InvalidPlan(
            f"{percent!r} is no percentage of the users.",
            hint="Pass a number between 0 and 100; 10 is ten percent.",
            code="invalid_share",
            path="traffic_percent",
        )
    return percent / 100


def _place(live: _Live, model_id: str) -> int:
    if model_id in live.ids:
        return live.ids.index(model_id)
    raise NotFound(
        f"No version {model_id!r} is deployed.",
        hint=f"Deployed: {', '.join(live.ids) or 'none'}.",
        code="unknown_version",
    )


def _candidates(live: _Live) -> dict[str, float]:
    return {arm.name: arm.share for arm in live.route.arms[1:]}


def _grown(live: _Live, shares: Mapping[str, float]) -> bytes:
    total = sum(slots.whole_slots(share, "traffic_percent") for share in shares.values())
    if total > SLOTS:
        added = " + ".join(f"{name} {share * 100:g} %" for name, share in shares.items())
        raise InvalidPlan(
            f"{added} = {total / SLOTS * 100:g} %, more users than there are.",
            hint="Roll a candidate back or promote it first; the champion's part is not counted.",
            code="shares_over_one",
            path="traffic_percent",
        )
    return slots.grow(live.route.slots, list(shares.values()))


def _with(
    live: _Live,
    ids: list[str],
    models: tuple[Any, ...],
    table: bytes,
    salt: str | None = None,
) -> _Live:
    arms = tuple(
        Arm(name=name, version=at, share=share)
        for at, (name, share) in enumerate(zip(ids, slots.shares(table, len(ids)), strict=True))
    )
    route = altered(
        live.route,
        epoch=live.route.epoch + 1,
        arms=arms,
        slots=table,
        salt=live.route.salt if salt is None else salt,
    )
    return _Live(route=route, models=models, former=live.former)


def _without(live: _Live, place: int) -> _Live:
    """The candidate's slots go to the champion, and the arms after it move up."""
    ids, models = live.ids, list(live.models)
    del ids[place], models[place]
    moved = bytes(0 if arm == place else arm - (arm > place) for arm in range(slots.MAX_ARMS))
    return _with(live, ids, tuple(models), live.route.slots.translate(moved))


def _succeeded(live: _Live, heir: int) -> _Live:
    """The candidate becomes the champion: its users stay, the champion's come to it."""
    ids, models = live.ids, list(live.models)
    ids[_CHAMPION], models[_CHAMPION] = ids[heir], models[heir]
    return _without(_with(live, ids, tuple(models), live.route.slots), heir)
