"""init, config, doctor."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from trimtab import __version__, plugins
from trimtab.cli import words
from trimtab.cli.session import FAILED_STATUS, Session, command
from trimtab.config import FILE_NAME, Config, secret
from trimtab.errors import Conflict, TrimtabError
from trimtab.rollout.plan import check_plan
from trimtab.wiring.deployment import Deployment

STARTER = """\
# Trimtab configuration. `trimtab config schema` explains every setting.

[state]
dir = ".trimtab"            # or url = "postgresql://…" for shared state

[serve]
port = 8400
workers = 2

[watch]
window_seconds = 86_400     # windows of event time
outcome_delay_seconds = 172_800

# How new versions of the model "fraud" reach everybody:
# [models.fraud.rollout]
# steps = [{ share = 0.05, bake_seconds = 259_200 }, { share = 0.5, bake_seconds = 604_800 }]
# alpha = 0.05
# outcome_delay_seconds = 172_800
# guardrails = [{ name = "wrong decisions", event = "wrong_decision", margin = 0.1 }]

# [alerts.channels.team]
# kind = "webhook"
# url = "https://example.org/hook"
"""

LIBRARIES = (
    "numpy",
    "scipy",
    "pyarrow",
    "scikit-learn",
    "xgboost",
    "lightgbm",
    "catboost",
    "onnxruntime",
)


@command()
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(session: Session, force: bool) -> None:
    """Write a trimtab.toml to start from into this directory."""
    path = Path(FILE_NAME)
    if path.exists() and not force:
        raise Conflict(f"{path} exists already.", hint="--force overwrites it.")
    path.write_text(STARTER, encoding="utf-8")
    session.emit(
        {"written": str(path)},
        lambda console: console.print(
            f"wrote {path}\nnext: trimtab register NAME FILE --reference DATA, then deploy and serve"
        ),
    )


@click.group()
def config() -> None:
    """Show, check or explain the configuration."""


@command("show")
def show(session: Session) -> None:
    """Print the configuration in force; secrets stay references."""
    found = session.config()
    session.emit(
        found,
        lambda console: console.print_json(msgspec.json.encode(found).decode()),
    )


@command("check")
def check(session: Session) -> None:
    """Check the configuration and what it names: plugins, trainers, secrets, rollout plans."""
    found = session.config()
    for group, kinds in (
        ("trimtab.stores", [store.kind for store in found.features.stores.values()]),
        ("trimtab.channels", [channel.kind for channel in found.alerts.channels.values()]),
        ("trimtab.statistics", found.watch.statistics),
    ):
        for kind in kinds:
            plugins.load(group, kind)
    for model in found.models.values():
        if model.trainer:
            plugins.by_path(model.trainer)
        if model.rollout is not None:
            check_plan(model.rollout)
    for token in found.auth.tokens:
        secret(token.secret)
    session.emit({"ok": True}, lambda console: console.print("The configuration is right."))


@command("schema")
def schema_(session: Session) -> None:
    """Print every setting with its type, bounds and meaning, as JSON Schema."""
    schema = msgspec.json.schema(Config)
    session.emit(schema, lambda console: console.print_json(json.dumps(schema)))


for subcommand in (show, check, schema_):
    config.add_command(subcommand)


@command()
def doctor(session: Session) -> int:
    """Check that this installation, configuration and state work."""
    findings: list[tuple[str, bool, str]] = [
        ("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        ("trimtab", True, __version__),
    ]
    findings += [("library", True, f"{name} {_version(name)}") for name in LIBRARIES]
    for group in plugins.GROUPS:
        names = plugins.names(group)
        findings.append(("plugins", bool(names), f"{group}: {', '.join(names) or 'none'}"))
    findings += _state_findings(session)

    def print_findings(console: Console) -> None:
        table = Table.grid(padding=(0, 2))
        for what, fine, detail in findings:
            table.add_row("[green]ok[/green]" if fine else "[red]bad[/red]", what, detail)
        console.print(table)

    session.emit([{"check": w, "ok": ok, "detail": d} for w, ok, d in findings], print_findings)
    return 0 if all(fine for _, fine, _ in findings) else FAILED_STATUS


def _state_findings(session: Session) -> list[tuple[str, bool, str]]:
    try:
        found = session.config()
        deployment = Deployment.open(found)
    except TrimtabError as error:
        return [("state", False, str(error))]
    try:
        with deployment.state.reading() as state:
            models, epoch = state.registry.models(), state.control.epoch()
        free = shutil.disk_usage(deployment.dir).free
        return [
            ("state", True, f"{deployment.dir}: {len(models)} models, epoch {epoch}"),
            ("disk", free > 2**30, f"{words.size(free)} free"),
        ]
    finally:
        deployment.close()


def _version(name: str) -> str:
    for package in (name, f"{name}-cpu"):  # as XGBoost is also called
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "not installed"
