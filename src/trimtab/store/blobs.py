"""Artifacts by digest, in a local folder."""

from __future__ import annotations

import time
from pathlib import Path

from trimtab.digests import SHA256, digest_of, hasher, parts
from trimtab.errors import InvalidRequest, NotFound, Refused, Unavailable
from trimtab.store.durable import PART, commit, new_file

_PIECE_BYTES = 1 << 20
_ABANDONED_SECONDS = 86_400


def relative(digest: str) -> str:
    """Where the bytes of a digest stand below a store's root: ``sha256/ab/abcdef…``.

    Raises:
        InvalidRequest: it is no SHA-256 or BLAKE3 digest.
    """
    found = parts(digest)
    if found is None:
        raise InvalidRequest(
            f"{digest!r} is no digest.",
            hint="Write it as 'sha256:' or 'blake3:' and 64 lower-case hexadecimal digits.",
            code="invalid_digest",
        )
    kind, digits = found
    return f"{kind}/{digits[:2]}/{digits}"


class LocalBlobs:
    """Bytes by digest below ``root``; put is atomic, and every fetch verifies.

    Args:
        root: The folder; it is made with the first blob.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path, kind: str = SHA256) -> tuple[str, int]:
        """Keep a file's bytes by their digest of that kind.

        Returns:
            The digest, and the size in bytes.

        Raises:
            NotFound: there is no such file.
            Unavailable: the disk refuses.
            OSError: the file cannot be read.
        """
        if not source.is_file():
            raise NotFound(f"There is no file {str(source)!r}.", code="file_not_found")
        self._sweep()
        hashed = hasher(kind)
        size = 0
        with source.open("rb") as original, new_file(self._root) as (file, part):
            while piece := original.read(_PIECE_BYTES):
                hashed.update(piece)
                size += file.write(piece)
            digest = f"{kind}:{hashed.hexdigest()}"
            part.chmod(0o444)
            commit(file, part, self._root / relative(digest))
        return digest, size

    def fetch(self, digest: str) -> Path:
        """The file with those bytes, verified now.

        Raises:
            InvalidRequest: it is no SHA-256 or BLAKE3 digest.
            NotFound: no such blob.
            Refused: the bytes do not have that digest.
            Unavailable: the file cannot be read.
        """
        path = self._root / relative(digest)
        try:
            found = digest_of(path, digest.partition(":")[0])
        except FileNotFoundError as missing:
            raise NotFound(
                f"There is no blob {digest}.",
                hint="Was it deleted, or registered in another state directory?",
                code="blob_not_found",
            ) from missing
        except OSError as failed:
            raise Unavailable(
                f"{path} cannot be read: {failed.strerror or failed}.", code="blob_unreadable"
            ) from failed
        if found != digest:
            raise Refused(
                f"{path} has the digest {found}: its bytes were changed.",
                hint="Do not load it. Register the artifact again from a source you trust.",
                code="digest_mismatch",
            )
        return path

    def _sweep(self) -> None:
        """Remove what puts left behind that were killed long ago."""
        oldest = time.time() - _ABANDONED_SECONDS
        for part in self._root.glob(f".*{PART}"):
            if part.stat().st_mtime < oldest:
                part.unlink(missing_ok=True)
