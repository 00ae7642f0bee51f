"""Signed artifacts: who signed is checked at every load, beside the digest; what is unsigned is refused clearly."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from sklearn.pipeline import Pipeline
from tests.e2e.conftest import fitted, frame

from trimtab.cli.main import cli
from trimtab.config import AuthConfig, Config, StateConfig
from trimtab.errors import InvalidInput, NotFound, Refused
from trimtab.models import signing
from trimtab.models.signing import Key, new_key, read_key, read_signature, verify
from trimtab.types import Seal, Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

DATA = frame(300)
TRAINING = Training(reference=DATA, outcome="outcome", time="time", task=Task.BINARY)


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return fitted(DATA)


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return new_key(tmp_path / "me.pem")


@pytest.fixture
def pickled(model: Pipeline, tmp_path: Path) -> Path:
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    return path


Open = Callable[..., Deployment]


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Open:
    def opened(**auth: Any) -> Deployment:
        made = Deployment.open(
            Config(state=StateConfig(dir=str(tmp_path / "state")), auth=AuthConfig(**auth))
        )
        request.addfinalizer(made.close)
        return made

    return opened


def test_the_first_vector_of_rfc_8032_verifies() -> None:
    public = base64.b64encode(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    ).decode()
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
        "6bd25bf5f0595bbe24655141438e7a100b"
    )
    assert verify(f"ed25519:{public}", signature, b"")
    assert not verify(f"ed25519:{public}", signature, b"x")
    assert not verify("ed25519:nonsense", signature, b"")


def test_a_trusted_signers_word_lets_a_pickle_be_opened(
    opened: Open, key: Key, pickled: Path
) -> None:
    trusting = opened(signers={"me": key.public})
    version = register(trusting, "m", pickled, TRAINING, author="ada", sealer=key)
    assert ("", key.public) == (version.trusted_by, version.seal and version.seal.signer)
    trusting.registry.load(version)
    with pytest.raises(Refused) as refused:
        opened().registry.original(version)
    assert "untrusted_artifact" == refused.value.code
    assert "[auth] signers" in refused.value.hint


def test_nobody_is_trusted_for_having_any_key(opened: Open, key: Key, pickled: Path) -> None:
    other = opened(signers={"somebody": "ed25519:" + base64.b64encode(bytes(32)).decode()})
    with pytest.raises(Refused, match="nobody vouches for it"):
        register(other, "m", pickled, TRAINING, author="ada", sealer=key)


def forged(version: Version, **changes: Any) -> Version:
    assert version.seal is not None
    return replace(version, seal=replace(version.seal, **changes))


def test_a_signature_that_does_not_hold_is_refused_at_every_load(
    opened: Open, key: Key, pickled: Path
) -> None:
    deployment = opened(signers={"me": key.public})
    version = register(deployment, "m", pickled, TRAINING, author="ada", trust=True, sealer=key)
    assert version.seal is not None
    wrong = Seal(signer=key.public, signature=base64.b64encode(bytes(64)).decode())
    for bad in (
        replace(version, seal=wrong, compact=None),
        replace(version, digest="sha256:" + "0" * 64, compact=None),
        replace(version, format="callable", compact=None),
    ):
        with pytest.raises(Refused) as refused:
            deployment.registry.load(bad)
        assert "signature_invalid" == refused.value.code
    deployment.registry.load(version)


def test_where_a_signature_is_required_nothing_else_is_opened(
    opened: Open, key: Key, model: Pipeline
) -> None:
    plain = opened(signers={"me": key.public})
    unsigned = register(plain, "m", model, TRAINING, author="ada", trust=True)
    signed = register(plain, "m", model, TRAINING, author="ada", trust=True, sealer=key)
    assert (1, 2) == (unsigned.version, signed.version)
    strict = opened(signers={"me": key.public}, require_signature=True)
    with pytest.raises(Refused) as refused:
        strict.registry.load(unsigned)
    assert "unsigned_artifact" == refused.value.code
    loaded = strict.registry.load(signed)
    assert "" == loaded.refused
    foreign = replace(signed, seal=replace(signed.seal, signer="ed25519:other"))  # type: ignore[type-var]  # it has one
    with pytest.raises(Refused, match="ed25519:other, who is not one of"):
        strict.registry.load(foreign)
    named = opened(signers={"me": key.public}, require_signature=True, allow_code=("m:1",))
    named.registry.load(unsigned)


def test_a_compiled_form_that_nobody_signed_does_not_answer_where_that_is_required(
    opened: Open, key: Key, model: Pipeline
) -> None:
    deployment = opened(signers={"me": key.public}, require_signature=True)
    version = register(deployment, "m", model, TRAINING, author="ada", trust=True, sealer=key)
    assert version.compact is not None
    both = deployment.registry.load(version)
    bare = deployment.registry.load(forged(version, compact=""))
    assert both.predictor.original is None  # type: ignore[attr-defined]  # of Guarded
    assert bare.predictor.original is not None  # type: ignore[attr-defined]  # of Guarded
    false = deployment.registry.load(forged(version, compact=base64.b64encode(bytes(64)).decode()))
    assert "signature_invalid" == false.refused


def test_a_file_is_signed_before_it_is_registered(
    opened: Open, key: Key, pickled: Path, tmp_path: Path
) -> None:
    signed = CliRunner().invoke(cli, ["sign", str(pickled), "--key", str(tmp_path / "me.pem")])
    assert 0 == signed.exit_code, signed.output
    signature = read_signature(tmp_path / "model.joblib.sig")
    deployment = opened(signers={"me": key.public})
    version = register(deployment, "m", pickled, TRAINING, author="ada", sealer=signature)
    assert key.public == (version.seal and version.seal.signer)
    deployment.registry.original(version)
    joblib.dump(fitted(frame(300, seed=9)), pickled)
    with pytest.raises(Refused):
        register(deployment, "m", pickled, TRAINING, author="ada", sealer=signature)
    with pytest.raises(Refused) as another:
        register(deployment, "m", pickled, TRAINING, author="ada", trust=True, sealer=signature)
    assert "signature_of_another" == another.value.code


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = CliRunner().invoke(cli, ["keys", str(path), "--json"])
    assert json.loads(made.output)["public"] == read_key(path).public
    assert 0o600 == path.stat().st_mode & 0o777
    again = CliRunner().invoke(cli, ["keys", str(path)])
    assert (2, True) == (again.exit_code, "There is a file" in again.output)


def test_what_is_no_key_and_no_signature_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("-----BEGIN nothing")
    with pytest.raises(InvalidInput):
        read_key(tmp_path / "no.pem")
    with pytest.raises(NotFound):
        read_key(tmp_path / "absent.pem")
    with pytest.raises(InvalidInput):
        read_signature(tmp_path / "no.pem")
    assert signing.PREFIX == "ed25519:"
