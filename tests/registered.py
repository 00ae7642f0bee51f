"""Versions that are registered without a file: all that traffic, rollouts and watching need of them."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.protocols import StateTx
from trimtab.types import (
    Arm,
    FeatureKind,
    FeatureSpec,
    Route,
    Signature,
    Task,
    Version,
)


def version(
    model: str,
    number: int,
    *names: str,
    task: Task = Task.REGRESSION,
    labels: tuple[str, ...] = (),
    views: tuple[str, ...] = (),
) -> Version:
    """A version that takes numbers of these names."""
    features = tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in names)
    return Version(
        model=model,
        version=number,
        digest=f"sha256:{number}",
        format="skops",
        size_bytes=1,
        signature=Signature(features=features, task=task, labels=labels),
        created_at=0.0,
        views=views,
    )


def register(state: StateTx, versions: Iterable[Version]) -> None:
    for one in versions:
        state.registry.add_version(one)


def serve_all(state: StateTx, one: Version) -> None:
    """Register a version and send all traffic to it."""
    state.registry.add_version(one)
    arms = (Arm(name="champion", version=one.version, share=1.0),)
    state.control.put_route(
        Route(model=one.model, epoch=0, arms=arms, slots=bytes(10_000), salt="s")
    )
