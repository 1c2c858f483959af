"""The token: who has not got it gets nothing, and cannot guess it."""

import concurrent.futures
import os
import subprocess
import time

import pytest

from tests.support.wire import TIMEOUT_S, Peer, load_server, server_program

TOKEN = 's3cret!="\\~'


@pytest.fixture(scope="module")
def guarded():
    with load_server(env={"PYBENCH_TOKEN": TOKEN}) as running:
        yield running


def code_of(server, port: int = 9, **options: object) -> str:
    return server.run(port, conns=1, runtime_ms=50, **options).words("error").get("code", "none")


@pytest.mark.parametrize(
    "token",
    ["guess", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), TOKEN[::-1], "x" * 256],
)
def test_a_wrong_token_is_forbidden_and_takes_its_time(guarded, token):
    began = time.monotonic()
    assert code_of(guarded, token=token) == "forbidden"
    assert time.monotonic() - began >= 0.1


def test_the_right_token(guarded):
    with Peer() as peer:
        assert code_of(guarded, peer.port, token=TOKEN) == "none"


def test_no_token_is_no_guess(guarded):
    assert code_of(guarded) == "forbidden"


def test_guesses_at_once_are_no_faster(guarded):
    """Whoever has the token is served among them, and is not told that the server is busy."""
    began = time.monotonic()
    with Peer() as peer, concurrent.futures.ThreadPoolExecutor(8) as pool:
        guesses = [pool.submit(code_of, guarded, token=f"guess{i}") for i in range(12)]
        time.sleep(0.15)
        assert code_of(guarded, peer.port, token=TOKEN) == "none"
        answers = [guess.result() for guess in guesses]
    assert set(answers) <= {"forbidden", "busy"}  # the second from who came during the real test
    assert time.monotonic() - began >= 0.1 * answers.count("forbidden")


def test_a_guess_that_does_not_wait_for_its_answer_holds_up_the_next(guarded):
    began = time.monotonic()
    for _ in range(5):
        with guarded.client() as client:
            client.request(9, conns=1, token="guess")
    assert code_of(guarded, token="guess") == "forbidden"
    # 0.1 s each; a client that goes before its request is read has made no guess
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("request_words", [{"engine": "warp"}, {"addr": "10.202.77.99"}])
def test_nothing_else_is_looked_at_before_the_token(guarded, request_words):
    error = guarded.run(9, token="guess", **request_words).words("error")
    assert error["code"] == "forbidden"
    assert "PYBENCH_TOKEN" in error["msg"]


@pytest.mark.parametrize(
    "token", ["my secret", " ", "tab\there", "line\n", "caf\u00e9", "\x7f", "x" * 257]
)
def test_a_token_that_could_never_match_is_refused_at_the_start(token):
    done = subprocess.run(
        [server_program(), "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYBENCH_TOKEN": token},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "PYBENCH_TOKEN" in line
    assert token.strip() not in line.replace("PYBENCH_TOKEN", "") or not token.strip()


def test_the_longest_token():
    with load_server(env={"PYBENCH_TOKEN": "x" * 256}) as running, Peer() as peer:
        assert code_of(running, peer.port, token="x" * 256) == "none"


@pytest.mark.parametrize(
    ("listen", "token", "warned"),
    [
        ("0.0.0.0:0", "", True),
        ("[::]:0", "", True),
        ("0.0.0.0:0", "s3cret", False),
        ("127.0.0.1:0", "", False),
        ("127.0.0.7:0", "", False),
        ("[::1]:0", "", False),
    ],
)
def test_listening_beyond_loopback_without_a_token_is_warned_of(listen, token, warned):
    with load_server("--quiet", listen=listen, env={"PYBENCH_TOKEN": token}) as running:
        running.process.terminate()
        assert running.process.wait(TIMEOUT_S) == 0
        said = running.process.stderr.read()
    assert len(said.splitlines()) == warned
    assert ("PYBENCH_TOKEN" in said) == warned
