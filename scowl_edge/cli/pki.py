"""`scowl-edge pki`: the folder of certificates of secured OPC-UA links, seen and changed by a person."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scowl_edge.assembly import load
from scowl_edge.assembly.certificates import Filed, in_words, read_file, read_folder, thumbprint
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.devices.declaration import OpcuaLink, SecurityPolicy
from scowl_edge.model.errors import ScowlError

if TYPE_CHECKING:
    from cryptography import x509

DEFAULT_FOLDER = Path(str(OpcuaLinkSection.model_fields["pki"].default))
_LEAST_PREFIX = 6
"""Letters of a thumbprint that may stand for the whole of it, if only one begins so."""


class PkiError(ScowlError):
    """The folder of certificates cannot be read or changed as asked."""


def folder_of(pki: Path | None, config: Path | None, link: str | None) -> Path:
    """The folder that the options name.

    Raises:
        ConfigError: the configuration has faults.
        PkiError: the options contradict each other, or name no link of type opcua.
    """
    if config is None:
        if link is not None:
            raise PkiError(f"--link {link} needs the configuration that it stands in: add --config FILE")
        return pki or DEFAULT_FOLDER
    if pki is not None:
        raise PkiError("--pki and --config both name a folder; leave one out")
    found = [one for one in load(config).links if isinstance(one, OpcuaLink)]
    links = {one.name: Path(one.pki) for one in found}
    if link is not None:
        if link not in links:
            raise PkiError(f"{config} has no link {link} of type opcua; it has: {', '.join(links) or 'none'}")
        return links[link]
    # A link that is not secured needs no folder, so it does not make the question ambiguous.
    links = {one.name: Path(one.pki) for one in found if one.policy is not SecurityPolicy.NONE} or links
    if len(set(links.values())) != 1:
        why = "has no link of type opcua" if not links else f"has links with several folders ({', '.join(links)})"
        raise PkiError(f"{config} {why}; name a link with --link, or the folder with --pki")
    return next(iter(links.values()))


def show(folder: Path) -> None:
    """Prints the own certificate, which is made if there is none, and those of servers.

    Raises:
        PkiError: the folder cannot be read or written.
    """
    require_library()
    with _told(folder), _handed_over(folder):
        own = _own(folder)
        trusted, rejected = list(read_folder(folder / "trusted")), list(read_folder(folder / "rejected"))
    typer.echo(f"folder {folder}")
    typer.echo(own)
    for title, shelf in (("trusted", trusted), ("rejected", rejected)):
        typer.echo(f"{title}: {len(shelf) or 'none'}")
        for one in shelf:
            typer.echo(f"  {in_words(one.certificate)}")
            typer.echo(f"    thumbprint {one.thumbprint}")
            typer.echo(f"    file       {one.path}")
    if rejected:
        typer.echo("to trust one, compare its thumbprint with what the server shows, then:")
        typer.echo(f"  scowl-edge pki trust {rejected[0].thumbprint} --pki {shlex.quote(str(folder))}")


def trust(folder: Path, what: str) -> None:
    """Trusts a rejected certificate by its thumbprint, or those of a file.

    Raises:
        PkiError: there is none, or the folder cannot be written.
    """
    require_library()
    with _told(folder), _handed_over(folder):
        given = Path(what)
        found = (
            list(read_file(given)) if given.is_file() else [_find(list(read_folder(folder / "rejected")), what, folder)]
        )
        if not found:
            raise PkiError(f"{given} holds no certificate; give a file in DER or PEM, or a thumbprint")
        known = {one.thumbprint for one in read_folder(folder / "trusted")}
        for one in found:
            if one.thumbprint in known:
                typer.echo(f"already trusted: {in_words(one.certificate)}")
            else:
                _keep(folder / "trusted" / f"{one.thumbprint}.der", one.certificate)
                typer.echo(f"trusted: {in_words(one.certificate)}")
                typer.echo(f"  thumbprint {one.thumbprint}")
            (folder / "rejected" / f"{one.thumbprint}.der").unlink(missing_ok=True)
    typer.echo("A running daemon takes it at its next attempt to connect.")


def forget(folder: Path, what: str) -> None:
    """Trusts a certificate no more; one that is rejected already is deleted.

    Raises:
        PkiError: there is none, or the folder cannot be written.
    """
    require_library()
    with _told(folder), _handed_over(folder):
        trusted, rejected = list(read_folder(folder / "trusted")), list(read_folder(folder / "rejected"))
        one = _find([*trusted, *rejected], what, folder)
        copies = [copy for copy in trusted if copy.thumbprint == one.thumbprint]
        bundle = next((copy for copy in copies if not copy.alone), None)
        if bundle is not None:
            raise PkiError(f"{bundle.path} holds several certificates: take {one.thumbprint} out with an editor")
        if not copies:
            one.path.unlink()
            typer.echo(f"deleted: {in_words(one.certificate)}")
            return
        _keep(folder / "rejected" / f"{one.thumbprint}.der", one.certificate)
        for copy in copies:
            copy.path.unlink()
        typer.echo(f"no longer trusted: {in_words(one.certificate)}")
        typer.echo("A session that is open goes on until it ends; restart the daemon to end it now.")


def require_library() -> None:
    """Returns if certificates can be read and made.

    Raises:
        PkiError: the extra is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise PkiError(
            "certificates need the package cryptography, which comes with OPC-UA: "
            "install it with pip install 'scowl-edge[opcua]'"
        ) from None


def _own(folder: Path) -> str:
    """The own certificate in a few lines."""
    from scowl_edge.drivers.errors import NotAdmitted
    from scowl_edge.drivers.opcua.pki import Pki

    now = datetime.now(UTC)
    try:
        own = Pki(folder).own(now)
    except NotAdmitted as error:
        return f"own certificate: {error}"
    remark = own.remark(now)
    lines = (
        "own certificate, which each server's side must trust:",
        f"  {in_words(own.certificate)}",
        f"    thumbprint  {thumbprint(own.certificate)}",
        f"    application {own.uri}",
        f"    file        {own.path}",
        *([f"    remark      {remark}"] if remark else []),
    )
    return "\n".join(lines)


def _find(shelf: list[Filed], what: str, folder: Path) -> Filed:
    """The certificate whose thumbprint is, or begins with, what was given."""
    wanted = re.sub(r"[\s:-]", "", what).upper().removesuffix(".DER")
    if re.fullmatch(f"[0-9A-F]{{{_LEAST_PREFIX},40}}", wanted) is None:
        raise PkiError(
            f"{what} is no file that exists and no thumbprint (hexadecimal, at least {_LEAST_PREFIX} digits); "
            f"scowl-edge pki show --pki {folder} lists them"
        )
    found = {one.thumbprint: one for one in shelf if one.thumbprint.startswith(wanted)}
    if len(found) > 1:
        raise PkiError(f"{len(found)} certificates begin with {wanted}; give more of the thumbprint")
    if not found:
        raise PkiError(
            f"no certificate in {folder} has the thumbprint {wanted}; scowl-edge pki show --pki {folder} lists them"
        )
    return next(iter(found.values()))


def _keep(path: Path, certificate: x509.Certificate) -> None:
    """Whole or not at all: the daemon may look at any moment."""
    from cryptography.hazmat.primitives import serialization

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    part.chmod(0o644)
    part.replace(path)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Says in words what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise PkiError(
            f"the folder of certificates {folder} cannot be used: {error}; run this as the daemon's user, or as root"
        ) from error


@contextlib.contextmanager
def _handed_over(folder: Path) -> Iterator[None]:
    """What root makes here is given to whom the folder (or the one around it) belongs: the daemon must read its key."""
    owner = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists()).stat()
    yield
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (folder, *folder.rglob("*")):
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
