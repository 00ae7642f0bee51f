"""The journal's writer, composed; a worker needs no more of the journal."""

from __future__ import annotations

from trimtab.config import ModelConfig
from trimtab.errors import InvalidConfig
from trimtab.protocols import JournalWriter, Turn
from trimtab.record.journal import Journal
from trimtab.record.withheld import Withholding
from trimtab.telemetry import Metrics
from trimtab.types import Signature
from trimtab.wiring.deployment import Deployment


def open_writer(
    deployment: Deployment, metrics: Metrics, turn: Turn | None = None
) -> JournalWriter:
    """The journal of this process, which gets nothing that the configuration withholds from it.

    With ``turn``, what is put in one turn of an event loop is written at its end.
    """
    config, folder = deployment.config, deployment.journal_dir
    journal = Journal(folder, config.journal, metrics, deployment.clock, turn)

    def naming(model: str, version: int) -> tuple[Signature | None, frozenset[str]]:
        names = deployment.withheld(model)
        return (deployment.version(model, version).signature if names else None), names

    withheld = config.journal.withhold or any(one.withhold for one in config.models.values())
    return Withholding(journal, naming) if withheld else journal


def check_withheld(deployment: Deployment, model: str) -> None:
    """Refuse to record a model while a misspelt name could let a value through.

    Raises:
        InvalidConfig: ``withhold`` names what no version of the model and no view takes.
    """
    names = set(deployment.config.models.get(model, ModelConfig()).withhold)
    if not names:
        return
    known = {name for one in signatures_of(deployment, model).values() for name in one.names}
    known |= {key for view in deployment.config.features.views.values() for key in view.keys}
    for name in sorted(names - known):
        raise InvalidConfig(
            f"{name!r} is to be withheld from the journal, but {model!r} takes no such feature.",
            path=f"models.{model}.withhold",
            hint=f"Its features and keys are {', '.join(sorted(known))}.",
            code="unknown_feature",
        )


def signatures_of(deployment: Deployment, model: str) -> dict[int, Signature]:
    """The signature of each registered version of a model; none if there is no such model."""
    with deployment.state.reading() as state:
        return {found.version: found.signature for found in state.registry.versions(model)}
