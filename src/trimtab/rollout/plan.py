"""Whether a rollout plan can be run, with the arithmetic where it cannot."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trimtab import plugins
from trimtab.errors import InvalidPlan
from trimtab.rollout.arms import step_slots
from trimtab.rollout.readings import OUTCOME_EVENTS
from trimtab.rollout.slots import whole_slots
from trimtab.rollout.split import SLOTS
from trimtab.rollout.strategies.ab import Ab
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.champion_only import ChampionOnly
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.types import (
    GuardrailAction,
    GuardrailSpec,
    RampHours,
    RolloutPlan,
    Signature,
    Task,
    UnitEvent,
)

STEP_TOO_SHORT = "step_shorter_than_delay"
SIGNATURE_DIFFERS = "signature_differs"
VIEWS_DIFFER = "views_differ"
APPROVING_ROLES = ("operator", "admin")
SHADOWED = frozenset({UnitEvent.ERROR, UnitEvent.SLOW, UnitEvent.PREDICTION_DRIFT})
FORCEABLE = frozenset({STEP_TOO_SHORT, SIGNATURE_DIFFERS, VIEWS_DIFFER})


def check_plan(
    plan: RolloutPlan, force: Collection[str] = (), *, candidates: int | None = None
) -> None:
    """Refuse a plan that cannot be run as stated.

    Args:
        plan: Steps, guardrails, alpha and margins.
        force: Codes of checks to leave out, of ``FORCEABLE``.
        candidates: How many versions it is to bring in; None if that is not known yet.

    Raises:
        InvalidPlan: naming the value and its path.
    """
    for name in force:
        if name not in FORCEABLE:
            raise InvalidPlan(
                f"{name!r} cannot be forced.",
                code="unknown_force",
                hint=f"What can be: {', '.join(sorted(FORCEABLE))}.",
            )
    _within(plan.alpha, "alpha", 0 < plan.alpha < 1, "in (0, 1)")
    margin = plan.certificate_margin
    _within(margin, "certificate_margin", 0 < margin < 1, "in (0, 1)")
    delay = plan.outcome_delay_seconds
    _within(delay, "outcome_delay_seconds", delay >= 0, "0 or more")
    _check_strategy(plan)
    _check_candidates(plan, candidates)
    _check_steps(plan)
    if STEP_TOO_SHORT not in force:
        _check_delay(plan)
    _check_guardrails(plan.guardrails)
    _check_hours(plan.hours)
    _check_time_limit(plan)


def check_signatures(control: Signature, candidate: Signature, plan: RolloutPlan) -> None:
    """Refuse a candidate that cannot answer what control is asked.

    Raises:
        InvalidPlan: another task, other labels, a feature that control does not have, or a guardrail
            that needs decisions where there are none.
    """
    if (control.task, control.labels) != (candidate.task, candidate.labels):
        raise _differs(
            f"control answers {control.task.value} {list(control.labels)}, "
            f"the candidate {candidate.task.value} {list(candidate.labels)}"
        )
    kinds = {feature.name: feature.kind for feature in control.features}
    for feature in candidate.features:
        if kinds.get(feature.name) is not feature.kind:
            has = kinds[feature.name].value if feature.name in kinds else "no such feature"
            raise _differs(
                f"the candidate takes {feature.name!r} as {feature.kind.value}, control has {has}"
            )
    decisive = OUTCOME_EVENTS - {UnitEvent.POSITIVE_OUTCOME, UnitEvent.OUTCOME_VALUE}
    for i, guardrail in enumerate(plan.guardrails):
        if guardrail.event in decisive and candidate.task is not Task.BINARY:
            raise InvalidPlan(
                f"The guardrail {guardrail.name!r} counts {guardrail.event.value}, "
                f"and a {candidate.task.value} model makes no yes-or-no decision.",
                code="no_decision",
                path=f"guardrails[{i}].event",
                hint="Guard positive_outcome, outcome_value, error or slow.",
            )


def check_views(control: Collection[str], candidate: Collection[str]) -> None:
    """Refuse a candidate that reads other feature views: a request's features are looked up once, for the champion.

    Raises:
        InvalidPlan: the views differ.
    """
    if set(control) == set(candidate):
        return
    theirs, own = (", ".join(sorted(views)) or "none" for views in (control, candidate))
    raise InvalidPlan(
        f"Control reads the feature views {theirs}, the candidate {own}; it would be judged on control's.",
        code=VIEWS_DIFFER,
        path="candidate",
        hint="Register it with control's views, deploy it as a model of its own, or force"
        f" {VIEWS_DIFFER}: its own are read once it is promoted.",
    )


def _check_strategy(plan: RolloutPlan) -> None:
    known = sorted(set(plugins.names("trimtab.strategies")) - {ChampionOnly.name})
    if plan.strategy not in known:
        raise InvalidPlan(
            f"There is no strategy {plan.strategy!r} for a rollout.",
            code="unknown_strategy",
            path="strategy",
            hint=f"Known: {', '.join(known)}.",
        )
    if plan.strategy == Bandit.name:
        _check_bandit(plan)
    if plan.strategy != Shadow.name:
        return
    for i, guardrail in enumerate(plan.guardrails):
        if guardrail.event not in SHADOWED:
            raise InvalidPlan(
                f"The guardrail {guardrail.name!r} counts {guardrail.event.value}, and nobody gets "
                "the answers of a shadow.",
                code="shadow_guardrail",
                path=f"guardrails[{i}].event",
                hint="Guard error, slow or prediction_drift; outcomes are a canary's.",
            )


def _check_bandit(plan: RolloutPlan) -> None:
    if len(plan.steps) > 1:
        raise InvalidPlan(
            f"A bandit moves its shares by itself, and the plan has {len(plan.steps)} steps.",
            code="bandit_steps",
            path="steps",
            hint="State one: where it begins, and in bake_seconds how often it may move.",
        )
    whole_slots(plan.explore, "explore")
    _within(plan.explore, "explore", 0 < plan.explore <= 0.1, "in (0, 0.1]")


def _check_candidates(plan: RolloutPlan, candidates: int | None) -> None:
    if candidates is not None and candidates > 1 and plan.strategy not in (Ab.name, Bandit.name):
        raise InvalidPlan(
            f"The strategy {plan.strategy!r} takes one candidate, not {candidates}.",
            code="one_candidate",
            path="strategy",
            hint=f"Say strategy = {Ab.name!r} to compare several.",
        )
    before: tuple[int, ...] = ()
    for i, step in enumerate(plan.steps):
        if step.shares and candidates not in (None, len(step.shares)):
            raise InvalidPlan(
                f"Step {i + 1} states {len(step.shares)} shares for {candidates} candidates.",
                code="shares_and_candidates",
                path=f"steps[{i}].shares",
                hint="State a share for each candidate, in their order, control left out.",
            )
        if candidates in (None, 1) and not step.shares:
            continue
        given = step_slots(step, candidates or len(step.shares))
        _check_growth(i, before, given)
        before = given


def _check_growth(step: int, before: tuple[int, ...], given: tuple[int, ...]) -> None:
    if sum(given) > SLOTS:
        raise InvalidPlan(
            f"The shares of step {step + 1} add up to {sum(given) / SLOTS:.2%}.",
            code="shares_over_one",
            path=f"steps[{step}].shares",
            hint="Shares are of all traffic; control gets the rest and is not listed.",
        )
    for arm, (had, has) in enumerate(zip(before, given, strict=False)):
        if has < had:
            raise InvalidPlan(
                f"Step {step + 1} shrinks candidate {arm + 1} from {had / SLOTS:.2%} to "
                f"{has / SLOTS:.2%}: users would flip between versions.",
                code="arm_shrinks",
                path=f"steps[{step}].shares[{arm}]",
                hint="A candidate only grows, out of control.",
            )


def _check_steps(plan: RolloutPlan) -> None:
    if not plan.steps:
        raise InvalidPlan("The plan has no steps.", path="steps", hint="Give at least one share.")
    before = 0
    for i, step in enumerate(plan.steps):
        slots = whole_slots(step.share, f"steps[{i}].share")
        if slots <= before:
            raise InvalidPlan(
                f"Step {i + 1} gives the candidate {step.share:.2%}, not more than the step before "
                f"({before / 10_000:.2%}).",
                code="steps_not_growing",
                path=f"steps[{i}].share",
                hint="Each step's share must be larger, starting above 0.",
            )
        before = slots
        _check_approval(step.approval, i)
        bake = step.bake_seconds
        _within(bake, f"steps[{i}].bake_seconds", bake >= 0, "0 or more")


def _check_approval(role: str, step: int) -> None:
    if role and role not in APPROVING_ROLES:
        raise InvalidPlan(
            f"The role {role!r} cannot approve a step.",
            code="unknown_role",
            path=f"steps[{step}].approval",
            hint=f"Name one of: {', '.join(APPROVING_ROLES)}.",
        )
    if role and step == 0:
        raise InvalidPlan(
            "The first step begins with the rollout, so nobody could approve it.",
            code="first_step_approval",
            path="steps[0].approval",
            hint="Starting the rollout is its approval.",
        )


def _check_hours(hours: RampHours | None) -> None:
    if hours is None:
        return
    for name, hour in (("begin", hours.begin), ("end", hours.end)):
        _within(hour, f"hours.{name}", 0 <= hour <= 24, "an hour in [0, 24]")
    _within(hours.end, "hours.end", hours.end != hours.begin, "another hour than hours.begin")
    known = bool(hours.days) and all(1 <= day <= 7 for day in hours.days)
    if not known:
        raise InvalidPlan(
            f"hours.days is {list(hours.days)}; it must have ISO weekdays, 1 to 7.",
            code="out_of_bounds",
            path="hours.days",
            hint="1 is Monday, 7 is Sunday; leave it out for every day.",
        )
    try:
        ZoneInfo(hours.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as wrong:
        raise InvalidPlan(
            f"There is no time zone {hours.time_zone!r}.",
            code="unknown_time_zone",
            path="hours.time_zone",
            hint="Write an IANA name such as 'Europe/Amsterdam', or 'UTC'.",
        ) from wrong


def _check_time_limit(plan: RolloutPlan) -> None:
    limit = plan.time_limit_seconds
    if limit is None:
        return
    bakes = sum(step.bake_seconds for step in plan.steps)
    _within(
        limit, "time_limit_seconds", limit > bakes, f"above the {bakes:g} s that the steps bake"
    )
    if plan.on_time_limit is GuardrailAction.ALERT:
        raise InvalidPlan(
            "A rollout at its time limit is held or rolled back, not only told of.",
            code="out_of_bounds",
            path="on_time_limit",
            hint="Say 'hold' or 'roll_back'.",
        )


def _check_delay(plan: RolloutPlan) -> None:
    for i, step in enumerate(plan.steps):
        if step.bake_seconds < plan.outcome_delay_seconds:
            raise InvalidPlan(
                f"Step {i + 1} bakes {step.bake_seconds:g} s, and outcomes take "
                f"{plan.outcome_delay_seconds:g} s: it would end "
                f"{plan.outcome_delay_seconds - step.bake_seconds:g} s before its first users could "
                "show any harm.",
                code=STEP_TOO_SHORT,
                path=f"steps[{i}].bake_seconds",
                hint=f"Bake {plan.outcome_delay_seconds:g} s or longer, or force {STEP_TOO_SHORT}.",
            )


def _check_guardrails(guardrails: Collection[GuardrailSpec]) -> None:
    if not guardrails:
        raise InvalidPlan(
            "The plan has no guardrails, so nothing would stop a bad version.",
            code="no_guardrails",
            path="guardrails",
            hint="Guard at least 'error'.",
        )
    names: set[str] = set()
    for i, guardrail in enumerate(guardrails):
        if not guardrail.name or guardrail.name in names:
            raise InvalidPlan(
                f"The guardrail name {guardrail.name!r} is empty or used twice.",
                code="guardrail_name",
                path=f"guardrails[{i}].name",
                hint="Name each guardrail once.",
            )
        names.add(guardrail.name)
        _check_numbers(guardrail, f"guardrails[{i}]")


def _check_numbers(guardrail: GuardrailSpec, path: str) -> None:
    _within(guardrail.margin, f"{path}.margin", 0 <= guardrail.margin < 1, "in [0, 1)")
    _within(guardrail.weight, f"{path}.weight", guardrail.weight > 0, "above 0")
    _within(guardrail.min_events, f"{path}.min_events", guardrail.min_events >= 0, "0 or more")
    cost = guardrail.cost_per_event
    if cost is not None:
        _within(cost, f"{path}.cost_per_event", cost >= 0, "0 or more")
    if guardrail.event is UnitEvent.OUTCOME_VALUE:
        high = guardrail.high
        _within(guardrail.low, f"{path}.low", isfinite(guardrail.low), "a number")
        fits = high is not None and high > guardrail.low
        _within(high, f"{path}.high", fits, f"above low, {guardrail.low:g}, for 'outcome_value'")
    if guardrail.event is UnitEvent.PREDICTION_DRIFT:
        above = guardrail.score_above
        fits = above is not None and isfinite(above)
        _within(above, f"{path}.score_above", fits, "a score, fixed now, for 'prediction_drift'")
    if guardrail.event is UnitEvent.SLOW:
        slow = guardrail.slow_ms
        _within(slow, f"{path}.slow_ms", slow is not None and slow > 0, "above 0 for 'slow'")


def _within(value: float | None, path: str, fits: bool, bounds: str) -> None:
    if not fits or value is None or not isfinite(value):
        raise InvalidPlan(
            f"{path} is {value!r}; it must be {bounds}.", code="out_of_bounds", path=path
        )


def _differs(how: str) -> InvalidPlan:
    return InvalidPlan(
        f"The signatures do not match: {how}.",
        code=SIGNATURE_DIFFERS,
        path="candidate",
        hint=f"Deploy it as a model of its own, or force {SIGNATURE_DIFFERS}.",
    )
