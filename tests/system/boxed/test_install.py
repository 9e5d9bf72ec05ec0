"""`make install` and `make uninstall` into a folder: twice, over settings that exist, refused where they must be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from box import PROGRAM, make, python_of_the_system, wheel

PYTHON = python_of_the_system()
needs_python = pytest.mark.skipif(
    not PYTHON, reason="no Python of 3.11 or newer with venv below /usr: apt-get install python3-venv"
)


@needs_python
def test_twice_installed_and_twice_removed(tmp_path: Path) -> None:
    here = tmp_path / "package"
    # The program alone: what it needs is installed for the boxes, and the settings are what this is about.
    variables = {"DESTDIR": str(here), "PYTHON": PYTHON, "EXTRAS": "", "PIP_OPTIONS": "--no-deps"}
    variables["SOURCE"] = str(wheel(tmp_path / "wheel"))
    first = make("install", **variables)
    assert first.returncode == 0, first.stderr
    assert "nothing runs yet" in first.stdout
    site, token = here / "etc/scowl-edge/site.yaml", here / "etc/scowl-edge/token"
    assert site.stat().st_mode & 0o777 == 0o644
    assert token.stat().st_mode & 0o777 == 0o600
    secret = token.read_text()
    assert len(secret.strip()) == 64
    assert secret not in first.stdout + first.stderr
    command = (here / PROGRAM[1:] / "bin" / "scowl-edge").read_text().splitlines()[0]
    assert command == f"#!{PROGRAM}/bin/python"
    link = here / "usr/local/bin/scowl-edge"
    assert str(link.readlink()) == f"{PROGRAM}/bin/scowl-edge"
    unit = here / "etc/systemd/system/scowl-edge.service"
    assert f"ExecStart={PROGRAM}/bin/scowl-edge run /etc/scowl-edge/site.yaml\n" in unit.read_text()
    assert {p.name for p in (here / PROGRAM[1:] / "share/doc").iterdir()} == {
        "service.md",
        "operation.md",
        "configuration.md",
    }

    site.write_text("site: {id: mine}\n")
    unit.write_text("# spoiled\n")
    (module,) = (here / PROGRAM[1:] / "lib").glob("python3*/site-packages/scowl_edge/notify.py")
    module.write_text("# spoiled\n")
    again = make("install", **variables)
    assert again.returncode == 0, again.stderr
    assert "is upgraded" in again.stdout
    assert site.read_text() == "site: {id: mine}\n"
    assert token.read_text() == secret
    assert "ExecStart=" in unit.read_text()
    assert "def attend" in module.read_text()
    assert [p.name for p in (here / PROGRAM[1:]).parent.iterdir()] == ["scowl-edge"], "nothing is left beside it"
    assert str(here) not in (here / PROGRAM[1:] / "bin" / "scowl-edge").read_text()

    failed = make("install", **{**variables, "SOURCE": str(tmp_path / "nothing")})
    assert failed.returncode != 0
    assert (here / PROGRAM[1:] / "bin" / "scowl-edge").exists(), "a failed upgrade leaves the old program"

    for _ in range(2):
        removed = make("uninstall", DESTDIR=str(here))
        assert removed.returncode == 0, removed.stderr
        assert not (here / PROGRAM[1:]).exists()
        assert not unit.exists()
        assert not link.is_symlink()
        assert token.read_text() == secret
    (here / "var/lib/private/scowl-edge").mkdir(parents=True)
    assert make("uninstall", DESTDIR=str(here), PURGE="1").returncode == 0
    assert not (here / "etc/scowl-edge").exists()
    assert not (here / "var/lib/private/scowl-edge").exists()


def test_what_it_did_not_make_is_not_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "opt" / "scowl-edge"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("mine")
    for target in ("install", "uninstall"):
        done = make(target, DESTDIR=str(tmp_path), PYTHON=PYTHON or sys.executable)
        assert done.returncode != 0
        assert "is not of make install's making" in done.stderr
    for prefix in ("/", "/usr", "opt/scowl-edge"):
        done = make("uninstall", DESTDIR=str(tmp_path), PREFIX=prefix)
        assert done.returncode != 0
        assert "name a folder of its own" in done.stderr
    assert (foreign / "thesis.txt").read_text() == "mine"


def test_a_python_that_the_service_cannot_see_is_refused(tmp_path: Path) -> None:
    homely = tmp_path / "python"
    homely.write_text(
        f'#!/bin/sh\ncase "$*" in *base_prefix*) echo /home/ada/python;; *) exec {sys.executable} "$@";; esac\n'
    )
    homely.chmod(0o755)
    done = make("install", DESTDIR=str(tmp_path / "package"), PYTHON=str(homely))
    assert done.returncode != 0
    assert "the service sees no home folders" in done.stderr
    assert not (tmp_path / "package").exists()
