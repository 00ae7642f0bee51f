"""Artifacts by digest in any file system that fsspec knows, for example ``s3://bucket/prefix``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from trimtab.digests import SHA256
from trimtab.errors import InvalidConfig, NotFound, Refused, Unavailable
from trimtab.store.blobs import LocalBlobs, relative


def open_blobs(where: str, cache: Path) -> RemoteBlobs:
    """A remote store for artifacts.

    Args:
        where: The URL of a folder that fsspec understands.
        cache: Folder for local copies.

    Raises:
        InvalidConfig: the URL's scheme is unknown or its driver is not installed.
    """
    scheme = where.partition("://")[0]
    try:
        files, root = url_to_fs(where)
    except (ValueError, ImportError) as unknown:
        raise InvalidConfig(
            f"Artifacts cannot be kept at {scheme!r} addresses: {unknown}.",
            path="state.artifacts",
            hint="Is the scheme spelled right, and its fsspec driver installed? S3's comes with "
            "pip install 'trimtab[s3]'.",
        ) from unknown
    return RemoteBlobs(files, root, LocalBlobs(cache))


class RemoteBlobs:
    """Bytes by digest below ``root`` of a remote file system, with verified local copies."""

    def __init__(self, files: AbstractFileSystem, root: str, cache: LocalBlobs) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._cache = cache

    def put(self, source: Path, kind: str = SHA256) -> tuple[str, int]:
        """Keep a file's bytes, there and in the local folder, by their digest of that kind.

        Raises:
            NotFound: there is no such file.
            Unavailable: the disk or the remote side refuses.
        """
        digest, size = self._cache.put(source, kind)
        target = self._path(digest)
        folder = target.rpartition("/")[0]
        upload = f"{folder}/.{uuid4().hex}.part"
        try:
            self._files.makedirs(folder, exist_ok=True)
            self._files.put_file(str(self._cache.fetch(digest)), upload)
            self._files.mv(upload, target)
        except OSError as failed:
            raise _unavailable(target, failed) from failed
        return digest, size

    def fetch(self, digest: str) -> Path:
        """A local file with those bytes, verified now; downloaded if there is no sound copy.

        Raises:
            InvalidRequest: it is no SHA-256 or BLAKE3 digest.
            NotFound: no such blob.
            Refused: the bytes do not have that digest.
            Unavailable: the disk or the remote side refuses.
        """
        try:
            return self._cache.fetch(digest)
        except (NotFound, Refused):
            self._download(digest)
        return self._cache.fetch(digest)

    def _download(self, digest: str) -> None:
        source = self._path(digest)
        with TemporaryDirectory(prefix="trimtab-") as folder:
            copy = Path(folder, "blob")
            try:
                self._files.get_file(source, str(copy))
            except FileNotFoundError as missing:
                raise NotFound(
                    f"There is no blob {digest} at {source}.",
                    hint="Was it deleted, or registered with other artifact storage?",
                    code="blob_not_found",
                ) from missing
            except OSError as failed:
                raise _unavailable(source, failed) from failed
            found, _ = self._cache.put(copy, digest.partition(":")[0])
        if found != digest:
            raise Refused(
                f"{source} has the digest {found}: its bytes were changed.",
                hint="Do not load it. Register the artifact again from a source you trust.",
                code="digest_mismatch",
            )

    def _path(self, digest: str) -> str:
        return f"{self._root}/{relative(digest)}"


def _unavailable(where: str, failed: OSError) -> Unavailable:
    return Unavailable(
        f"{where} cannot be reached: {failed}.",
        hint="Check the address, the credentials and the network.",
        code="blobs_unavailable",
    )
