"""What machines share that watch the same models: merged windows, and the judges' memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.config import WatchConfig
from trimtab.errors import InvalidConfig
from trimtab.protocols import Actor, Judge, StateTx
from trimtab.types import Alert, Verdict, Window
from trimtab.watch import load_or_begin_anew


@dataclass(frozen=True, slots=True)
class SharedJudges:
    """Judges whose memory is that of the machine that judged last, by the key of their subject."""

    judges: dict[str, Judge]

    def restore(self, state: StateTx) -> None:
        """Take up where the machine that judged last left off."""
        for key, judge in self.judges.items():
            blob = state.watch.blob(f"{key}!")
            if blob is not None:
                load_or_begin_anew(judge, blob, f"{key}!", "judgement")


@dataclass(frozen=True, slots=True)
class SharedActor:
    """Acts, and saves what the judge remembers for whichever machine judges next."""

    actor: Actor
    judge: Judge
    key: str

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """What the actor does."""
        state.watch.save_blob(f"{self.key}!", self.judge.dump())
        return self.actor.act(window, verdict, state)


def check_shared(config: WatchConfig) -> None:
    """Whether windows of several machines can be merged.

    Raises:
        InvalidConfig: they are cut by rows, which every machine would do elsewhere.
    """
    if config.replica and config.window_by != "time":
        raise InvalidConfig(
            f"Windows by {config.window_by} of several machines cannot be merged: each machine has "
            "its own rows.",
            path="watch.window_by",
            hint='Set window_by = "time", or leave replica out.',
        )


def own_key(config: WatchConfig, key: str) -> str:
    """The key of this machine's own state of a subject."""
    return f"{key}@{config.replica}" if config.replica else key
