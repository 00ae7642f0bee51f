"""What every command has: configuration, state, output for people or programs, and clear errors."""

from __future__ import annotations

import functools
import getpass
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click
import msgspec
from rich.console import Console

from trimtab import config as settings
from trimtab import plugins
from trimtab.config import Config
from trimtab.errors import InvalidInput, TrimtabError

if TYPE_CHECKING:
    from trimtab.wiring.deployment import Deployment

P = ParamSpec("P")
INPUT_STATUS = 2
FAILED_STATUS = 1
PLAIN_WIDTH = 200  # in a file or pipe nothing is cut, so that digests can be searched for


class Session:
    """One command's surroundings.

    Args:
        config_path: ``--config``; None looks for ``trimtab.toml`` here.
        state_dir: ``--state``; None leaves it to the configuration.
        as_json: Whether output is one JSON document.
    """

    def __init__(self, config_path: Path | None, state_dir: Path | None, as_json: bool) -> None:
        self._config_path = config_path
        self._state_dir = state_dir
        self.as_json = as_json
        people = sys.stdout.isatty()
        width = None if people else PLAIN_WIDTH
        self.console = Console(stderr=as_json, highlight=False, soft_wrap=not people, width=width)

    def config(self, overrides: dict[str, Any] | None = None) -> Config:
        """The configuration, with what stands on the command line on top."""
        on_top = dict(overrides or {})
        if self._state_dir is not None:
            on_top["state.dir"] = str(self._state_dir)
        return settings.load(self._config_path, overrides=on_top)

    @contextmanager
    def deployment(self, overrides: dict[str, Any] | None = None) -> Iterator[Deployment]:
        """The state, opened for the length of the command."""
        # Loaded when a command wants it: a comparison of two files does without databases.
        opened = plugins.by_path("trimtab.wiring.deployment:Deployment.open")
        deployment: Deployment = opened(self.config(overrides))
        try:
            yield deployment
        finally:
            deployment.close()

    def emit(self, data: object, show: Callable[[Console], None]) -> None:
        """Give ``data`` as JSON to programs, or call ``show`` for people."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
        else:
            show(self.console)

    def note(self, words: str) -> None:
        """Tell people something beside the answer; nothing if there are no words."""
        if words:
            click.echo(f"note: {words}", err=True)

    @property
    def actor(self) -> str:
        """Who runs the command, for the audit log."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "unknown"


def command(
    name: str | None = None,
) -> Callable[[Callable[Concatenate[Session, P], object]], click.Command]:
    """A command with ``--config``, ``--state`` and ``--json`` whose first argument is the session."""

    def decorate(run: Callable[Concatenate[Session, P], object]) -> click.Command:
        @functools.wraps(run)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
            session = Session(
                kwargs.pop("config_path"),  # type: ignore[arg-type]  # click passes a Path
                kwargs.pop("state_dir"),  # type: ignore[arg-type]  # click passes a Path
                bool(kwargs.pop("as_json")),
            )
            _guard(session, lambda: run(session, *args, **kwargs))

        path = click.Path(path_type=Path, dir_okay=False)
        folder = click.Path(path_type=Path, file_okay=False)
        made = click.command(name)(wrapped)
        made.params += [
            click.Option(["--config", "config_path"], type=path, help="Configuration file."),
            click.Option(["--state", "state_dir"], type=folder, help="State directory."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."),
        ]
        return made

    return decorate


def _guard(session: Session, run: Callable[[], object]) -> None:
    """Run; errors become one clear message and an exit status (2 for bad input, 1 otherwise)."""
    try:
        status = run()
    except TrimtabError as error:
        _complain(session, error.code, error.message, error.hint, error.path)
        sys.exit(INPUT_STATUS if isinstance(error, InvalidInput) else FAILED_STATUS)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - the command line's edge: no trace without a word
        _unforeseen(session, error)
        sys.exit(FAILED_STATUS)
    if isinstance(status, int) and status:
        sys.exit(status)


def _unforeseen(session: Session, error: Exception) -> None:
    """Say what is wrong with a file, or show where the defect is."""
    if isinstance(error, OSError) and error.filename is not None:
        hint = "Is the path right, may this account use it, and is there room?"
        told = f"{error.filename} cannot be used: {error.strerror}."
        _complain(session, "file_unusable", told, hint, None)
        return
    traceback.print_exception(error)
    hint = "This is a defect in Trimtab or a plugin; the lines above show where."
    _complain(session, "unexpected", f"{type(error).__name__}: {error}", hint, None)


def _complain(session: Session, code: str, message: str, hint: str, path: str | None) -> None:
    if session.as_json:
        body = {"error": {"code": code, "message": message, "hint": hint, "path": path}}
        click.echo(msgspec.json.format(msgspec.json.encode(body), indent=2).decode())
        return
    where = f"  at {path}\n" if path else ""
    then = f"  {hint}\n" if hint else ""
    click.echo(f"error: {message}\n{where}{then}", err=True, nl=False)
