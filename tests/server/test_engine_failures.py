"""An engine whose system calls fail: the test ends with an error that names the call."""

import ctypes
import errno
import resource
import struct
import subprocess

import pytest

from tests.support.wire import Peer, load_server, server_program

SETUP, ENTER, REGISTER = 425, 426, 427  # io_uring_*: the same numbers on every architecture
ENABLE_RINGS, REGISTER_PBUF_RING = 12, 22

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def failing(call, error, operation=None):
    """For preexec_fn: the system call fails from now on, or that operation (2nd argument) of it."""
    steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 3 if operation else 1, call)]
    if operation:
        steps += [(LOAD, 0, 0, 24), (EQUAL, 0, 1, operation)]
    steps += [(RETURN, 0, 0, FAIL | error), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)

    def forbid():
        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

        libc = ctypes.CDLL(None, use_errno=True)
        program = Program(len(steps), code)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            PR_SET_SECCOMP, 2, ctypes.byref(program)
        ):
            raise OSError(ctypes.get_errno(), "seccomp")

    return forbid


@pytest.fixture(scope="module")
def uring():
    done = subprocess.run(
        [server_program(), "--engine", "uring", "--version"], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(done.stderr.strip())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("conns", [10, 5000])  # more than the submission queue has room for
@pytest.mark.parametrize(
    ("call", "operation", "name"),
    [(REGISTER, ENABLE_RINGS, "io_uring_register"), (ENTER, None, "io_uring_enter")],
)
def test_a_failing_ring_ends_the_test(uring, call, operation, name, conns, threads):
    forbid = failing(call, errno.ENOMEM, operation)
    with (
        load_server("--engine", "uring", preexec_fn=forbid) as server,
        Peer(backlog=4096) as peer,
    ):
        answer = server.run(peer.port, conns=conns, threads=threads, runtime_ms=60_000)
        assert answer[-1].startswith(f"error code=internal call={name} "), answer
        assert "Cannot allocate memory" in answer[-1]
        # and the server serves on
        assert server.run(peer.port, engine="epoll", conns=2).verbs[-1] == "end"


def lower(limit):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_too_few_open_files_show_before_ready(engine, request):
    """Whatever the number that is missing: all is up and can be pinged, or none is."""
    if engine == "uring":
        request.getfixturevalue("uring")
    limit, told = 32, set()
    with load_server("--engine", engine, preexec_fn=lower(limit)) as server:
        for conns in range(8, limit + 4):
            with Peer() as peer:
                answer = server.run(peer.port, conns=conns, threads=2, warmup_ms=0, runtime_ms=20)
            assert answer[-1] == "end" or len(answer) == 1, answer
            if answer[-1] != "end":
                assert "code=no_files" in answer[0]
                assert "ulimit -n" in answer[0]
            told.add(answer[-1] == "end")
    assert told == {True, False}


def test_a_ring_without_memory_is_not_a_kernel_without_rings(uring):
    done = subprocess.run(
        [server_program(), "--engine", "uring", "--version"],
        capture_output=True,
        text=True,
        preexec_fn=failing(SETUP, errno.ENOMEM),
    )
    assert done.returncode != 0
    assert "ulimit -l" in done.stderr


def test_a_ring_without_memory_for_its_buffers_names_the_limit(uring):
    """The first, empty one that is tried at start-up was small enough."""
    forbid = failing(REGISTER, errno.ENOMEM, REGISTER_PBUF_RING)
    with load_server("--engine", "uring", preexec_fn=forbid) as server, Peer() as peer:
        error = server.run(peer.port).words("error")
    assert error["code"] == "internal"
    assert "ulimit -l" in error["msg"] and "engine uring" in error["msg"]
