"""Who vouches for an artifact, and whether that is enough to open it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.errors import Refused
from trimtab.protocols import ModelFormat
from trimtab.types import Seal, Version

Verify = Callable[[str, bytes, bytes], bool]
"""Whether a public key's signature of a message holds: key, signature, message."""


class Sealer(Protocol):
    """Signs artifacts, or has a signature of one."""

    def seal(self, digest: str, file_format: str) -> Seal | None:
        """The signature of an artifact; None if there is none of these bytes."""
        ...


def message(digest: str, file_format: str) -> bytes:
    """What is signed: the bytes by their digest, and as what they are to be opened."""
    return f"trimtab artifact 1\n{file_format}\n{digest}\n".encode()


@dataclass(frozen=True, slots=True)
class Trust:
    """What may be opened.

    Args:
        allow_code: ``model`` or ``model:version`` that the operator allows by name.
        signers: Trusted public keys by name.
        require: Whether only what a trusted signer signed is opened.
        verify: Checks signatures; None where no signer is trusted.
    """

    allow_code: frozenset[str] = frozenset()
    signers: Mapping[str, str] = field(default_factory=dict)
    require: bool = False
    verify: Verify | None = None

    def check(self, version: Version, kind: ModelFormat, digest: str, signature: str) -> None:
        """Refuse to open one form of a version that is not vouched for well enough.

        Args:
            version: The version.
            kind: The format of this form.
            digest: Of this form's bytes, which whoever opens them compares.
            signature: That its seal has of this form; may be empty.

        Raises:
            Refused: its signature does not hold, it is not signed although that is required, or it can
                run code and nobody who counts vouches for it.
        """
        name = f"{version.model}:{version.version}"
        signer = "" if version.seal is None else version.seal.signer
        sealed = self.sealed(name, Seal(signer=signer, signature=signature), digest, kind.name)
        by_name = not self.allow_code.isdisjoint((version.model, name))
        if sealed or by_name:
            return
        if self.require:
            raise unsigned(name, signer)
        if kind.runs_code and not version.trusted_by:
            raise untrusted(
                name,
                kind.name,
                f"Register it with trust, have it signed by one of [auth] signers, or add {name!r} to"
                " [auth] allow_code.",
            )

    def sealed(self, name: str, seal: Seal, digest: str, file_format: str) -> str:
        """The name of the trusted signer of these bytes; empty if there is none.

        Raises:
            Refused: a trusted signer's signature does not hold.
        """
        trusted = next((who for who, key in self.signers.items() if key == seal.signer), "")
        if not (trusted and seal.signature and self.verify is not None):
            return ""
        signed = message(digest, file_format)
        if not self.verify(seal.signer, base64.b64decode(seal.signature), signed):
            raise Refused(
                f"The signature of {name} by {trusted!r} does not hold: it is of other bytes.",
                code="signature_invalid",
                hint="Do not load it. Register it again from a source that you trust.",
            )
        return trusted


def unsigned(name: str, signer: str) -> Refused:
    """The refusal of what no trusted signer signed, where that is required."""
    by = f"is signed by {signer}, who is not one of [auth] signers" if signer else "is not signed"
    return Refused(
        f"{name} {by}, and [auth] require_signature is set.",
        code="unsigned_artifact",
        hint="Sign it with `trimtab sign`, or register it with --key.",
    )


def untrusted(name: str, file_format: str, hint: str) -> Refused:
    """The refusal of a file that can run code and that nobody vouches for."""
    return Refused(
        f"{name} is a {file_format} file, which can run any code when it is opened, and nobody"
        " vouches for it.",
        hint=hint,
        code="untrusted_artifact",
    )
