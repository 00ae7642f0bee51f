"""A rollout plan on the command line: a file, flags, or flags on top of the configured plan."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click
import msgspec

from trimtab.errors import InvalidPlan
from trimtab.types import RolloutPlan

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

_FLAGS = (
    click.option(
        "--plan",
        "plan_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A TOML file with the plan, in place of the configured one.",
    ),
    click.option(
        "--step",
        "steps",
        multiple=True,
        metavar="SHARE:BAKE[:ROLE]",
        help="A step, for example 10%:1h or 50%:1d:operator, with a share for each of several "
        "candidates 10%+20%:1h. Repeat; all steps are replaced.",
    ),
    click.option(
        "--strategy", metavar="NAME", help="How candidates meet traffic, for example canary."
    ),
    click.option(
        "--guardrail",
        "guardrails",
        multiple=True,
        metavar="EVENT[,KEY=VALUE…]",
        help="A guardrail, for example error or positive_outcome,harm=fewer,margin=0.05. Repeat; "
        "all are replaced.",
    ),
    click.option("--alpha", type=float, help="Chance of rolling back a version that is not worse."),
    click.option("--outcome-delay", metavar="SPAN", help="How long outcomes take, for example 2d."),
    click.option(
        "--promote",
        type=click.Choice(["certified", "no_harm", "manual"]),
        help="What may promote without a person.",
    ),
    click.option("--certificate-margin", type=float, help="Harm that promotion must rule out."),
    click.option("--time-limit", metavar="SPAN", help="How long the rollout may take in all."),
    click.option(
        "--on-time-limit", type=click.Choice(["hold", "roll_back"]), help="What happens then."
    ),
    click.option(
        "--hours",
        metavar="BEGIN-END[@ZONE]",
        help="When the candidate may get more, for example 9-17@Europe/Amsterdam.",
    ),
)


def plan_flags(run: Callable[..., object]) -> Callable[..., object]:
    """The options that make a plan."""
    return reduce(lambda made, flag: flag(made), reversed(_FLAGS), run)


def read_plan(configured: RolloutPlan | None, flags: Mapping[str, Any]) -> RolloutPlan | None:
    """The plan that the flags make on top of a file or the configuration.

    Args:
        configured: The plan that the configuration has for the model.
        flags: The values of :func:`plan_flags`.

    Returns:
        None if no flag was given.

    Raises:
        InvalidPlan: a flag is malformed, or steps or guardrails are missing.
    """
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if not given:
        return None
    file: Path | None = given.pop("plan_file", None)
    tree = _read(file) if file else {} if configured is None else msgspec.to_builtins(configured)
    for name, value in given.items():
        tree.update(_PARTS[name](value))
    for name in ("steps", "guardrails"):
        if not tree.get(name):
            raise InvalidPlan(
                f"The plan has no {name}.",
                path=name,
                hint=f"Give --{name[:-1]}, or configure [models.MODEL.rollout].",
            )
    return _checked(tree)


def seconds(text: str, path: str) -> float:
    """A length of time in seconds.

    Raises:
        InvalidPlan: it is none.

    >>> seconds("90", "bake"), seconds("1.5h", "bake")
    (90.0, 5400.0)
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise _malformed(
            text, path, "Write seconds, or a number with s, m, h or d: 90, 15m, 1.5h, 2d."
        )
    return float(match[1]) * _SECONDS[match[2] or "s"]


def _share(text: str, path: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number)
    except ValueError:
        raise _malformed(text, path, "Write 10% or 0.1.") from None
    return round(share / 100, 6) if text.strip().endswith("%") else share


def _steps(texts: Sequence[str]) -> dict[str, Any]:
    steps = []
    for i, text in enumerate(texts):
        path = f"steps[{i}]"
        share, *rest = text.split(":")
        if len(rest) not in (1, 2):
            raise _malformed(text, path, "Write SHARE:BAKE or SHARE:BAKE:ROLE, for example 10%:1h.")
        step: dict[str, Any] = {"bake_seconds": seconds(rest[0], path)}
        each = [_share(part, path) for part in share.split("+")]
        step |= {"shares": each} if len(each) > 1 else {"share": each[0]}
        steps.append(step | ({"approval": rest[1]} if len(rest) == 2 else {}))
    return {"steps": steps}


def _guardrails(texts: Sequence[str]) -> dict[str, Any]:
    guardrails = []
    for i, text in enumerate(texts):
        event, *rest = (part.strip() for part in text.split(","))
        made: dict[str, Any] = {"name": event, "event": event}
        for part in rest:
            key, equals, value = part.partition("=")
            if not equals:
                raise _malformed(
                    text, f"guardrails[{i}]", "Write EVENT,KEY=VALUE, for example error,margin=0.1."
                )
            made[key] = _value(value)
        guardrails.append(made)
    return {"guardrails": guardrails}


def _hours(text: str) -> dict[str, Any]:
    span, _, zone = text.partition("@")
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", span.strip())
    if match is None:
        raise _malformed(text, "hours", "Write BEGIN-END, for example 9-17 or 22-6@Europe/Paris.")
    hours = {"begin": int(match[1]), "end": int(match[2])}
    return {"hours": hours | ({"time_zone": zone} if zone else {})}


_PARTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "steps": _steps,
    "guardrails": _guardrails,
    "strategy": lambda value: {"strategy": value},
    "alpha": lambda value: {"alpha": value},
    "outcome_delay": lambda t: {"outcome_delay_seconds": seconds(t, "outcome_delay_seconds")},
    "promote": lambda value: {"promote": value},
    "certificate_margin": lambda value: {"certificate_margin": value},
    "time_limit": lambda text: {"time_limit_seconds": seconds(text, "time_limit_seconds")},
    "on_time_limit": lambda value: {"on_time_limit": value},
    "hours": _hours,
}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise InvalidPlan(f"There is no plan {str(path)!r}.", path=str(path)) from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise InvalidPlan(f"{path} is not valid TOML: {wrong}.", path=str(path)) from wrong


def _checked(tree: dict[str, Any]) -> RolloutPlan:
    try:
        return msgspec.convert(tree, RolloutPlan)
    except msgspec.ValidationError as wrong:
        message, _, where = str(wrong).partition(" - at `$")
        raise InvalidPlan(
            f"{message}.",
            path=where.strip("`.") or None,
            hint="`trimtab config schema` lists every part of a plan.",
        ) from wrong


def _malformed(text: str, path: str, hint: str) -> InvalidPlan:
    return InvalidPlan(f"{text!r} cannot be read.", code="malformed_plan", path=path, hint=hint)
