"""The registry: immutable versions, movable aliases, and loading only what is vouched for."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from trimtab.digests import digest_of
from trimtab.errors import InvalidInput, ModelFailure, NotFound, Refused, TrimtabError
from trimtab.log_events import Event
from trimtab.models.artifact import Formats, kind_of
from trimtab.models.guard import Guarded, opened
from trimtab.models.trust import Sealer, Trust, untrusted
from trimtab.protocols import BlobStore, Clock, ModelFormat, Predictor, StateStore, StateTx
from trimtab.types import (
    NAME_HINT,
    Alias,
    Array,
    Certificate,
    Columns,
    CompactForm,
    FeatureKind,
    Record,
    Seal,
    Signature,
    Version,
    is_name,
)

log = logging.getLogger(__name__)


class LoadedModel(Record, frozen=True):
    """A version and its predictor, guarded.

    ``refused`` says why the compiled form does not answer although there is one.
    """

    version: Version
    predictor: Predictor
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled form that is not written yet; its digest and size are found out.

    ``certify`` is given the original and, once it is written, the compiled form.
    """

    artifact: object
    form: CompactForm
    certify: Callable[[ArtifactFile, ArtifactFile], Certificate] | None = None


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """An artifact where it stands: its digest is of these bytes, its format opens it."""

    path: Path
    format: str
    digest: str


class Registry:
    """Versions, aliases and artifacts.

    Args:
        state: Where versions and aliases are kept.
        blobs: Where artifacts are kept, by digest.
        trust: Who is trusted, and what may run code when loaded.
        clock: Dates versions and aliases.
        formats: The formats that can be used; None means all that are installed.
        compact: Whether compiled forms are served in place of originals.
    """

    def __init__(
        self,
        state: StateStore,
        blobs: BlobStore,
        trust: Trust,
        clock: Clock,
        formats: Formats | None = None,
        *,
        compact: bool = True,
    ) -> None:
        self._state = state
        self._blobs = blobs
        self._trust = trust
        self._clock = clock
        self._compact = compact
        self._formats = Formats.installed() if formats is None else formats

    def register(  # noqa: PLR0913 - each is a fact of the version
        self,
        model: str,
        artifact: object,
        *,
        signature: Signature,
        profile: bytes | None = None,
        promise: bytes | None = None,
        metrics: Mapping[str, float] | None = None,
        lineage: Mapping[str, str] | None = None,
        author: str = "",
        description: str = "",
        views: Sequence[str] = (),
        view_versions: Mapping[str, str] | None = None,
        trust: str = "",
        file_format: str | None = None,
        compact: Compiled | None = None,
        certificate: Certificate | None = None,
        sealer: Sealer | None = None,
    ) -> Version:
        """Keep a model as a new version; the same bytes, signature and views again are the same version.

        Args:
            model: The model's name: letters, digits, ``_`` and ``-``, at most 63.
            artifact: A path to a file or to a model folder, or a fitted model in memory.
            signature: What it takes and answers.
            profile: The reference profile of its training data.
            promise: What its held-out rows promise of its performance.
            metrics: Held-out figures, for example ``{"roc_auc": .71}``.
            lineage: What it came from: data, code, parent.
            author: Who made it.
            description: What is new about it.
            views: The feature views that fill its features.
            view_versions: Their digests as it was trained with them, by name.
            trust: Who vouches for an artifact that can run code; not kept for a format that cannot.
            file_format: The format; None finds it out.
            compact: Its compiled form, and what was measured of it.
            certificate: How it differs from the version that it was made of.
            sealer: Who signs it, or has its signature.

        Raises:
            InvalidInput: a name is malformed, no format knows the artifact, or there is none.
            Refused: the signature is of something else.
        """
        _check_name(model, "model")
        with tempfile.TemporaryDirectory(prefix="trimtab-") as directory:
            path, kind = self._written(artifact, file_format, Path(directory))
            trust = trust if self._runs_code(kind, compact) else ""
            digest, size = self._blobs.put(path, kind_of(kind.name))
            profile_digest = self._kept(profile, Path(directory) / "profile")
            promise_digest = self._kept(promise, Path(directory) / "promise")
            form = self._form(compact, ArtifactFile(path, kind.name, digest), Path(directory))
        seal = _sealed(sealer, digest, kind.name, form)
        with self._state.transaction() as tx:
            for known in tx.registry.versions(model):
                if known.digest == digest and _same(known, signature, views, trust, seal):
                    return known
            version = Version(
                model=model,
                version=tx.registry.next_version(model),
                digest=digest,
                format=kind.name,
                size_bytes=size,
                signature=signature,
                created_at=self._clock.now(),
                author=author,
                description=description,
                metrics=dict(metrics or {}),
                lineage=dict(lineage or {}),
                profile_digest=profile_digest,
                promise_digest=promise_digest,
                views=tuple(views),
                view_versions=dict(view_versions or {}),
                trusted_by=trust,
                compact=form,
                certificate=certificate,
                seal=seal,
            )
            tx.registry.add_version(version)
            return version

    def models(self) -> Sequence[str]:
        """The names of all models."""
        with self._state.reading() as tx:
            return tx.registry.models()

    def list(self, model: str) -> Sequence[Version]:
        """All versions of a model, oldest first.

        Raises:
            NotFound: no such model.
        """
        with self._state.reading() as tx:
            versions = tx.registry.versions(model)
            if not versions:
                raise _no_model(model, tx.registry.models())
            return versions

    def get(self, model: str, reference: int | str) -> Version:
        """A version by its number, the number as text, or an alias such as ``champion``.

        Raises:
            NotFound: no such model, version or alias.
        """
        with self._state.reading() as tx:
            return _find(tx, model, reference)

    def aliases(self, model: str) -> Sequence[Alias]:
        """The aliases of a model."""
        with self._state.reading() as tx:
            return tx.registry.aliases(model)

    def set_alias(
        self,
        model: str,
        alias: str,
        reference: int | str,
        *,
        actor: str,
        reason: str,
        tx: StateTx | None = None,
    ) -> Alias:
        """Move an alias to a version; writing the audit log is the caller's.

        Args:
            model: The model.
            alias: The alias; not a number.
            reference: The version, as in :meth:`get`.
            actor: Who moves it.
            reason: Why.
            tx: A transaction to do it in; None makes one.

        Raises:
            InvalidInput: the alias is malformed.
            NotFound: no such model or version.
        """
        _check_name(alias, "alias")
        if alias.isdigit():
            raise InvalidInput(
                f"The alias {alias!r} looks like a version.", code="invalid_name", path="alias"
            )
        if tx is None:
            with self._state.transaction() as own:
                return self.set_alias(model, alias, reference, actor=actor, reason=reason, tx=own)
        moved = Alias(
            model=model,
            alias=alias,
            version=_find(tx, model, reference).version,
            since=self._clock.now(),
            actor=actor,
            reason=reason,
        )
        tx.registry.set_alias(moved)
        return moved

    def profile(self, version: Version) -> bytes | None:
        """The reference profile that was registered with a version."""
        if version.profile_digest is None:
            return None
        return self._blobs.fetch(version.profile_digest).read_bytes()

    def load(self, version: Version) -> LoadedModel:
        """Open a version: its compiled form if it has one, else or if that is refused the original.

        Raises:
            Refused: the digest does not match, or nobody vouches for code in it.
            NotFound: the artifact is gone.
            InvalidInput: the artifact does not fit the signature.
            ModelFailure: the artifact cannot be opened.
        """
        form = version.compact
        if form is None or not self._compact or not self._may_open(version, form):
            return LoadedModel(version=version, predictor=self.original(version))
        try:
            kind = self._formats.named(form.format)
            self._trust.check(version, kind, form.digest, _of_form(version))
            path = self._blobs.fetch(form.digest)
            small = opened(kind, path, version.signature, f"{version.model}:{version.version}")
        except TrimtabError as why:
            log.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                Event.COMPACT_REFUSED,
                extra={"model": version.model, "version": version.version, "reason": str(why)},
            )
            predictor = self.original(version)
            return LoadedModel(version=version, predictor=predictor, refused=why.code)
        return LoadedModel(version=version, predictor=small)

    def original(self, version: Version) -> Guarded:
        """Open a version's original, after its digest, its signature and who vouches for it.

        Raises:
            TrimtabError: as :meth:`load`.
        """
        name = f"{version.model}:{version.version}"
        kind = self._formats.named(version.format)
        signature = "" if version.seal is None else version.seal.signature
        self._trust.check(version, kind, version.digest, signature)
        return opened(kind, self._blobs.fetch(version.digest), version.signature, name)

    def _may_open(self, version: Version, form: CompactForm) -> bool:
        """Whether the compiled form needs nobody's word, or has it; a forged word is for ``check``."""
        try:
            kind = self._formats.named(form.format)
            self._trust.check(version, kind, form.digest, _of_form(version))
        except Refused as why:
            return why.code == "signature_invalid"
        return True

    def preview(
        self,
        artifact: object,
        signature: Signature,
        *,
        trust: str = "",
        file_format: str | None = None,
        sealer: Sealer | None = None,
    ) -> Guarded:
        """What a model will answer once it is registered; one in memory is written and read first.

        Raises:
            Refused: it is a file that can run code, and nobody vouches for it.
            InvalidInput: no format knows the artifact, or it does not fit the signature.
            ModelFailure: the artifact cannot be opened.
        """
        with tempfile.TemporaryDirectory(prefix="trimtab-") as directory:
            path, kind = self._written(artifact, file_format, Path(directory))
            if isinstance(artifact, Path) and kind.runs_code and not trust:
                self._check_seal(path, kind, sealer)
            return opened(kind, path, signature, path.name)

    def _check_seal(self, path: Path, kind: ModelFormat, sealer: Sealer | None) -> None:
        digest = digest_of(path, kind_of(kind.name))
        seal = None if sealer is None else sealer.seal(digest, kind.name)
        if seal is None or not self._trust.sealed(path.name, seal, digest, kind.name):
            raise untrusted(
                path.name,
                kind.name,
                "Say that you trust it with --trust, or have it signed by one of [auth] signers.",
            )

    def _kept(self, blob: bytes | None, at: Path) -> str | None:
        """The digest of bytes that are kept beside an artifact."""
        if blob is None:
            return None
        at.write_bytes(blob)
        return self._blobs.put(at)[0]

    def _runs_code(self, kind: ModelFormat, compact: Compiled | None) -> bool:
        kinds = [kind] if compact is None else [kind, self._formats.named(compact.form.format)]
        return any(each.runs_code for each in kinds)

    def _form(
        self, compact: Compiled | None, original: ArtifactFile, directory: Path
    ) -> CompactForm | None:
        if compact is None:
            return None
        path, kind = directory / "compact", compact.form.format
        self._formats.save(compact.artifact, path, kind)
        digest, size = self._blobs.put(path, kind_of(kind))
        small = ArtifactFile(path, kind, digest)
        return msgspec.structs.replace(
            compact.form,
            digest=digest,
            size_bytes=size,
            certificate=None if compact.certify is None else compact.certify(original, small),
        )

    def _written(
        self, artifact: object, file_format: str | None, directory: Path
    ) -> tuple[Path, ModelFormat]:
        """The artifact as a file, and its format; a folder or a model in memory is written to ``directory``."""
        if isinstance(artifact, Path) and artifact.is_dir() and file_format is None:
            artifact = self._formats.within(artifact) or artifact
        if isinstance(artifact, Path) and not artifact.is_dir():
            return artifact, self._formats.named(file_format or self._formats.sniff(artifact))
        path = directory / "model"
        return path, self._formats.named(self._formats.save(artifact, path, file_format))


def warm(loaded: LoadedModel, columns: Columns | None = None) -> None:
    """Let a model answer once, each way, so that its first request does not pay for what it does lazily.

    Args:
        loaded: The model.
        columns: Real rows. None makes one row up: zeros, and missing or empty categories.

    Raises:
        ModelFailure: it cannot answer real rows. A made-up row may well be refused: that is logged.
    """
    if columns is not None:
        loaded.predictor.predict(columns)
        return
    made_up = _made_up(loaded.version.signature)
    one = getattr(loaded.predictor, "one", None)
    try:
        getattr(loaded.predictor, "tried", loaded.predictor.predict)(made_up)
        if one is not None:
            one([array[0] for array in made_up.arrays])
    except ModelFailure as failure:
        log.info(
            Event.MODEL_FAILED, extra={"model": loaded.version.model, "error": failure.message}
        )


def _made_up(signature: Signature) -> Columns:
    arrays: list[Array] = []
    for spec in signature.features:
        if spec.kind is FeatureKind.CATEGORICAL:
            arrays.append(np.array([None if spec.nullable else ""], dtype=object))
        else:
            arrays.append(np.zeros(1))
    return Columns(features=signature.features, arrays=tuple(arrays))


def _find(tx: StateTx, model: str, reference: int | str) -> Version:
    number = int(reference) if str(reference).isdecimal() else None
    aliases = tx.registry.aliases(model)
    for alias in aliases:
        if alias.alias == reference:
            number = alias.version
    found = None if number is None else tx.registry.version(model, number)
    if found is not None:
        return found
    numbers = [str(version.version) for version in tx.registry.versions(model)]
    if not numbers:
        raise _no_model(model, tx.registry.models())
    raise NotFound(
        f"The model {model!r} has no version or alias {str(reference)!r}.",
        hint=f"It has: {', '.join([*numbers, *(alias.alias for alias in aliases)])}.",
        code="unknown_version",
    )


def _no_model(model: str, models: Sequence[str]) -> NotFound:
    return NotFound(
        f"There is no model {model!r}.",
        hint=f"Registered: {', '.join(sorted(models)) or 'none'}.",
        code="unknown_model",
    )


def _sealed(
    sealer: Sealer | None, digest: str, file_format: str, form: CompactForm | None
) -> Seal | None:
    if sealer is None:
        return None
    seal = sealer.seal(digest, file_format)
    if seal is None:
        raise Refused(
            f"The signature is not of this artifact ({file_format}, {digest}).",
            code="signature_of_another",
            hint="Sign this very file, in the format that it is opened as: `trimtab sign`.",
        )
    compact = None if form is None else sealer.seal(form.digest, form.format)
    return seal if compact is None else msgspec.structs.replace(seal, compact=compact.signature)


def _same(
    known: Version, signature: Signature, views: Sequence[str], trust: str, seal: Seal | None
) -> bool:
    """Whether a version of the same bytes takes and reads the same, and nobody new vouches for it."""
    vouched = (not trust or known.trusted_by == trust) and seal in (None, known.seal)
    return known.signature == signature and set(known.views) == set(views) and vouched


def _of_form(version: Version) -> str:
    return "" if version.seal is None else version.seal.compact


def _check_name(name: str, what: str) -> None:
    if not is_name(name):
        raise InvalidInput(
            f"{name!r} is no name for {'an' if what == 'alias' else 'a'} {what}.",
            hint=NAME_HINT,
            code="invalid_name",
            path=what,
        )
