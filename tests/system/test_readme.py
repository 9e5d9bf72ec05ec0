"""Every command of the README is run here, as a stranger would type it, and answers what the README shows.

A fenced block of kind `console` holds commands (`$ `, continued by `> `) and what they print; `...` is anything. With
`run` behind `console` the command goes on until Ctrl-C, which comes at the next heading. A block `yaml NAME` is
saved as NAME. Nothing is left out: a block of any other kind fails the test.

Ports are the only change: each fixed one is replaced by a free one, in files, commands and the text that is compared,
and PORT by the one that the demo prints.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
THIS_RUN = ("make test", "make lint")
"""Not run from inside a test run: `.ci/run` runs both, and `make test` is what runs this; see the last test."""
LONGEST_S = 120.0


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, or a heading."""

    line: int
    info: str
    """What stands behind the fence; empty for a heading."""
    body: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command and what the README says that it prints."""

    line: int
    text: str
    output: str


def blocks(text: str) -> Iterator[Block]:
    """Headings of the second level and fenced blocks, in order."""
    for found in re.finditer(r"^(?:## .*|```(.*)\n((?:(?!```).*\n)*)```)$", text, re.MULTILINE):
        yield Block(text.count("\n", 0, found.start()) + 1, found[1] or "", found[2] or "")


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    for found in re.finditer(r"^\$ (.*(?:\n> .*)*)\n?((?:(?!\$ ).*\n?)*)", block.body, re.MULTILINE):
        line = block.line + 1 + block.body.count("\n", 0, found.start())
        yield Command(line, found[1].replace("\n> ", "\n"), found[2])


def pattern(output: str) -> re.Pattern[str]:
    """What is shown, as a pattern; `...` is anything, on several lines too where it stands alone."""
    lines = ("(?:.*\n)*" if line == "..." else _line(line) for line in output.splitlines())
    return re.compile("".join(lines))


def _line(line: str) -> str:
    return ".*".join(re.escape(part).replace("PORT", r"\d+") for part in line.split("...")) + " *\n"


class Terminal:
    """A reader's machine: a directory, free ports, and what goes on in other terminals."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports: dict[str, str] = {}
        self.running: list[tuple[Command, subprocess.Popen[bytes], Path]] = []
        self.control_port = "PORT"
        """Of the simulator, once it has printed it."""
        self.settings = ""
        """Lines that change the shell for what follows."""
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTEST"))}
        self.environment["COLUMNS"] = "200"

    def replaced(self, text: str) -> str:
        """The text with a free port for each port."""
        text = re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=\bport: )\d+", lambda found: self._free(found[0]), text)
        return text.replace("PORT", self.control_port)

    def _free(self, port: str) -> str:
        if port not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[port] = str(probe.getsockname()[1])
        return self.ports[port]

    def run(self, command: Command) -> None:
        """Runs a command to its end."""
        if command.text.startswith(". "):
            self.settings += command.text + "\n"
        done = subprocess.run(
            ["sh", "-ec", self.settings + self.replaced(command.text)],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
        shown = f"README line {command.line}: $ {command.text}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, shown
        text = done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"
        assert pattern(self.replaced(command.output)).fullmatch(text), f"{shown}\nbut it shows:\n{command.output}"

    def start(self, command: Command) -> None:
        """Starts a command that stays, and waits until it has printed what is shown."""
        log = self.directory / f"line-{command.line}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"{self.settings}exec {self.replaced(command.text)}"],
                cwd=self.directory, env=self.environment, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.running.append((command, process, log))
        wanted = pattern(self.replaced(command.output))
        deadline = time.monotonic() + LONGEST_S
        while not wanted.match(log.read_text()):
            assert process.poll() is None, f"README line {command.line}: ended with {log.read_text()}"
            assert time.monotonic() < deadline, f"README line {command.line}: printed only {log.read_text()}"
            time.sleep(0.05)
        if told := re.search(r"^simulator's control: \S+:(\d+)$", log.read_text(), re.MULTILINE):
            self.control_port = told[1]

    def interrupt(self) -> None:
        """Ctrl-C in every other terminal, last one first."""
        while self.running:
            command, process, log = self.running.pop()
            os.killpg(process.pid, signal.SIGINT)
            try:
                status = process.wait(LONGEST_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            # A shell and make die of the signal that a daemon takes as an order.
            allowed = (0, -signal.SIGINT, 2, 130) if command.text.startswith("make") else (0,)
            assert status in allowed, f"README line {command.line}: exit status {status} after {log.read_text()}"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A copy of what a reader has after cloning and the first `make`, without a second installation."""
    for name in ("Makefile", "pyproject.toml", "examples", "docs"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy2(source, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (tmp_path / ".venv" / ".installed").touch()
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.interrupt()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed: apt-get install curl")
@pytest.mark.skipif(
    not (Path(sys.prefix) / "bin" / "scowl-edge").exists(), reason="scowl-edge is not installed: run `make test`"
)
def test_every_command_does_what_the_readme_says(terminal: Terminal) -> None:
    ran: list[str] = []
    for block in blocks(README):
        kind = block.info.split()
        if not kind:
            terminal.interrupt()
        elif kind[0] == "yaml":
            (terminal.directory / kind[1]).write_text(terminal.replaced(block.body))
        elif kind[0] == "console":
            for command in commands(block):
                if command.text in THIS_RUN:
                    continue
                if command.text == "make demo":
                    # It reads the installed example, not a file of the reader's: its port is moved by an option.
                    terminal.environment["ARGS"] = terminal.replaced("--http 127.0.0.1:8080")
                    command = Command(command.line, command.text, _without_first_line(command.output))
                (terminal.start if "run" in kind[1:] else terminal.run)(command)
                ran.append(command.text.split()[0])
        else:
            pytest.fail(f"README line {block.line}: a block {block.info!r} is not run by anything")
    terminal.interrupt()
    assert {"make", "curl", "scowl-edge"} <= set(ran)


def _without_first_line(output: str) -> str:
    """Without the line about the installation, which is already done here."""
    first, rest = output.split("\n", 1)
    assert first.startswith("Installing")
    return rest


def test_no_command_hides_in_a_block_without_a_kind() -> None:
    found = list(blocks(README))
    assert README.count("```") == 2 * sum(bool(block.info) for block in found), "a fence is not closed or has no kind"
    fenced = "".join(block.body for block in found if block.info.startswith("console"))
    assert len(re.findall(r"^\$ ", README, re.MULTILINE)) == len(re.findall(r"^\$ ", fenced, re.MULTILINE))
    assert all(line[:1] in "$>" for line in fenced.splitlines() if "scowl-edge " in line[:14]), "a `$ ` is missing"


def test_what_is_left_to_others_is_run_by_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert set(THIS_RUN) <= set(script)
    told = {command.text for block in blocks(README) for command in commands(block)}
    assert set(THIS_RUN) <= told


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_decision_is_in_the_index() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    told = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", index, re.MULTILINE)
    assert [name for _, name, _ in told] == [page.name for page in pages]
    for number, name, _ in told:
        assert (ROOT / "docs" / "decisions" / name).read_text().startswith(f"# {number}: ")
