"""An echo server to be measured as a program, and the ways in which a program can go wrong.

    python tests/support/programs.py HOW PORT [MARK]

HOW is the name of one of the functions at the end. MARK is for who looks for it among processes.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

BURN_S = 0.2


def echo(listener: socket.socket, on_ping: Callable[[], object] = lambda: None) -> None:
    """Serve for ever."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                elif data := sock.recv(65536):
                    sock.sendall(data)
                    on_ping()
                else:
                    selector.unregister(sock)
                    sock.close()


def listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=1000)


def serves(port: int) -> None:
    echo(listen(port))


def serves_both_families(port: int) -> None:
    echo(socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))


def never_listens(port: int) -> None:
    print("thinking", flush=True)
    time.sleep(60)


def never_accepts(port: int) -> None:
    with listen(port):
        time.sleep(60)


def exits(port: int) -> None:
    print("no licence found", flush=True)
    sys.exit(3)


def becomes_a_daemon(port: int) -> None:
    if os.fork() == 0:
        os.setsid()
        serves(port)
    os._exit(0)


def dies_in_mid_run(port: int) -> None:
    signal.signal(signal.SIGALRM, lambda *args: os.kill(os.getpid(), signal.SIGSEGV))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    serves(port)


def ignores_sigterm(port: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serves(port)


def stops_itself(port: int) -> None:
    """Frozen as soon as pings come: no signal but SIGKILL ends it."""
    with listen(port) as listener:
        sock, _ = listener.accept()
        sock.recv(1)
        os.kill(os.getpid(), signal.SIGSTOP)


def serves_in_a_child(port: int) -> None:
    """As a program does that is a script around another; the child is not told to end."""
    listener = listen(port)
    if os.fork() == 0:
        os.setsid()
        echo(listener)
    signal.signal(signal.SIGTERM, lambda *args: os._exit(0))
    signal.pause()


def burns_in_children(port: int) -> None:
    """Uses CPU in processes that end while the round goes on."""
    listener = listen(port)
    pings, ping = os.pipe()
    if os.fork() == 0:
        os.read(pings, 1)
        burn = f"import time\nwhile time.process_time() < {BURN_S}: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        os._exit(0)
    echo(listener, lambda: os.write(ping, b"!"))


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2].removeprefix("port:")))
