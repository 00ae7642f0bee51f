"""keys, sign."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from trimtab import plugins
from trimtab.cli.session import Session, command
from trimtab.errors import InvalidConfig
from trimtab.models.artifact import Formats
from trimtab.store.durable import commit, new_file


@command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default="me", show_default=True, help="What to call its owner.")
def keys(session: Session, path: Path, name: str) -> None:
    """Make a private signing key in the new file PATH, and show its public half."""
    key = signing("new_key")(path)

    def show(console: Console) -> None:
        console.print(f"Private key: {path} (keep it to yourself)")
        console.print("Whoever shall trust it writes into trimtab.toml:")
        console.print(f'\n\\[auth.signers]\n{name} = "{key.public}"')

    session.emit({"path": str(path), "public": key.public}, show)


@command()
@click.argument("artifact", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", "key_path", type=click.Path(path_type=Path), required=True)
@click.option("--format", "file_format", help="What it is opened as; found out if not given.")
def sign(session: Session, artifact: Path, key_path: Path, file_format: str | None) -> None:
    """Sign the model file ARTIFACT; the signature is written beside it, as ARTIFACT.sig."""
    kind = file_format or Formats.installed().sniff(artifact)
    made = signing("read_key")(key_path).sign_file(artifact, kind)
    target = artifact.with_name(f"{artifact.name}.sig")
    with new_file(target.parent) as (file, part):
        file.write(msgspec.json.encode(made))
        commit(file, part, target)

    def show(console: Console) -> None:
        console.print(f"{target}: {made.format} {made.digest}")
        console.print(f"  signed by {made.signer}")

    session.emit({"path": str(target), "signature": made}, show)


def signing(name: str):  # type: ignore[no-untyped-def]  # what the module has under that name
    """A function of the signing module, which needs the extra ``signing``.

    Raises:
        InvalidConfig: the extra is not installed.
    """
    try:
        return plugins.by_path(f"trimtab.models.signing:{name}")
    except InvalidConfig as missing:
        raise InvalidConfig(
            "Signing needs the package 'cryptography'.",
            code="signing_not_installed",
            hint="Install it: pip install 'trimtab[signing]'.",
        ) from missing
