"""Backends that break the contract, each in one way. Imported by workers under test."""

import os
import pathlib
import selectors
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable

Ready = Callable[[], None]


def _accept(listener: socket.socket, conns: int) -> list[socket.socket]:
    return [listener.accept()[0] for _ in range(conns)]


def _echo(socks: list[socket.socket], change: Callable[[int, bytes], bytes]) -> None:
    """Echo until all peers have closed; change(i, data) is what connection i sends back."""
    with selectors.DefaultSelector() as selector:
        for number, sock in enumerate(socks):
            selector.register(sock, selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select():
                sock = socks[key.data]
                try:
                    data = sock.recv(1 << 16)
                    sock.sendall(change(key.data, data))
                except ConnectionError:
                    data = b""
                if not data:
                    selector.unregister(sock)
                    sock.close()


def good(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    _echo(socks, lambda number, data: data)


def raises(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    _accept(listener, conns)
    raise RuntimeError("this backend\nis broken")


def raises_in_mid_run(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    socks[0].recv(1 << 16)
    raise RuntimeError("broken in mid-run")


def tells_where_it_is(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise RuntimeError(f"cpus={sorted(os.sched_getaffinity(0))} files={limits}")


def never_ready(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    _echo(_accept(listener, conns), lambda number, data: data)


def ready_twice(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    _accept(listener, conns)
    ready()
    ready()


def hangs_before_ready(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    listener.accept()
    threading.Event().wait()


def hangs_at_end(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    good(listener, conns, msize, ready)
    threading.Event().wait()


def exits(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    _accept(listener, conns)
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(3)


def dies_after_some_echoes(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /
) -> None:
    socks = _accept(listener, conns)
    ready()
    left = iter(range(300))

    def change(number: int, data: bytes) -> bytes:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return data

    _echo(socks, change)


def stops_listening_then_exits(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /
) -> None:
    listener.close()
    threading.Event().wait(0.2)  # the load server has complained by then
    os._exit(4)


def segfaults(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    _accept(listener, conns)
    ready()
    os.kill(os.getpid(), signal.SIGSEGV)


def corrupts_one(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    _echo(socks, lambda number, data: data[::-1] if number == 0 else data)


def corrupts_all(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    _echo(socks, lambda number, data: data[::-1])


def corrupts_all_but_one(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    _echo(socks, lambda number, data: data[::-1] if number else data)


def closes_two(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    for sock in socks[:2]:
        sock.recv(1 << 16)
        sock.close()
    _echo(socks[2:], lambda number, data: data)


def swallows(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    socks = _accept(listener, conns)
    ready()
    _echo(socks, lambda number, data: b"")


def swallows_in_second_loop(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /
) -> None:
    serve = swallows if threading.current_thread().name == "loop 2" else good
    serve(listener, conns, msize, ready)


def leaves_threads(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    threading.Thread(target=threading.Event().wait).start()
    good(listener, conns, msize, ready)


def echoes_in_a_child(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    """The child leaves the session, and when all is over burns on for ever, deaf to SIGTERM."""
    socks = _accept(listener, conns)
    if (child := os.fork()) == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _echo(socks, lambda number, data: data)
        while True:
            pass
    for sock in socks:
        sock.close()
    print(f"child {child}", flush=True)
    ready()
    threading.Event().wait(0.6)


def ends_the_first_of_many(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /
) -> None:
    """The one that came first is closed before any has said anything."""
    first, *socks = _accept(listener, conns)
    first.close()
    ready()
    _echo(socks, lambda number, data: data)


def hoards(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    """300 KiB for each connection when it comes, 200 KiB more with its first message."""
    socks = _accept(listener, conns)
    first = [bytearray(b"x") * (300 << 10) for _ in socks]
    then: dict[int, bytearray] = {}

    def echo(number: int, data: bytes) -> bytes:
        if number not in then:
            then[number] = bytearray(b"x") * (200 << 10)
        return data

    ready()
    _echo(socks, echo)
    threading.Event().wait(0.3)  # on a busy machine the driver looks late
    del first


def comes_late(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    """The first worker, or every one, has an echo when the window is over."""
    socks = _accept(listener, conns)
    ready()
    mark = pathlib.Path(os.environ["MARK"])
    if not mark.exists():
        threading.Event().wait(0.8)
        if os.environ["SLOW"] == "once":
            mark.touch()
    _echo(socks, lambda number, data: data)


def runs_a_busy_program(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    """It stays in the session, and knows nothing of pybench."""
    import subprocess
    import sys

    subprocess.Popen([sys.executable, "-c", "while True: 'badbackends:runs_a_busy_program'"])
    ready()
    _echo(_accept(listener, conns), lambda number, data: data)


def hangs_with_a_child(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    echoes_in_a_child(listener, conns, msize, ready)
    threading.Event().wait()


def ignores_tls(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /, *, tls: object = None
) -> None:
    """Takes a context for TLS, and echoes what comes as it is."""
    good(listener, conns, msize, ready)


def insists_on_tls(listener: socket.socket, conns: int, msize: int, ready: Ready, /) -> None:
    """Speaks TLS unasked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    socks = _accept(listener, conns)
    ready()
    for sock in socks:
        context.wrap_socket(sock, server_side=True)
