"""Booted boxes: systemd as the first process of a container, on this machine's /usr and a tree of its own.

Nothing is downloaded for the image: /usr is this machine's, read-only; /etc, /opt and /var are the tree's, and what a
boot writes there goes with it. A box has a network of its own with nothing but loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[3]
PROGRAM = "/opt/scowl-edge"
SITE = "/etc/scowl-edge/site.yaml"
STATE = "/var/lib/private/scowl-edge"
BOOT_S = 90.0
_SYSTEM = Path("/usr/lib/systemd/system")
_HIERARCHIES = [h for h in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
                if (h / "cgroup.procs").exists()]  # fmt: skip


def why_not() -> str:
    """What keeps boxes from being booted here; empty if nothing does."""
    if os.geteuid() != 0:
        return "booting a box needs root"
    for program in ("systemd-nspawn", "systemd-analyze", "unshare", "nsenter", "curl", "make"):
        if shutil.which(program) is None:
            return f"no {program}; as root run: sh tests/system-packages.sh"
    if not (_SYSTEM / "dbus.service").exists():
        return "no dbus; as root run: sh tests/system-packages.sh"
    if not Path("/bin").is_symlink():
        return "this system keeps programs outside /usr, which a box shares"
    if not _HIERARCHIES:
        return "no control groups are mounted at /sys/fs/cgroup"
    return (
        ""
        if python_of_the_system()
        else "no Python of 3.11 or newer with venv below /usr: apt-get install python3-venv"
    )


def python_of_the_system() -> str:
    """An interpreter that a box sees too; empty if there is none."""
    for found in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        look = "import sys, ensurepip, venv; print(sys.base_prefix if sys.version_info >= (3, 11) else '')"
        done = subprocess.run([found, "-c", look], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() in ("/usr", "/usr/local"):
            return found
    return ""


def make_tree(tree: Path) -> None:
    """What a boot needs beside /usr."""
    for name in ("usr", "opt", "home", "root", "dev", "proc", "sys", "run", "tmp", "etc/systemd/system", "var/lib"):
        (tree / name).mkdir(parents=True)
    # nspawn looks here, before /usr is there, how new the systemd inside is, and gives it control groups to match.
    (tree / "usr/lib/systemd").mkdir(parents=True)
    (tree / f"usr/lib/systemd/libsystemd-shared-{_version()}.so").touch()
    for name in ("bin", "sbin", "lib", "lib64"):
        if (Path("/") / name).is_symlink():
            (tree / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "os-release"):
        shutil.copyfile(f"/etc/{name}", tree / "etc" / name)
    for name, text in {"hosts": "127.0.0.1 localhost\n", "hostname": "box\n", "machine-id": ""}.items():
        (tree / "etc" / name).write_text(text)
    units = tree / "etc" / "systemd" / "system"
    for unit in ("getty.target", "systemd-logind.service", "systemd-firstboot.service"):
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to(_SYSTEM / "multi-user.target")


def wheel(directory: Path) -> Path:
    """The checkout as a wheel, as `pip wheel .` makes it: building it once saves pip from doing so at each install."""
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])))


def _version() -> str:
    """The number of this machine's systemd."""
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs make in the checkout, free of what an outer make has put into the environment."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTHON")) and k != "ARGS"}
    command = ["make", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, timeout=200, check=False)


class Box:
    """One booted system."""

    def __init__(self, tree: Path, name: str, log: Path, options: Sequence[str] = ()) -> None:
        self.log = log
        self._groups = [hierarchy / name for hierarchy in _HIERARCHIES]
        for group in self._groups:
            group.mkdir(exist_ok=True)
        joined = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        nspawn = [
            *("systemd-nspawn", "-q", "-D", str(tree), "-M", name, "--boot", "--volatile=overlay", "--private-network"),
            *("--register=no", "--keep-unit", "--console=pipe", "--system-call-filter=bpf @clock", "--bind-ro=/usr"),
            *options,
        ]
        # Without a /run of its own nspawn believes that a manager of the host will clean up, and stops at once.
        inner = 'mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"'
        with log.open("wb") as out:
            self._nspawn = subprocess.Popen(
                ["sh", "-c", joined + 'exec unshare -m sh -c "$0" box "$@"', inner, *nspawn],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.leader = 0
        try:
            self.leader = self.wait(self._find_leader, BOOT_S, "the box has a first process")
            self.wait(self._is_up, BOOT_S, "the box is up")
        except BaseException:
            self.close()
            raise

    def _find_leader(self) -> int:
        """nspawn has other children before the one that becomes the box's first process."""
        assert self._nspawn.poll() is None, f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-2000:]}"
        for child in Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return 0

    def _is_up(self) -> bool:
        return self.call("systemctl", "is-system-running", "--wait", fails=True).stdout.strip() == "running"

    def call(self, *command: str, fails: bool = False, within_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, as root; it must succeed unless it may fail."""
        inside = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", "PATH=/usr/bin:/usr/sbin", "LANG=C.UTF-8"]
        done = subprocess.run(
            [*inside, *command], capture_output=True, text=True, timeout=within_s, stdin=subprocess.DEVNULL, check=False
        )
        assert fails or done.returncode == 0, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def begin(self, *command: str) -> None:
        """Starts a command inside that goes on until the box ends."""
        self.call("systemd-run", "--quiet", "--collect", *command)

    def path(self, inside: str) -> Path:
        """A file of the box, as this machine reaches it."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def wait(self, reached: Callable[[], Any], within_s: float, what: str) -> Any:
        """The first truthy answer; fails with `what` after so many seconds."""
        until = time.monotonic() + within_s
        while not (seen := reached()):
            assert time.monotonic() < until, f"not within {within_s:g} s: {what}\n{self.story()}"
            time.sleep(0.05)
        return seen

    def story(self) -> str:
        """What the service said, for whoever has to find out why a test failed."""
        if not self.leader:
            return self.log.read_text(errors="replace")[-2000:]
        said = self.call("journalctl", "-u", "scowl-edge", "--no-pager", "-o", "short-precise", "-n", "60", fails=True)
        return (
            said.stdout[-6000:]
            + self.call("systemctl", "status", "scowl-edge", "--no-pager", fails=True).stdout[-2000:]
        )

    # -- the service

    def edit_site(self, changes: Mapping[str, str]) -> None:
        """Replaces pieces of the configuration; each must be there."""
        file = self.path(SITE)
        text = file.read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(text)

    def drop_in(self, name: str, text: str) -> None:
        """Adds to the unit, as an operator does."""
        place = self.path("/etc/systemd/system/scowl-edge.service.d")
        place.mkdir(exist_ok=True)
        (place / f"{name}.conf").write_text(text)
        self.call("systemctl", "daemon-reload")

    def start(self, *, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """`systemctl start`; it returns when the service is ready, or has failed."""
        return self.call("systemctl", "start", "scowl-edge", fails=fails)

    def show(self, *names: str) -> dict[str, str]:
        """Properties of the unit."""
        shown = self.call("systemctl", "show", "scowl-edge", "-p", ",".join(names)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def property(self, name: str) -> str:
        """One of them."""
        return self.show(name)[name]

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Log entries of the service, oldest first."""
        said = self.call("journalctl", "-u", "scowl-edge", "--no-pager", "-o", "json", "--all", *matches, fails=True)
        return [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]

    def ask(self, path: str, *options: str) -> tuple[int, Any]:
        """(status, body) of the daemon's HTTP; 0 where nobody answers."""
        where = path if path.startswith("http") else f"http://127.0.0.1:8080{path}"
        done = self.call("curl", "-sS", "-m", "10", "-w", "\n%{http_code}", *options, where, fails=True)
        if done.returncode != 0:
            return 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        try:
            return int(status), json.loads(body)
        except ValueError:
            return int(status), body

    def close(self) -> None:
        """Powers it off; whatever it does, it ends."""
        if self.leader and self._nspawn.poll() is None:
            os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self._nspawn.wait(timeout=60 if self.leader else 0.1)
        except subprocess.TimeoutExpired:
            if self.leader:
                os.kill(self.leader, signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait(timeout=60)
        for group in self._groups:
            _remove_group(group)


def _remove_group(group: Path) -> None:
    """Empty control groups, the inner ones first; processes that are just ending are waited for."""
    until = time.monotonic() + 5
    while group.exists():
        try:
            for inner, _, _ in os.walk(group, topdown=False):
                Path(inner).rmdir()
        except OSError:
            if time.monotonic() > until:
                return
            time.sleep(0.05)
