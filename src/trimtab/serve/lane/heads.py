"""What stands before a body: which requests the lane takes, and what answers them.

A client sends nearly the same head again and again. What a head means depends on its bytes alone, so one
that was parsed before, from the beginning of a message to its end, is known by its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.serve.lane.gather import Plain
from trimtab.serve.lane.routes import Ask, Predictions, Refuse, asked, plain

MOST_HEADS = 1_024
LONGEST_HEAD = 2_048
"""Heads of more bytes are parsed each time."""

END = b"\r\n\r\n"
_NOT_PLAIN = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head that the lane takes: what answers or refuses its body, of how many bytes, and what then.

    ``plain`` is what answers its body together with others, where nothing about the head keeps it from that.
    """

    ask: Ask
    refuse: Refuse
    length: int
    keep_alive: bool
    plain: Plain | None = None


class Heads:
    """Tells what a head means, and remembers those that it was told of.

    Args:
        predictions: Answers requests; it may suspend.
        body_limit: Longer bodies are not taken, in bytes.
    """

    def __init__(self, predictions: Predictions, body_limit: int) -> None:
        self._predictions = predictions
        self._limit = body_limit
        self._known: dict[bytes, Head] = {}
        self.known = self._known.get

    def read(
        self, url: bytes, headers: Sequence[tuple[bytes, bytes]], *, keep_alive: bool
    ) -> Head | None:
        """The head of a POST by HTTP/1.1; None if it is not for the lane."""
        first = dict(
            reversed(headers)
        )  # of a name that stands twice the application takes the first
        length = first.get(b"content-length", b"")
        if not (_NOT_PLAIN.isdisjoint(first) and length.isdigit() and int(length) <= self._limit):
            return None
        found = asked(self._predictions, url, first)
        if found is None:
            return None
        return Head(*found, int(length), keep_alive, plain(self._predictions, url, first))

    def keep(self, sent: bytes, head: Head) -> None:
        """Know a head by its bytes from now on, if they are few, and clearly one head and nothing else.

        Args:
            sent: From the beginning of a message up to the first empty line.
            head: What it was found to mean.
        """
        lines = sent.count(b"\r\n")
        clear = lines == sent.count(b"\r") == sent.count(b"\n")
        if len(sent) > LONGEST_HEAD or not (
            clear and sent.startswith(b"POST ") and sent.endswith(END)
        ):
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[sent] = head
