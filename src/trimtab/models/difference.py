"""What is different between two versions, in words, for people who decide on one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trimtab.types import FeatureSpec, Record, Version


class Difference(Record, frozen=True):
    """One fact that differs; an empty side does not have it."""

    what: str
    before: str
    after: str


def differences(before: Version, after: Version) -> tuple[Difference, ...]:
    """Every fact in which two versions differ: artifact, signature, metrics, lineage.

    Args:
        before: The version that is compared with.
        after: The version that is looked at.
    """
    told = [*_facts(before, after), *_signatures(before, after)]
    told += _mappings("held-out ", metrics_of(before), metrics_of(after))
    told += _mappings("", before.lineage, after.lineage)
    return tuple(told)


def _facts(before: Version, after: Version) -> Iterable[Difference]:
    sides = [
        {
            "digest": version.digest,
            "format": version.format,
            "size": f"{version.size_bytes:,} bytes",
            "author": version.author,
            "description": version.description,
            "views": ", ".join(version.views),
            "reference profile": version.profile_digest or "",
            "trusted by": version.trusted_by,
            "task": version.signature.task.value,
            "labels": ", ".join(version.signature.labels),
            "threshold": f"{version.signature.threshold:g}",
        }
        for version in (before, after)
    ]
    return _mappings("", *sides)


def _signatures(before: Version, after: Version) -> Iterable[Difference]:
    sides = [{s.name: _spec(s) for s in v.signature.features} for v in (before, after)]
    yield from _mappings("feature ", *sides)
    shared = set(sides[0]) & set(sides[1])
    orders = [[name for name in side if name in shared] for side in sides]
    if orders[0] != orders[1]:
        yield Difference(
            what="order of features", before=", ".join(orders[0]), after=", ".join(orders[1])
        )


def _spec(spec: FeatureSpec) -> str:
    unit = f", {spec.unit}" if spec.unit else ""
    return f"{spec.kind.value}{unit}{', may be missing' if spec.nullable else ''}"


def metrics_of(version: Version) -> dict[str, str]:
    """Held-out metrics in words, with their standard errors where there are any."""
    told = {}
    for name, value in version.metrics.items():
        if name.removesuffix("_se") in version.metrics and name.endswith("_se"):
            continue
        error = version.metrics.get(f"{name}_se")
        told[name] = f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
    return told


def _mappings(
    prefix: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterable[Difference]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            yield Difference(what=f"{prefix}{name}", before=old, after=new)
