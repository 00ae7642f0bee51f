from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from trimtab.errors import InvalidConfig, InvalidRequest, NotFound, Refused
from trimtab.protocols import BlobStore
from trimtab.store.blobs import LocalBlobs
from trimtab.wiring.deployment import open_blobs

CONTENT = b"the bytes of a model"
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"

BLAKE3_OF_NOTHING = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    file = tmp_path / "model.bin"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture(params=["local", "file", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where blobs are kept: a folder, and remote file systems."""
    places = {
        "local": f"{tmp_path}/blobs",
        "file": f"file://{tmp_path}/blobs",
        "memory": f"memory://{uuid4().hex}/blobs",
    }
    return places[str(request.param)]


@pytest.fixture
def blobs(where: str, tmp_path: Path) -> BlobStore:
    return open_blobs(where, tmp_path / "cache")


def stored(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_bytes_come_back_by_their_digest(blobs: BlobStore, artifact: Path) -> None:
    assert (DIGEST, len(CONTENT)) == blobs.put(artifact)
    assert (DIGEST, len(CONTENT)) == blobs.put(artifact)
    assert CONTENT == blobs.fetch(DIGEST).read_bytes()


def test_bytes_come_back_by_their_blake3_digest_too(where: str, tmp_path: Path) -> None:
    """The digest of nothing is the one that BLAKE3's authors publish."""
    empty = tmp_path / "empty"
    empty.touch()
    assert (BLAKE3_OF_NOTHING, 0) == open_blobs(where, tmp_path / "cache").put(empty, "blake3")
    assert b"" == open_blobs(where, tmp_path / "other cache").fetch(BLAKE3_OF_NOTHING).read_bytes()


def test_another_machine_fetches_what_was_put(where: str, artifact: Path, tmp_path: Path) -> None:
    open_blobs(where, tmp_path / "cache").put(artifact)
    elsewhere = open_blobs(where, tmp_path / "other cache")
    assert CONTENT == elsewhere.fetch(DIGEST).read_bytes()


def test_the_layout_is_by_digest(artifact: Path, tmp_path: Path) -> None:
    LocalBlobs(tmp_path / "blobs").put(artifact)
    hexadecimal = DIGEST.removeprefix("sha256:")
    assert [tmp_path / "blobs/sha256" / hexadecimal[:2] / hexadecimal] == stored(tmp_path / "blobs")


def test_a_missing_blob_is_not_found(blobs: BlobStore) -> None:
    with pytest.raises(NotFound) as missing:
        blobs.fetch(DIGEST)
    assert "blob_not_found" == missing.value.code


def test_a_missing_file_is_not_found(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        blobs.put(tmp_path / "nothing")
    assert "file_not_found" == missing.value.code


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "md5:00", f"{DIGEST}0", DIGEST.upper(), "sha256:../../etc/passwd"]
)
def test_what_is_no_digest_is_refused(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        blobs.fetch(digest)
    assert "invalid_digest" == refused.value.code


@pytest.mark.parametrize("kind", ["sha256", "blake3"])
def test_tampered_bytes_are_refused_and_a_put_mends_them(
    kind: str, artifact: Path, tmp_path: Path
) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    digest, _ = blobs.put(artifact, kind)
    (kept,) = stored(tmp_path / "blobs")
    kept.chmod(0o644)
    kept.write_bytes(CONTENT.replace(b"model", b"modem"))
    with pytest.raises(Refused) as refused:
        blobs.fetch(digest)
    assert "digest_mismatch" == refused.value.code
    blobs.put(artifact, kind)
    assert CONTENT == blobs.fetch(digest).read_bytes()


def test_tampered_bytes_of_a_remote_store_are_refused(artifact: Path, tmp_path: Path) -> None:
    where = f"file://{tmp_path}/blobs"
    open_blobs(where, tmp_path / "cache").put(artifact)
    (kept,) = stored(tmp_path / "blobs")
    kept.chmod(0o644)
    kept.write_bytes(b"others")
    assert CONTENT == open_blobs(where, tmp_path / "cache").fetch(DIGEST).read_bytes()
    with pytest.raises(Refused) as refused:
        open_blobs(where, tmp_path / "other cache").fetch(DIGEST)
    assert "digest_mismatch" == refused.value.code


def test_a_tampered_copy_is_downloaded_again(artifact: Path, tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs", tmp_path / "cache")
    blobs.put(artifact)
    (copy,) = stored(tmp_path / "cache")
    copy.chmod(0o644)
    copy.write_bytes(b"others")
    assert CONTENT == blobs.fetch(DIGEST).read_bytes()


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="nowhere"):
        open_blobs("nowhere://bucket", tmp_path)


PUT = """
import resource, sys
from pathlib import Path
from trimtab.errors import Unavailable
from trimtab.store.blobs import LocalBlobs
if len(sys.argv) > 3:
    limit = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
try:
    LocalBlobs(Path(sys.argv[1])).put(Path(sys.argv[2]))
except Unavailable as full:
    print(full.code)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(3_000_000))
    done = subprocess.run(
        [sys.executable, "-c", PUT, str(tmp_path / "blobs"), str(large), "2000000"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (["ready", "disk_refused"], []) == (done.stdout.split(), stored(tmp_path / "blobs"))


def test_a_killed_put_keeps_no_blob_and_is_swept_a_day_later(
    artifact: Path, tmp_path: Path
) -> None:
    root, large = tmp_path / "blobs", tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(4 << 30)  # takes no room itself, and longer to copy than to be killed
    with subprocess.Popen(
        [sys.executable, "-c", PUT, str(root), str(large)], stdout=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 60.0
        while not stored(root) and time.monotonic() < until:
            pass
        process.kill()
    (part,) = stored(root)
    assert (root, ".part") == (part.parent, part.suffix)
    blobs = LocalBlobs(root)
    blobs.put(artifact)
    assert part.exists()
    os.utime(part, (0.0, 0.0))
    blobs.put(artifact)
    assert not part.exists()
    assert CONTENT == blobs.fetch(DIGEST).read_bytes()
