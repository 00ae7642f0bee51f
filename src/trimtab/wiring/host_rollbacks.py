"""Rollbacks of this host alone: files beside the epoch, for when the state does not answer."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from trimtab.config import Config
from trimtab.errors import Conflict
from trimtab.log_events import Event
from trimtab.protocols import Clock, StateTx
from trimtab.rollout import audit
from trimtab.rollout.epoch import MmapEpoch
from trimtab.rollout.host_rollback import Override, Undo, undo_of
from trimtab.store.durable import commit, new_file

logger = logging.getLogger(__name__)

T = TypeVar("T")
_KNOWN = "known.json"


class Known(msgspec.Struct, frozen=True):
    """What rolling each model back does, as of an epoch."""

    epoch: int
    undos: tuple[Undo, ...]


@dataclass(frozen=True, slots=True)
class Overrides:
    """The pending overrides of a host, one durable file each, and what can be rolled back.

    Args:
        folder: Beside the epoch; made when it is needed.
        cell: The host's epoch: an override raises its generation, so that workers look here.
    """

    folder: Path
    cell: MmapEpoch

    def pending(self) -> Mapping[str, Override]:
        """The overrides that are in force, by model; a damaged one is logged and left out."""
        found = (self._read(path) for path in sorted(self.folder.glob("*.override")))
        return {each.undo.model: each for each in found if each is not None}

    def keep(self, state: StateTx) -> None:
        """Note what a rollback of each model would do, for when the state does not answer."""
        found = (undo_of(state, route.model) for route in state.control.routes())
        known = Known(state.control.epoch(), tuple(undo for undo in found if undo is not None))
        with self._locked():
            before = self._known()
            if before is None or before.epoch < known.epoch:
                self._write(self.folder / _KNOWN, known)

    def take_off(self, model: str, *, actor: str, reason: str, clock: Clock) -> Override:
        """Roll a model back on this host, durably and at once; repeated, it is the same override.

        Raises:
            Conflict: this host knows of nothing to go back to.
            InvalidInput: no actor or no reason.
            Unavailable: the disk refuses.
        """
        audit.require(actor, reason)
        with self._locked():
            known = self._known()
            undo = next((u for u in known.undos if u.model == model), None) if known else None
            if undo is None:
                raise Conflict(
                    f"This host knows of no version of {model!r} to go back to.",
                    code="nothing_to_roll_back_to",
                    hint="It learns that from the state database, which does not answer now.",
                )
            path = self._path(undo)
            override = self._read(path)
            if override is None:
                override = Override(undo=undo, actor=actor, reason=reason, at=clock.now())
                self._write(path, override)
        self.cell.override()
        logger.warning(
            Event.OVERRIDDEN, extra={"model": model, "rollout": undo.rollout, "off": undo.off}
        )
        return override

    def drop(self, override: Override) -> None:
        """Forget an override that the database has taken in; idempotent."""
        self._path(override.undo).unlink(missing_ok=True)

    def _path(self, undo: Undo) -> Path:
        return self.folder / f"{undo.rollout}.override"

    def _known(self) -> Known | None:
        return _decoded(self.folder / _KNOWN, msgspec.json.Decoder(Known).decode)

    def _read(self, path: Path) -> Override | None:
        return _decoded(path, msgspec.json.Decoder(Override).decode)

    def _write(self, path: Path, what: Known | Override) -> None:
        with new_file(self.folder) as (file, part):
            file.write(msgspec.json.encode(what))
            commit(file, part, path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def open_overrides(config: Config) -> Overrides:
    """The overrides of a state directory, which is all that they need."""
    folder = Path(config.state.dir).resolve()
    return Overrides(folder / "overrides", MmapEpoch(folder / "epoch"))


def _decoded(path: Path, decode: Callable[[bytes], T]) -> T | None:
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as wrong:
        logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
            Event.OVERRIDE_DAMAGED, extra={"path": str(path), "reason": str(wrong)}
        )
        return None
