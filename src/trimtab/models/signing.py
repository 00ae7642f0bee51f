"""Ed25519 keys and signatures, with the package cryptography; imported only where keys are used.

Source: RFC 8032. ``tests/integration/test_signed_artifacts.py`` checks its first test vector.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from trimtab.digests import digest_of
from trimtab.errors import InvalidInput, NotFound
from trimtab.models.artifact import kind_of
from trimtab.models.trust import message
from trimtab.types import Record, Seal

PREFIX = "ed25519:"


class SignatureFile(Record, frozen=True):
    """The signature of one file, as it lies beside it."""

    signer: str
    signature: str
    digest: str
    format: str

    def seal(self, digest: str, file_format: str) -> Seal | None:
        """The seal, if it is of these bytes in this format."""
        if (digest, file_format) != (self.digest, self.format):
            return None
        return Seal(signer=self.signer, signature=self.signature)


@dataclass(frozen=True, slots=True)
class Key:
    """A private key, which seals whatever it is given."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public key as configurations name it: ``ed25519:`` and 32 bytes in base64."""
        return PREFIX + base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    def seal(self, digest: str, file_format: str) -> Seal:
        """Sign an artifact."""
        signed = self.private.sign(message(digest, file_format))
        return Seal(signer=self.public, signature=base64.b64encode(signed).decode())

    def sign_file(self, path: Path, file_format: str) -> SignatureFile:
        """Sign a file."""
        digest = digest_of(path, kind_of(file_format))
        seal = self.seal(digest, file_format)
        return SignatureFile(
            signer=seal.signer, signature=seal.signature, digest=digest, format=file_format
        )


def new_key(path: Path) -> Key:
    """Make a private key and keep it in a new file that only its owner can read.

    Raises:
        InvalidInput: there is a file already.
    """
    key = Key(Ed25519PrivateKey.generate())
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exists:
        raise InvalidInput(
            f"There is a file {str(path)!r} already.", code="key_exists", path=str(path)
        ) from exists
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return key


def read_key(path: Path) -> Key:
    """A private key from its PEM file.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it holds no Ed25519 private key, or one with a password.
    """
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as missing:
        raise NotFound(f"There is no key file {str(path)!r}.", code="key_not_found") from missing
    except (ValueError, TypeError) as wrong:
        raise _no_key(path) from wrong
    if not isinstance(private, Ed25519PrivateKey):
        raise _no_key(path)
    return Key(private)


def read_signature(path: Path) -> SignatureFile:
    """A signature from its file.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignatureFile)
    except (OSError, msgspec.DecodeError) as wrong:
        raise InvalidInput(
            f"{str(path)!r} is no signature: {wrong}.",
            code="invalid_signature_file",
            path=str(path),
            hint="`trimtab sign` writes one.",
        ) from wrong


def verify(public: str, signature: bytes, signed: bytes) -> bool:
    """Whether the signature of a message by a public key holds."""
    try:
        raw = base64.b64decode(public.removeprefix(PREFIX), validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, signed)
    except (ValueError, InvalidSignature):
        return False
    return True


def _no_key(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{str(path)!r} holds no Ed25519 private key without a password.",
        code="invalid_key",
        path=str(path),
        hint="`trimtab keys PATH` makes one.",
    )
