"""What is asked of a backend, one thing after the other: read `SCENARIOS` first.

A scenario is one worker, started for it, with peers of this process in the load server's place. A
hang, a crash or an exit of the backend is so a finding, and never the end of the caller.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pybench.contract.messages import KIB, MIB, message
from pybench.contract.peers import reset
from pybench.contract.plan import Plan
from pybench.contract.promises import CHECKS, NOT_OF_PROGRAMS, Finding, FoundError
from pybench.contract.session import Session
from pybench.contract.tlspeer import TlsPeer


def basics(session: Session) -> None:
    """A backend that fails here cannot be asked for more."""
    session.not_ready_yet()
    with session.check("ready"):
        socks = session.connect(session.conns - 1)
    if socks:
        session.not_ready_yet()
    socks += session.connect_all()
    session.is_quiet(socks)
    with session.check("echo"):
        for _ in range(3):
            session.echoes(socks)
    session.is_quiet(socks)
    session.ends("return")


def returns_with_the_last(session: Session) -> None:
    """Peers close one by one."""
    *first, last = session.connect_all()
    for sock in first:
        sock.close()
    with session.check("return"):
        session.settle()
        session.still_serving()
        session.echoes([last])
    session.ends("return")


def fragments(session: Session) -> None:
    """Messages come in pieces."""
    socks = session.connect_all()
    with session.check("fragments"):
        session.echoes(socks, piece=1, pause_s=0.001)
        session.echoes(socks, size=10 * session.msize, piece=7, pause_s=0.001)
    session.ends("fragments")


def segments(session: Session) -> None:
    """Messages come many at once."""
    socks = session.connect_all()
    with session.check("segments"):
        session.echoes(socks, size=20 * session.msize)
    session.ends("segments")


def large(session: Session) -> None:
    """Messages are large, and then read slowly."""
    [sock] = session.connect_all()
    with session.check("large"):
        session.echoes([sock])
        session.drain(sock, session.push_one(sock), pause_s=0.002)
    session.ends("large")


def slow_reader(session: Session) -> None:
    """One peer reads only after nothing is taken any more; the others ping meanwhile."""
    slow, *others = session.connect_all()
    with session.check("slow-reader"):
        sent = session.jam(slow)
    with session.check("idle", go_on=True):
        session.is_idle()
    with session.check("stall", go_on=True):
        session.echoes(others)
    with session.check("slow-reader"):
        session.drain(slow, sent)
    session.ends("slow-reader")


def half_close(session: Session) -> None:
    """Peers end their sending side and read on, one of them with much to come."""
    brief, other, long = session.connect_all()
    with session.check("half-close"):
        session.echoes([brief], half_close=True)
        session.comes_to_its_end(brief)
        session.echoes([other])
        _half_closes_with_much_to_come(session, long)
    session.ends("half-close")


def _half_closes_with_much_to_come(session: Session, sock: socket.socket) -> None:
    sent = session.fill(sock)
    if sent % session.msize == 0:
        sock.shutdown(socket.SHUT_WR)
        session.settle()  # it can see the end now, and cannot send
    session.drain(sock, sent)
    if sent % session.msize:
        sock.shutdown(socket.SHUT_WR)
    session.comes_to_its_end(sock)


def resets(session: Session) -> None:
    """Idle, with an echo on the way, and jammed."""
    idle, busy, jammed, *others = session.connect_all()
    with session.check("reset"):
        busy.send(message(0, session.msize))
        session.jam(jammed)
        for sock in (idle, busy, jammed):
            reset(sock)
        session.echoes(others)
    session.ends("reset")


def closes_early(session: Session) -> None:
    """Two are gone before the others come."""
    with session.check("early-close"):
        session.connect(1)[0].close()
        reset(session.connect(1)[0])
    socks = session.connect_all("early-close")
    with session.check("early-close"):
        session.echoes(socks)
    session.ends("early-close")


def all_leave_at_once(session: Session) -> None:
    """Nobody stays until ready."""
    with session.check("early-close"):
        for sock in session.connect(session.conns):
            sock.close()
    session.await_ready("early-close")
    session.ends("early-close", all_gone=True)


def large_echo(session: Session) -> None:
    """A message is large."""
    [sock] = session.connect_all()
    with session.check("large"):
        session.echoes([sock])
    session.ends("large")


def brief_half_close(session: Session) -> None:
    """A peer ends its sending side after a message, and reads on."""
    first, other = session.connect_all()
    with session.check("half-close"):
        session.echoes([first], half_close=True)
        session.comes_to_its_end(first)
        session.echoes([other])
    session.ends("half-close")


def ends_without_notice(session: Session) -> None:
    """Peers close their connections and say nothing of it in TLS."""
    socks = session.connect_all()
    with session.check("return"):
        session.echoes(socks)
    for sock in socks:
        if isinstance(sock, TlsPeer):
            sock.notice = False
    session.ends("return")


@dataclass(frozen=True, slots=True)
class Scenario:
    """conns: None for as many as the caller wants.  needed: without it the others make no sense.

    programs: whether it can be asked of a program in any language.
    """

    body: Callable[[Session], None]
    conns: int | None
    msize: int = 64
    needed: bool = False
    programs: bool = True


SCENARIOS = (
    Scenario(basics, 1, needed=True),
    Scenario(basics, None, needed=True),
    Scenario(returns_with_the_last, 5),
    Scenario(fragments, 3),
    Scenario(segments, 2),
    Scenario(large, 1, msize=MIB),
    Scenario(slow_reader, 3, msize=64 * KIB),
    Scenario(half_close, 3, msize=64 * KIB),
    Scenario(resets, 5),
    Scenario(closes_early, 4, programs=False),
    Scenario(all_leave_at_once, 3, programs=False),
)


_OF_ALL: Final = (
    Scenario(basics, 1, needed=True),
    Scenario(basics, None, needed=True),
    Scenario(returns_with_the_last, 5),
    Scenario(fragments, 3),
    Scenario(segments, 2),
    Scenario(large_echo, 1, msize=MIB),
)

BY_TRANSPORT: Final = {
    "tcp": SCENARIOS,
    "unix": (*_OF_ALL, Scenario(brief_half_close, 2)),
    "tls": (*_OF_ALL, Scenario(ends_without_notice, 3)),
}
"""Over what else than TCP it is the library that is asked, less than the code: fewer scenarios. TLS
knows no half of a connection."""

_NOT_OVER: Final = {
    "tcp": (),
    "unix": ("slow-reader", "stall", "reset", "early-close"),
    "tls": ("slow-reader", "stall", "reset", "early-close", "half-close"),
}
"""The checks that they make none of."""


@dataclass(frozen=True, slots=True)
class Report:
    """findings: at most one of each check.  checks: their names, as far as they apply.

    complete: whether all of them were made.  takes_tls: whether the callable has a parameter for
    TLS.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    complete: bool
    takes_tls: bool = field(default=False, compare=False)


def examine(plan: Plan) -> Report:
    """Run every scenario of the plan's transport, or stop after one that the others need."""
    is_program = plan.row.command is not None
    left_out = (*_NOT_OVER[plan.transport], *(NOT_OF_PROGRAMS if is_program else ()))
    checks = tuple(name for name in CHECKS if name not in left_out)
    found: dict[str, Finding] = {}
    complete, takes_tls = True, False
    for scenario in BY_TRANSPORT[plan.transport]:
        if is_program and not scenario.programs:
            continue
        findings, ended_early, said_so = _play(scenario, plan)
        takes_tls = takes_tls or said_so
        for finding in findings:
            found.setdefault(finding.check, finding)
        if ended_early and scenario.needed:
            complete = False
            break
    return Report(
        tuple(found[name] for name in CHECKS if name in found), checks, complete, takes_tls
    )


def play(scenario: Scenario, plan: Plan) -> tuple[list[Finding], bool]:
    """The findings of a scenario, and whether one of them ended it."""
    return _play(scenario, plan)[:2]


def _play(scenario: Scenario, plan: Plan) -> tuple[list[Finding], bool, bool]:
    """The same, and whether the callable takes TLS."""
    conns = plan.conns if scenario.conns is None else scenario.conns
    session = Session(plan, conns, scenario.msize)
    try:
        with session:
            scenario.body(session)
    except FoundError as exc:
        return [*session.findings, exc.finding], True, session.takes_tls
    return session.findings, False, session.takes_tls
