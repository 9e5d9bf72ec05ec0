"""One line, one request at a time, without transaction ids: which reply surely belongs to which request.

Pure: bytes and times come in, bytes and results go out, so that every order of events can be tried in virtual time.

- A frame answers a request only if check sum, unit, function, length (and of a write the place) fit. Other whole frames
  are strays and dropped; bytes that are no frame spoil what follows until the line was silent. Neither ends a wait.
- A unit that owes replies is asked nothing until a *check* showed that they are over: a request whose reply cannot be
  that of another. A unit answers in order, so all that it was asked before is over then. One that leaves the check
  unanswered too is barred until its replies can no longer come.
- Where a reply might be another's all the same (the unit sent what nobody asked for, it sent just these bytes in answer
  to another request, more bytes came behind it), a check follows the reply: it is taken only if nothing comes between.
- Where an adapter repeats what it sends, that echo is told from the answer by asking first what cannot repeat itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.errors import BadReply, DriverError, ReplyTimeout, Unproven
from scowl_edge.drivers.modbus.owed import Account, OwedReplies
from scowl_edge.drivers.modbus.pdu import describe, refusal
from scowl_edge.drivers.modbus.rtu import (
    CHECKS,
    EVENT_COUNTER,
    EXCEPTION_STATUS,
    READS,
    RETURN_QUERY,
    answers,
    crc16,
    frame,
    repeats_itself,
    reply_length,
    shape,
)
from scowl_edge.drivers.modbus.rtu_request import Check, Phase, Request
from scowl_edge.drivers.modbus.wire import Done

RESYNC_MS = 50.0
"""Silence after which bytes that came to nothing are dropped. USB adapters hand on bytes up to 16 ms late, so it is far
longer than the line's own frame gap."""
_EARLY_S = 1e-4
"""A timer may ring a hair early."""


def gap_ms(link: ModbusLink) -> float:
    """Silence kept before each frame: of a serial line; a converter keeps its own."""
    return link.serial.frame_gap_ms if link.serial is not None else 0.0


def turn_ms(link: ModbusLink, timeout_ms: float) -> float:
    """Longest time from `start` on an idle line to `done`: two time-outs of the unit, and silences."""
    return 2 * timeout_ms + 3 * gap_ms(link) + 2 * RESYNC_MS


class RtuLine:
    """The state of one connection. All times are seconds of one clock; `wake` wants to be called at `wake_s`."""

    def __init__(
        self,
        owed: OwedReplies,
        *,
        gap_s: float,
        resync_s: float,
        nonce: int,
        send: Callable[[bytes], None],
        unread: Callable[[], bool],
        on_stray: Callable[[], None],
        on_bad: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        """Args:
        owed: What the link's units owe, from earlier connections too.
        gap_s: Silence before each frame.
        resync_s: Silence that ends bytes which came to nothing.
        nonce: Number of the first check.
        send: Takes a frame to send.
        unread: Whether bytes have arrived that `received` was not told of.
        on_stray: Called for each whole frame that answers nothing.
        on_bad: Called for bytes that are no frame.
        on_broken: Called when the connection cannot be trusted: it must be closed and opened anew.
        """
        self.wake_s = math.inf
        """When `wake` is due; infinite: never."""
        self._owed = owed
        self._gap_s, self._resync_s = gap_s, resync_s
        self._send, self._unread = send, unread
        self._on_stray, self._on_bad, self._on_broken = on_stray, on_bad, on_broken
        self._nonce = nonce
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._finished: list[tuple[Done, bytes | DriverError]] = []
        self._broken = False
        self._buffer = bytearray()
        self._noise = False
        self._heard_s = -math.inf
        self._echoes: bool | None = None
        """Whether the adapter repeats what is sent; None: not known yet."""

    # -- what happens

    def start(self, now_s: float, unit: int, pdu: bytes, timeout_s: float, done: Done) -> None:
        """Takes a request; those before it are finished first. `done` is never called from here."""
        self._waiting.append(Request(unit, pdu, timeout_s, done))
        if self._current is None:
            self._next(now_s)

    def received(self, now_s: float, data: bytes) -> None:
        """Takes bytes from the line."""
        if self._buffer or self._noise:
            self._end_noise(now_s)
        self._heard_s = now_s
        if not self._noise:
            self._buffer += data
            self._cut(now_s)
        request = self._current
        if request is not None and request.phase is Phase.ASK and request.candidate is not None:
            self._weigh(now_s, request, request.candidate)
        self._settle(now_s)

    def wake(self, now_s: float) -> None:
        """Does what is due by now."""
        request = self._current
        if request is not None and now_s + _EARLY_S >= self.wake_s:
            if request.phase is Phase.BARRED:
                self._refuse(now_s, request)
            elif request.sent:
                self._overdue(now_s, request)
            else:
                self._try_to_send(now_s, request)
        self._settle(now_s)

    def lost(self, now_s: float, error: DriverError) -> list[tuple[Done, DriverError]]:
        """The connection is gone: what was under way, to be failed with `error`. Its reply is owed all the same."""
        request, self._current = self._current, None
        if request is not None:
            account = self._note_owed(now_s, request)
            if request.phase is Phase.AFTER:
                # What came may have been another's: then its own is owed still.
                account.given_up(request.pdu, now_s + request.timeout_s + self._owed.late_s)
            self._waiting.appendleft(request)
        failed: list[tuple[Done, DriverError]] = [(waiting.done, error) for waiting in self._waiting]
        self._waiting.clear()
        self.wake_s = math.inf
        return failed

    # -- one request after the other

    def _settle(self, now_s: float) -> None:
        """Hands on what is finished, and begins the next."""
        while True:
            finished, self._finished = self._finished, []
            for done, result in finished:
                done(result)
            if self._broken:
                self._broken = False
                self._on_broken()
            if self._current is None and self._waiting:
                self._next(now_s)
            if not self._finished:
                return

    def _next(self, now_s: float) -> None:
        request = self._current = self._waiting.popleft()
        request.over_s = now_s + 2 * request.timeout_s + 3 * self._gap_s + 2 * self._resync_s
        request.quiet_by_s = now_s + request.timeout_s
        account = self._owed.of(request.unit)
        if account.owes(now_s) and account.ignores_checks and self._owed.canary(request.unit) is None:
            # A check would bring nothing but a time-out, or worse: some units lose count of what they do not know.
            account.barred_until_s = account.owes_until_s
        if account.owes(now_s) and account.barred_until_s > now_s:
            request.phase = Phase.BARRED
            self.wake_s = now_s
        elif account.owes(now_s) or (self._echoes is None and repeats_itself(request.pdu)):
            self._enter(now_s, request, Phase.BEFORE)
        else:
            self._enter(now_s, request, Phase.ASK)

    def _enter(self, now_s: float, request: Request, phase: Phase) -> None:
        request.phase, request.sent = phase, b""
        request.check = None if phase is Phase.ASK else self._choose(now_s, request)
        self._try_to_send(now_s, request)

    def _choose(self, now_s: float, request: Request) -> Check:
        """The check that surely differs from all that may still come."""
        account = self._owed.of(request.unit)
        if self._echoes is None:
            # Its reply never looks like its request, so an echo shows.
            return Check(bytes((EXCEPTION_STATUS,)))
        canary = self._owed.canary(request.unit)
        if canary is not None and self._may_use_canary(now_s, request, account):
            others = {shape(request.pdu)} if request.phase is Phase.AFTER else set()
            if all(shape(canary[0]).differs(other) for other in account.shapes | others):
                return Check(*canary)
        if account.refuses_query:
            # Each time another function, so that the refusal of the last check cannot pass for that of this one.
            account.turn += 1
            return Check(_CHECKS_IN_TURN[account.turn % len(_CHECKS_IN_TURN)])
        self._nonce = (self._nonce + 1) & 0xFFFF
        return Check(bytes((RETURN_QUERY, 0, 0)) + self._nonce.to_bytes(2))

    def _may_use_canary(self, now_s: float, request: Request, account: Account) -> bool:
        """A canary carries no number: of two replies that are right, the second may be a copy of the first."""
        if request.suspect or account.doubted_until_s > now_s or (account.owes(now_s) and account.anything):
            return False
        return request.phase is Phase.AFTER or account.knows_no_number

    def _try_to_send(self, now_s: float, request: Request) -> None:
        dirty = bool(self._buffer) or self._noise
        ready_s = self._heard_s + (self._resync_s if dirty else self._gap_s)
        if now_s + _EARLY_S < ready_s or self._unread():
            limit_s = request.over_s if request.candidate is not None else request.quiet_by_s
            if now_s + _EARLY_S < limit_s:
                self.wake_s = min(max(ready_s, now_s + 0.001), limit_s)
            else:
                self._fail(request, BadReply("the line is never silent; who else sends?", sent=bool(request.candidate)))
            return
        self._discard()
        request.sent = frame(request.unit, request.check.pdu if request.check else request.pdu)
        request.echo_due, request.spoiled = True, False
        request.deadline_s = self.wake_s = min(now_s + request.timeout_s, request.over_s)
        request.full_wait = request.deadline_s >= now_s + request.timeout_s - _EARLY_S
        if request.phase is Phase.BEFORE:
            # The time to find the line quiet counts once.
            request.quiet_by_s = request.over_s - request.timeout_s
        self._send(request.sent)

    def _finish(self, request: Request, result: bytes | DriverError) -> None:
        self._current = None
        self.wake_s = math.inf
        self._finished.append((request.done, result))

    def _fail(self, request: Request, error: DriverError) -> None:
        self._finish(request, error)

    # -- waiting in vain

    def _refuse(self, now_s: float, request: Request) -> None:
        wait_ms = (self._owed.of(request.unit).barred_until_s - now_s) * 1000
        why = "it left a request and the check after it unanswered, so the next reply may be a late one"
        self._fail(request, Unproven(f"not sent: {why}; asked again in {max(wait_ms, 0):.0f} ms", sent=False))

    def _note_owed(self, now_s: float, request: Request) -> Account:
        """What is out and unanswered is owed."""
        account = self._owed.of(request.unit)
        if request.sent:
            until_s = max(request.deadline_s, now_s) + self._owed.late_s
            account.given_up(request.check.pdu if request.check else request.pdu, until_s)
        return account

    def _overdue(self, now_s: float, request: Request) -> None:
        """A phase waited long enough."""
        owed_before = self._owed.of(request.unit).owes(now_s)
        account = self._note_owed(now_s, request)
        silence = f"no reply within {request.timeout_s * 1000:g} ms"
        if request.phase is Phase.ASK:
            what = BadReply(f"{silence}, but {request.heard}") if request.heard else ReplyTimeout(silence)
            self._fail(request, what)
        elif request.phase is Phase.BEFORE:
            if owed_before:
                account.barred_until_s = account.owes_until_s
            account.checks_unanswered += 1
            text = f"{silence} to the check that earlier replies are over; the request was not sent"
            self._fail(request, ReplyTimeout(text, sent=False))
        else:
            self._confirmed_by_silence(now_s, request, account)

    def _confirmed_by_silence(self, now_s: float, request: Request, account: Account) -> None:
        """A whole time-out without a word after a reply: were it another's, its own would have come by now.

        That holds for a unit that knows no check; one that does is merely late with all its answers.
        """
        assert request.check is not None
        if request.check.canary is None:
            account.checks_unanswered += 1
        sure = not request.suspect and not request.conflict and request.full_wait
        if account.checks_answered or request.check.canary or not sure:
            account.anything = True
            self._doubt(now_s, request, account, "no check showed which")
            return
        account.found_in_order(now_s)
        self._take(now_s, request, account)

    # -- bytes to frames

    def _end_noise(self, now_s: float) -> None:
        if now_s - self._heard_s >= self._resync_s:
            self._discard()

    def _discard(self) -> None:
        if self._buffer:
            self._on_bad()
            if self._current is not None:
                self._current.spoiled = True
        self._buffer.clear()
        self._noise = False

    def _spoil(self) -> None:
        """These bytes are no frame: where the next begins only silence tells."""
        self._buffer.clear()
        self._noise = True
        self._on_bad()
        self._disturbed()
        if self._current is not None and self._current.sent:
            self._current.spoiled = True
            self._current.heard = (
                "bytes came that are no whole frame; are baud rate and parity right, is the line sound?"
            )

    def _cut(self, now_s: float) -> None:
        buffer = self._buffer
        while buffer:
            request = self._current
            if request is not None and request.echo_due and self._may_echo(request):
                sent = request.sent
                if buffer.startswith(sent):
                    del buffer[: len(sent)]
                    request.echo_due, self._echoes = False, True
                    continue
                if sent.startswith(buffer):
                    return
            length = reply_length(buffer)
            if length < 0:
                self._spoil()
                return
            if not length or len(buffer) < length:
                return
            if crc16(memoryview(buffer)[:length]):
                self._spoil()
                return
            unit, pdu = buffer[0], bytes(buffer[1 : length - 2])
            del buffer[:length]
            self._take_frame(now_s, unit, pdu)

    def _may_echo(self, request: Request) -> bool:
        """Whether the own frame, if it comes back, is an echo and not the answer."""
        return bool(request.sent) and (self._echoes is not False or not repeats_itself(request.sent[1:-2]))

    def _take_frame(self, now_s: float, unit: int, pdu: bytes) -> None:
        request = self._current
        if request is None or unit != request.unit or (not request.sent and request.candidate is None):
            self._stray(now_s, unit, pdu)
            return
        if self._echoes and request.echo_due and request.sent and request.candidate is None:
            # On such a line the own request comes back first.
            self._stray(now_s, unit, pdu)
            return
        if request.phase is Phase.BEFORE:
            self._checked_before(now_s, request, pdu)
        elif request.candidate is None:
            if answers(request.pdu, pdu):
                request.candidate = pdu
                self._learn_echo(request, pdu)
            else:
                self._stray(now_s, unit, pdu)
                if pdu[0] & 0x7F not in CHECKS:
                    request.heard = f"a reply to something else came: function {pdu[0]}, {len(pdu)} bytes long"
        elif request.phase is Phase.AFTER and request.sent and self._is_answer(now_s, request, pdu):
            self._checked_after(now_s, request, pdu)
        elif pdu == request.candidate:
            self._on_stray()
            self._owed.repeated(unit, now_s)
        else:
            self._stray(now_s, unit, pdu)
            request.conflict = request.conflict or pdu[0] & 0x7F not in CHECKS

    def _learn_echo(self, request: Request, pdu: bytes) -> None:
        differs = frame(request.unit, pdu) != request.sent
        # An echo may have been spoiled rather than missing.
        if self._echoes is None and request.echo_due and differs and not request.spoiled:
            self._echoes = False

    def _stray(self, now_s: float, unit: int, pdu: bytes) -> None:
        self._on_stray()
        self._owed.stray(unit, pdu, now_s)
        self._disturbed()

    def _disturbed(self) -> None:
        """Something came before the answer to a check: a reply that another request had as well may be that one again,
        and this its own, garbled."""
        request = self._current
        if request is not None and request.phase is Phase.AFTER and request.suspect:
            request.conflict = True

    # -- is it the one?

    def _weigh(self, now_s: float, request: Request, candidate: bytes) -> None:
        """A reply came that fits: taken at once, or only after a check."""
        account = self._owed.of(request.unit)
        if request.conflict:
            self._doubt(now_s, request, account, "two came")
            return
        doubted = bool(self._buffer) or self._noise or account.doubted_until_s > now_s
        since_s = now_s - request.timeout_s - self._owed.late_s
        known = not request.asked_again and account.seen_before(request.pdu, candidate, since_s)
        if doubted and known:
            # Even alone before the answer to a check it may be the other's: its own may have been lost.
            self._doubt(now_s, request, account, "another request had just these bytes, and the unit repeats")
        elif (
            doubted
            or account.due(now_s)
            or (known and not account.ignores_checks)
            or self._owed.canary(request.unit) is not None
        ):
            request.suspect = known
            self._enter(now_s, request, Phase.AFTER)
        else:
            self._take(now_s, request, account)

    def _take(self, now_s: float, request: Request, account: Account) -> None:
        reply = request.candidate
        assert reply is not None
        account.remember(request.pdu, reply, now_s)
        self._finish(request, refusal(reply[1]) if reply[0] & 0x80 else reply)

    def _doubt(self, now_s: float, request: Request, account: Account, why: str) -> None:
        """A reply came and is not believed; another may come for it."""
        account.given_up(request.pdu, now_s + request.timeout_s + self._owed.late_s)
        assert request.candidate is not None
        account.remember_stray(request.candidate, now_s)
        came = "a reply came of which it is not sure that it answers this request"
        self._fail(request, Unproven(f"{came}: {why}"))

    def _is_answer(self, now_s: float, request: Request, pdu: bytes) -> bool:
        """Whether a frame surely answers the check that is out."""
        check = request.check
        assert check is not None
        if not answers(check.pdu, pdu):
            return False
        if check.canary is not None:
            if len(pdu) > 2:
                return True
            others = {other.function for other in self._owed.of(request.unit).shapes} | {request.pdu[0]}
            return pdu[0] & 0x7F not in others
        account = self._owed.of(request.unit)
        if pdu[0] == RETURN_QUERY | 0x80:
            account.refuses_query = True
        # Only its number tells the answer from that to an earlier check.
        return pdu == check.pdu or account.check_owed_until_s <= now_s

    def _checked_before(self, now_s: float, request: Request, pdu: bytes) -> None:
        if not self._is_answer(now_s, request, pdu):
            self._stray(now_s, request.unit, pdu)
            return
        self._learn_echo(request, pdu)
        if self._wrong_canary(now_s, request, pdu):
            return
        account = self._owed.of(request.unit)
        account.proven(now_s, by_canary=request.check is not None and request.check.canary is not None)
        self._enter(now_s, request, Phase.ASK)

    def _checked_after(self, now_s: float, request: Request, pdu: bytes) -> None:
        if self._wrong_canary(now_s, request, pdu):
            return
        account = self._owed.of(request.unit)
        account.proven(now_s, by_canary=request.check is not None and request.check.canary is not None)
        if request.conflict:
            self._doubt(now_s, request, account, "two came")
        elif request.suspect and request.candidate is not None and request.candidate[0] in READS:
            # Its own may have been lost and this be the other's, said twice. Now that nothing is owed: once more. Never
            # a write, whose reply does not say what was written (FC 16) and may be just that of the last one.
            request.suspect, request.asked_again, request.candidate = False, True, None
            self._enter(now_s, request, Phase.ASK)
        else:
            self._take(now_s, request, account)

    def _wrong_canary(self, now_s: float, request: Request, pdu: bytes) -> bool:
        """The register whose value is known has another: no reply of this unit can be trusted now."""
        check = request.check
        assert check is not None
        if check.canary is None or (len(pdu) == 4 and int.from_bytes(pdu[2:]) == check.canary.equals):
            return False
        sent = request.phase is Phase.AFTER
        canary = f"canary ({describe(request.unit, check.pdu)})"
        if len(pdu) == 2:
            self._fail(request, BadReply(f"its {canary} was refused: {refusal(pdu[1])}", sent=sent))
            return True
        account = self._owed.of(request.unit)
        account.given_up(check.pdu, now_s + self._owed.late_s)
        account.anything = True
        account.barred_until_s = account.owes_until_s
        brought = f"brought {int.from_bytes(pdu[2:])} instead of {check.canary.equals}; the connection is reopened"
        self._broken = True
        self._fail(request, BadReply(f"its {canary} {brought}", sent=sent))
        return True


_CHECKS_IN_TURN = (bytes((EXCEPTION_STATUS,)), bytes((EVENT_COUNTER,)), bytes((RETURN_QUERY, 0, 0, 0, 0)))
