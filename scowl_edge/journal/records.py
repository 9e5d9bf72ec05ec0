"""The records of the journal: what each kind holds, how it is written and read."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

from scowl_edge.contracts import Record
from scowl_edge.journal.columns import Columns, NotColumns
from scowl_edge.model.codec import CodecError, decode, digest, encode
from scowl_edge.model.command import CommandId
from scowl_edge.model.effect import Effect, Inputs, Plan
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import JournalGap
from scowl_edge.model.exchange import Answered, Code

T = TypeVar("T")

BOOT = "boot"
SNAPSHOT = "snapshot"
INPUTS = "inputs"
PLAN = "plan"
SENDING = "sending"
GAP = "gap"
ANSWERED = "answered"
KINDS = frozenset({BOOT, SNAPSHOT, INPUTS, PLAN, SENDING, GAP, ANSWERED})

_DIGEST_LENGTH = 16
_PEER = struct.Struct(">BH")
_ANSWER = struct.Struct(">16s8sqB")
"""Id, digest, stamp, and the length of what was said if it was not OK."""


class JournalError(ScowlError):
    """A journal cannot be opened or read; the text says which file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecord:
    """One start of the daemon."""

    version: str
    seed: int
    """Of all random draws until the next boot."""
    boot: int
    """Counted from 1 at the first start on this journal."""
    mono_ms: int
    """Monotonic clock at the start: with `utc_ms` it relates this boot's stamps to the next one's."""
    utc_ms: int
    utc_ok: bool
    config: str
    """The whole text of the configuration."""
    fingerprint: str
    """Digest of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """What a step decided, as far as a replay compares it."""

    step: int
    effects: tuple[Effect, ...]
    wake_at_ms: int
    digests: tuple[tuple[str, str], ...]
    final: bool

    @classmethod
    def of(cls, plan: Plan) -> PlanRecord:
        """The part of a plan that is kept."""
        return cls(
            step=plan.step,
            effects=plan.effects,
            wake_at_ms=plan.wake_at_ms,
            digests=plan.digests,
            final=plan.final,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingRecord:
    """The bytes of a command to a stored register or a pulse are about to leave."""

    command: CommandId


def boot_record(boot: BootRecord, step: int) -> Record:
    """The first record of every start; `step` is the last step known before it, 0 on an empty journal."""
    return Record(boot=boot.boot, step=step, kind=BOOT, payload=encode(boot))


def snapshot_record(boot: int, step: int, state: bytes) -> Record:
    """The core's state after `step`, with its own checksum in front."""
    return Record(boot=boot, step=step, kind=SNAPSHOT, payload=digest(state).encode() + state)


def inputs_record(boot: int, inputs: Inputs) -> Record:
    """What a step is about to see."""
    return Record(boot=boot, step=inputs.tick.step, kind=INPUTS, payload=Columns.of(inputs).join())


def plan_record(boot: int, plan: Plan) -> Record:
    """What a step decided."""
    return Record(boot=boot, step=plan.step, kind=PLAN, payload=encode(PlanRecord.of(plan)))


def sending_record(boot: int, step: int, command: CommandId) -> Record:
    """A stored register or a pulse is about to be written."""
    return Record(boot=boot, step=step, kind=SENDING, payload=encode(SendingRecord(command=command)))


def gap_record(boot: int, gap: JournalGap) -> Record:
    """Steps that are missing, or that were acted upon before they were durable."""
    return Record(boot=boot, step=gap.last_step, kind=GAP, payload=encode(gap))


def answered_record(boot: int, step: int, answered: Sequence[Answered]) -> Record:
    """Which messages of peers a step answered for good; durable before the answers leave. 33 bytes a message."""
    parts: list[bytes] = []
    for peer, group in groupby(sorted(answered, key=attrgetter("peer")), attrgetter("peer")):
        name, of_peer = peer.encode(), list(group)
        parts += [_PEER.pack(len(name), len(of_peer)), name]
        for one in of_peer:
            said = b"" if one.code is None else f"{one.code} {one.detail}".encode()[:255]
            parts += [_ANSWER.pack(UUID(one.message_id).bytes, one.digest, one.ts_ms, len(said)), said]
    return Record(boot=boot, step=step, kind=ANSWERED, payload=b"".join(parts))


def read_answered(record: Record) -> Iterator[Answered]:
    """In the order of `answered_record`, which is kept for each peer.

    Raises:
        JournalError: The payload is not one.
    """
    data, at = record.payload, 0
    try:
        while at < len(data):
            length, count = _PEER.unpack_from(data, at)
            at += _PEER.size
            peer, at = data[at : at + length].decode(), at + length
            for _ in range(count):
                message_id, digested, ts_ms, said = _ANSWER.unpack_from(data, at)
                at += _ANSWER.size
                code, _, detail = data[at : at + said].decode(errors="ignore").partition(" ")
                at += said
                yield Answered(
                    peer=peer,
                    message_id=str(UUID(bytes=message_id)),
                    digest=digested,
                    ts_ms=ts_ms,
                    code=Code(code) if code else None,
                    detail=detail,
                )
    except (struct.error, ValueError) as error:
        raise _unreadable(record, error) from error


def read_boot(record: Record) -> BootRecord:
    """Raises JournalError where the payload is not one."""
    return _read(BootRecord, record)


def read_inputs(record: Record) -> Inputs:
    """Raises JournalError where the payload is not one."""
    try:
        return Columns.parse(record.payload).inputs()
    except (NotColumns, CodecError) as error:
        raise _unreadable(record, error) from error


def read_plan(record: Record) -> PlanRecord:
    """Raises JournalError where the payload is not one."""
    return _read(PlanRecord, record)


def read_sending(record: Record) -> SendingRecord:
    """Raises JournalError where the payload is not one."""
    return _read(SendingRecord, record)


def read_gap(record: Record) -> JournalGap:
    """Raises JournalError where the payload is not one."""
    return _read(JournalGap, record)


def read_snapshot(record: Record) -> bytes:
    """The core's state.

    Raises:
        JournalError: The checksum in front does not fit the state.
    """
    expected, state = record.payload[:_DIGEST_LENGTH], record.payload[_DIGEST_LENGTH:]
    if digest(state).encode() != expected:
        raise JournalError(
            f"the snapshot after step {record.step} (boot {record.boot}) is damaged: its checksum does not fit; "
            "the one before it is used instead, if there is one"
        )
    return state


def _read(kind: type[T], record: Record) -> T:
    try:
        return decode(kind, record.payload)
    except CodecError as error:
        raise _unreadable(record, error) from error


def _unreadable(record: Record, error: Exception) -> JournalError:
    return JournalError(
        f"the {record.kind} record of step {record.step} (boot {record.boot}) cannot be read: {error}; "
        "it is damaged or another version wrote it: use that version, or move the journal away"
    )
