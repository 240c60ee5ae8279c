"""What a malicious server can do to a connection: each trick by its name, in `MALICE`."""

import random
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from support.malicious_server import HANDSHAKE, Trick, Visit, welcome_with
from support.proxy import CHILDREN2, GET, MULTI_READ, PING, SYNC, Request
from zkexec.zookeeper.jute import ConnectResponse, FrameWriter, MultiHeader, ReplyHeader
from zkexec.zookeeper.requests import Get, MultiRead
from zookeeper import wire_server

_INT = struct.Struct("!i")
_TWO_INTS = struct.Struct("!ii")
HUGE = 2**31 - 1
MUCH = 100_000_000
"""As many bytes as a server sends of what it has announced."""
SOME = 1_000_000
LARGE = 255 * 1024 * 1024
_CONTENT_CHANGED = 3
_SESSION_EXPIRED, _AUTH_FAILED, _UNKNOWN_ERROR = -112, -115, -9999
_FAR_ZXID = 2**63 - 1

Answer = Callable[[Request], bytes]
"""Makes what a request is answered with."""


# Before the handshake is over.


def drop(_visit: Visit) -> None:
    """Hang up at once."""


def silence(visit: Visit) -> None:
    """Accept and do nothing, not even read."""
    visit.idle()


def garbage(visit: Visit) -> None:
    """Send what means nothing."""
    visit.send(random.Random(1).randbytes(65536))
    visit.stay()


def another_protocol(visit: Visit) -> None:
    """Answer as a web server does, and hang up."""
    visit.receive()
    visit.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def hang_up_unanswered(visit: Visit) -> None:
    """Take the handshake and hang up."""
    visit.receive()


def hang_up_greeted(visit: Visit) -> None:
    """Answer the handshake and hang up."""
    visit.greet()


def half_a_handshake(visit: Visit) -> None:
    """Send the beginning of the answer to the handshake, and nothing else."""
    visit.receive()
    visit.send(wire_server.welcome(ConnectResponse(10_000, 1, bytes(16)))[:11])
    visit.stay()


def huge_handshake(visit: Visit) -> None:
    """Announce 2 GB as the answer to the handshake, and send them."""
    visit.receive()
    visit.send(_INT.pack(HUGE))
    visit.flood(bytes(4096), MUCH)


def greeting(**changes: Any) -> Trick:
    """Answer the handshake with some fields changed, and nothing after it."""

    def play(visit: Visit) -> None:
        visit.greet(**changes)
        visit.stay()

    return play


def another_session(visit: Visit) -> None:
    """Continue another session than the one that the client has."""
    visit.greet(session=0xBAD)
    visit.stay()


def greet_in_plain_text(visit: Visit) -> None:
    """Send the answer to a handshake that the client has not sent in this form."""
    visit.send(wire_server.welcome(ConnectResponse(10_000, 1, bytes(16))))
    visit.stay()


def short_session(visit: Visit) -> None:
    """Be a good server that grants a session timeout of 1 ms."""

    def deliver(visit: Visit, request: Request, frame: bytes) -> None:
        visit.send(welcome_with(frame, timeout_ms=1) if request is HANDSHAKE else frame)

    visit.pass_on(deliver)


# After the handshake.


def answering(answer: Answer) -> Trick:
    """Answer each request but a ping with these bytes."""

    def play(visit: Visit) -> None:
        visit.greet()
        for request in visit.requests():
            visit.send(answer(request))

    return play


def error(code: int) -> Trick:
    """Answer each request with this error code."""
    return answering(lambda request: wire_server.refusal(request.xid, code))


def wrong_number(request: Request) -> bytes:
    """Answer another request."""
    return wire_server.refusal(request.xid + 1, 0)


def half_an_answer(visit: Visit) -> None:
    """Begin an answer, and send nothing more."""
    visit.greet()
    visit.send(wire_server.refusal(next(visit.requests()).xid, 0)[:-5])
    visit.stay()


def huge_answer(visit: Visit) -> None:
    """Announce 2 GB as an answer, and send them."""
    visit.greet()
    next(visit.requests())
    visit.send(_INT.pack(HUGE))
    visit.flood(bytes(4096), MUCH)


def answer_before_request(visit: Visit) -> None:
    """Answer what the client has not sent yet, together with the handshake."""
    visit.greet(behind=wire_server.refusal(1, 0))
    visit.stay()


def answer_to_nothing(visit: Visit) -> None:
    """Answer a request that the client never sends."""
    visit.greet(behind=wire_server.refusal(4711, 0))
    visit.stay()


def endless_answers(visit: Visit) -> None:
    """Answer the first request, and without an end those that may follow."""
    visit.greet()
    xid = next(visit.requests()).xid
    while True:
        answers = [wire_server.refusal(number, 0) for number in range(xid, xid + 1000)]
        visit.send(b"".join(answers))
        xid += 1000


def far_zxid(visit: Visit) -> None:
    """Name the last possible transaction in a right answer, and hang up."""
    visit.greet()
    visit.send(wire_server.refusal(next(visit.requests()).xid, 0, _FAR_ZXID))


def flood(content: bytes) -> Trick:
    """Answer the handshake, and send the same without an end."""

    def play(visit: Visit) -> None:
        visit.greet()
        visit.flood(content, SOME)

    return play


def pings_only(visit: Visit) -> None:
    """Answer pings, and nothing else."""
    visit.greet()
    for _ in visit.requests():
        pass


# Between a good server and the client.


def is_trial(request: Request) -> bool:
    """Return whether it is the empty multi-read by which a client tries what the server knows."""
    return request.opcode == MULTI_READ and len(request.body) == _LENGTH_OF_END


def all_but(opcodes: set[int], play: Callable[[Visit, Request, bytes], None]) -> Trick:
    """Be a good server, except for the answers to these operations."""

    def deliver(visit: Visit, request: Request, frame: bytes) -> None:
        if request.opcode in opcodes and not is_trial(request):
            play(visit, request, frame)
        else:
            visit.send(frame)

    return lambda visit: visit.pass_on(deliver)


_LENGTH_OF_END = 9
"""The bytes of the header that ends a multi-read."""
READS = {GET, MULTI_READ, CHILDREN2}


def mute_but(opcodes: set[int]) -> Trick:
    """Be a server that answers the handshake and these operations, and nothing else."""

    def deliver(visit: Visit, request: Request, frame: bytes) -> None:
        if request is HANDSHAKE or request.opcode in opcodes or is_trial(request):
            visit.send(frame)

    return lambda visit: visit.pass_on(deliver)


def trickle_large_answer(visit: Visit, request: Request, _frame: bytes) -> None:
    """Announce as much as may be expected, and send that byte by byte."""
    header = FrameWriter()
    ReplyHeader(request.xid, 1, 0).write_to(header)
    visit.send(_INT.pack(LARGE) + header.content)
    visit.trickle(b"\0")


def endless_list(visit: Visit, request: Request, _frame: bytes) -> None:
    """Answer with the largest count that there is, or with a buffer of that length."""
    body = FrameWriter()
    ReplyHeader(request.xid, 1, 0).write_to(body)
    if request.opcode == MULTI_READ:
        MultiHeader(4, is_end=False, error=0).write_to(body)
    body.write_int(HUGE)
    body.content += bytes(1000)
    visit.send(body.framed())


def endless_results(visit: Visit, request: Request, _frame: bytes) -> None:
    """Answer a multi-read with more results than it has paths."""
    body = FrameWriter()
    ReplyHeader(request.xid, 1, 0).write_to(body)
    for _ in range(1_000):
        MultiHeader(-1, is_end=False, error=-101).write_to(body)
        body.write_int(-101)
    visit.send(body.framed())


def wrong_answer(visit: Visit, request: Request, frame: bytes) -> None:
    """Give the right answer under another number."""
    xid = _INT.pack(request.xid ^ 0x100)
    visit.send(frame[:4] + xid + frame[8:])


def events_between_answers(visit: Visit) -> None:
    """Be a good server that reports each change of what was read a thousand times."""

    def deliver(visit: Visit, request: Request, frame: bytes) -> None:
        visit.send(frame)
        events = [wire_server.event(_CONTENT_CHANGED, path) for path in _paths(request)]
        visit.send(b"".join(events) * 1000)

    visit.pass_on(deliver)


def _paths(request: Request) -> Sequence[str]:
    """Name the znodes whose contents a request reads."""
    if request.opcode not in (GET, MULTI_READ):
        return ()
    header = _TWO_INTS.pack(request.xid, request.opcode)
    _, read = wire_server.read_request(header + request.body)
    if isinstance(read, MultiRead):
        return read.paths
    return (read.path,) if isinstance(read, Get) else ()


def flipping(seed: int, *kept: bytes) -> Trick:
    """Be a good server, but flip a bit in every second answer, outside the contents that are kept.

    No client can notice a flip in a content: the protocol has no checksum.
    """
    chance = random.Random(seed)

    def deliver(visit: Visit, _request: Request, frame: bytes) -> None:
        flipped = chance.random() < 0.5
        visit.send(flip_a_bit(frame, kept, chance) if flipped else frame)

    return lambda visit: visit.pass_on(deliver)


def flip_a_bit(frame: bytes, kept: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Flip one bit of a frame, outside these contents and their lengths."""
    free = set(range(len(frame)))
    for content in kept:
        for found in re.finditer(re.escape(content), frame):
            free -= set(range(found.start() - _INT.size, found.end()))
    changed = bytearray(frame)
    changed[chance.choice(sorted(free))] ^= 1 << chance.randrange(8)
    return bytes(changed)


_PING_ANSWER = wire_server.refusal(-2, 0, zxid=0)
_UNKNOWN_EVENT = wire_server.event(_CONTENT_CHANGED, "/unknown")


def pings_between_answers(visit: Visit) -> None:
    """Be a good server that answers each request with a flood of answers to pings as well."""

    def deliver(visit: Visit, request: Request, frame: bytes) -> None:
        visit.send(frame)
        if request.opcode not in (SYNC, PING):
            visit.send(_PING_ANSWER * 5000)

    visit.pass_on(deliver)


@dataclass(frozen=True)
class Malice:
    """A trick, and a pattern of the reason by which a client reports it.

    Without a reason the connection lasts, as far as a client can know.
    """

    trick: Trick
    reason: str = ""


_MUTE = "does not answer the handshake"
_UNANSWERED = "does not answer a request"
_NOT_OURS = "does not speak ZooKeeper's protocol: "
_TOO_LARGE = rf"{_NOT_OURS}a frame of {HUGE:,} bytes"
_EXPIRED = "session (has )?expired"
_SLOW = "less than 1,000 bytes of an answer a second"
_DROPPED = "instead of answering"

MALICE: dict[str, Malice] = {
    # Before the handshake is over.
    "drop": Malice(drop, _DROPPED),
    "silence": Malice(silence, _MUTE),
    "garbage": Malice(garbage, _NOT_OURS),
    "another protocol": Malice(another_protocol, _NOT_OURS),
    "hang-up before the handshake": Malice(hang_up_unanswered, _DROPPED),
    "hang-up after the handshake": Malice(hang_up_greeted, _DROPPED),
    "half a handshake": Malice(half_a_handshake, _MUTE),
    "huge handshake": Malice(huge_handshake, _TOO_LARGE),
    "session timeout 0": Malice(greeting(timeout_ms=0), _EXPIRED),
    "session timeout -1": Malice(greeting(timeout_ms=-1), _EXPIRED),
    "session timeout -2^31": Malice(greeting(timeout_ms=-(2**31)), _EXPIRED),
    "session timeout 1 ms": Malice(short_session, "grants a session timeout of 1 ms"),
    "another session": Malice(another_session, "continues another session"),
    "read-only": Malice(greeting(read_only=True), "read-only"),
    # After the handshake.
    "session timeout 2^31-1": Malice(greeting(timeout_ms=HUGE), _UNANSWERED),
    "pings only": Malice(pings_only, _UNANSWERED),
    "half an answer": Malice(half_an_answer, _UNANSWERED),
    "huge answer": Malice(huge_answer, _TOO_LARGE),
    "negative length": Malice(
        answering(lambda _: _INT.pack(-(2**31))), rf"{_NOT_OURS}a frame of -2,147,483,648 bytes"
    ),
    "empty answer": Malice(answering(lambda _: _INT.pack(0)), _NOT_OURS),
    "wrong number": Malice(answering(wrong_number), rf"{_NOT_OURS}an answer \d+, but \d+ is due"),
    "answer before the request": Malice(answer_before_request, f"{_NOT_OURS}an answer 1"),
    "answer to nothing": Malice(answer_to_nothing, f"{_NOT_OURS}an answer 4711"),
    "endless answers": Malice(endless_answers, _NOT_OURS),
    "a far transaction": Malice(far_zxid, _DROPPED),
    "flood of events": Malice(flood(_UNKNOWN_EVENT), _UNANSWERED),
    "flood of ping answers": Malice(flood(_PING_ANSWER), _UNANSWERED),
    "error unknown": Malice(error(_UNKNOWN_ERROR), "error -9999"),
    "error session expired": Malice(error(_SESSION_EXPIRED), "SessionExpired"),
    "error identity": Malice(error(_AUTH_FAILED), "demands an identity"),
    # Between a good server and the client.
    "answers to pings alone": Malice(mute_but({SYNC, PING}), "has answered only pings for"),
    "nothing after the first answer": Malice(mute_but({SYNC}), "no answer from"),
    "endless list": Malice(all_but(READS, endless_list), _NOT_OURS),
    "endless results": Malice(all_but({MULTI_READ}, endless_results), _NOT_OURS),
    "right answers, wrong numbers": Malice(all_but(READS, wrong_answer), _NOT_OURS),
    "large answer, trickled": Malice(all_but({MULTI_READ}, trickle_large_answer), _SLOW),
    "events between the answers": Malice(events_between_answers),
    "ping answers between the answers": Malice(pings_between_answers),
}
