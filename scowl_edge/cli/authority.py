"""`scowl-edge pki authority`, `issue` and `revoke`: a small authority for nodes of flexibility."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from scowl_edge.cli.pki import PkiError, require_library

DEFAULT_FOLDER = Path("scowl-edge-authority")
_NODE = re.compile(r"(dsrsp|cem|esa):[A-Za-z0-9._-]{1,64}")


def create(folder: Path, name: str) -> None:
    """Makes the authority: its certificate, which every node trusts, and its key, which stays where it is.

    Raises:
        PkiError: there is one already, or the folder cannot be written.
    """
    require_library()
    from scowl_edge.issuing import Issuer

    certificate, key = folder / "authority.pem", folder / "authority.key"
    for path in (certificate, key):
        if path.exists():
            raise PkiError(f"{path} exists: what it issued would be worth nothing with a new one; move it away first")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        Issuer(certificate, key).create(name)
    except OSError as error:
        raise PkiError(f"the authority cannot be made in {folder}: {error}") from error
    typer.echo(f"certificate {certificate}   (goes to every node, as `authority`)")
    typer.echo(f"key         {key}   (stays here; whoever has it can be any node)")
    typer.echo(f"next: scowl-edge pki issue cem:house-4 --host house-4.example --authority {folder}")


def issue(folder: Path, node: str, hosts: list[str], days: int) -> None:
    """Makes certificate and key of one node.

    Raises:
        PkiError: no such authority, no such form of a node, or the folder cannot be written.
    """
    require_library()
    from scowl_edge.issuing import Issuer

    if _NODE.fullmatch(node) is None:
        raise PkiError(f"{node} is no node id; it looks like cem:house-4, dsrsp:grid-co or esa:9b2e5f31")
    if not (folder / "authority.key").exists():
        raise PkiError(f"there is no authority in {folder}; make one: scowl-edge pki authority --authority {folder}")
    stem = node.replace(":", "-")
    certificate, key = folder / f"{stem}.pem", folder / f"{stem}.key"
    again = certificate.exists()
    issuer = Issuer(folder / "authority.pem", folder / "authority.key")
    try:
        issuer.issue(node, hosts, certificate, key, node=node, days=days)
    except (OSError, ValueError) as error:
        raise PkiError(f"{node} cannot be given a certificate in {folder}: {error}") from error
    typer.echo(f"certificate {certificate}   ({'in place of the one before, ' if again else ''}good for {days} days)")
    typer.echo(f"key         {key}")
    typer.echo(f"they go, with {folder / 'authority.pem'}, to the machine of {node}:")
    typer.echo(f"  flex: {{tls: {{certificate: {{file: {certificate}}}, key: {{file: {key}}}, ", nl=False)
    typer.echo(f"authority: {{file: {folder / 'authority.pem'}}}}}}}")


def revoke(folder: Path, node: str) -> None:
    """Adds the certificate of one node to the authority's revocation list.

    Raises:
        PkiError: no such authority or node, or the folder cannot be written.
    """
    require_library()
    from scowl_edge.issuing import Issuer

    given = Path(node)
    certificate = given if given.is_file() else folder / f"{node.replace(':', '-')}.pem"
    if not (folder / "authority.key").exists():
        raise PkiError(f"there is no authority in {folder}; name its folder with --authority")
    if not certificate.is_file():
        raise PkiError(
            f"there is no certificate of {node} in {folder}; give its node id, such as cem:house-4, or its file"
        )
    listed = folder / "revoked.pem"
    try:
        Issuer(folder / "authority.pem", folder / "authority.key").revoke([certificate], listed)
    except (OSError, ValueError) as error:
        raise PkiError(f"{node} cannot be revoked in {folder}: {error}") from error
    typer.echo(f"revoked {certificate}")
    typer.echo(f"list    {listed}   (goes to every node, in place of the one before)")
    typer.echo(f"  flex: {{tls: {{revoked: {{file: {listed}}}}}}}")
