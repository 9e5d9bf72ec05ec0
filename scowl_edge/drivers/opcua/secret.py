"""The password of a link: read where it lies, each time it is needed."""

from __future__ import annotations

import os
from pathlib import Path

from scowl_edge.devices.declaration import Secret
from scowl_edge.drivers.errors import NotAdmitted


def read_secret(secret: Secret) -> str:
    """The password as it lies there now, without the line's end.

    Raises:
        NotAdmitted: it cannot be read.
    """
    if secret.file:
        path = Path(secret.file)
    else:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise NotAdmitted(
                f"the password is the credential {secret.credential!r}, but $CREDENTIALS_DIRECTORY is not set; start "
                "the daemon under systemd with LoadCredential, or give `password: {file: ...}`"
            )
        path = Path(folder) / secret.credential
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotAdmitted(f"the password file {path} cannot be read: {error}") from error
    if not password:
        raise NotAdmitted(f"the password file {path} is empty")
    return password
