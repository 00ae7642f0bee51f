"""Prediction ids that are recognised without a look-up."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import weakref

import xxhash

from trimtab.protocols import Clock

_SHAPE = re.compile(r"[0-9a-f]{32}")


class IdIssuer:
    """Issues prediction ids, unique over processes, and tells which ids it or its kin issued.

    An id is 32 hex digits: 48 bits of Unix milliseconds, 24 bits that are random per process, a
    counter of 24 bits, and as a tag the low 32 bits of ``xxh3_64`` of all that, keyed by ``seed``.
    The tag finds typing errors and ids of another deployment; it is no defence against forgery, as
    the hash is not cryptographic.

    Args:
        seed: The deployment's secret, 64 bits; the same in all its processes.
        clock: Puts the time into ids.
    """

    def __init__(self, seed: int, clock: Clock) -> None:
        self._seed = seed & 0xFFFF_FFFF_FFFF_FFFF
        self._clock = clock
        self._renew()
        renewed = weakref.WeakMethod(self._renew)

        def forked() -> None:
            if (renew := renewed()) is not None:
                renew()

        # Asked for each id, the process's number would be a call to the kernel, dearer than the id.
        os.register_at_fork(after_in_child=forked)

    def new(self) -> str:
        """A new id; thread-safe, and safe over a fork."""
        ms = int(self._clock.now() * 1000) & 0xFFFF_FFFF_FFFF
        number = next(self._counter) & 0xFF_FFFF
        body = (ms << 48 | self._nonce << 24 | number).to_bytes(12, "big")
        return body.hex() + xxhash.xxh3_64_hexdigest(body, self._seed)[8:]

    def issued(self, prediction_id: str) -> bool:
        """Whether an issuer with this seed made the id; wrong once in 2^32 for a random text."""
        if not _SHAPE.fullmatch(prediction_id):
            return False
        return self._tag(bytes.fromhex(prediction_id[:24])) == int(prediction_id[24:], 16)

    def _renew(self) -> None:
        self._nonce = secrets.randbits(24)
        self._counter = itertools.count(secrets.randbits(24))

    def _tag(self, body: bytes) -> int:
        return xxhash.xxh3_64_intdigest(body, self._seed) & 0xFFFF_FFFF
