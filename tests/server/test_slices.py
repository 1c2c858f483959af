"""The series of a window: slices of it, and marks at their ends. By slice_ms of a request."""

from tests.support.wire import Answer, Peer, ServerProcess


def lines(answer: Answer, verb: str) -> list[dict[str, int]]:
    """The words of every line with that verb."""
    found = [line.split()[1:] for line in answer if line.split(" ", 1)[0] == verb]
    return [{k: int(v) for k, v in (word.split("=") for word in words)} for words in found]


def marks(answer: Answer) -> list[int]:
    return [words["t_ns"] for words in lines(answer, "mark")]


def test_slices_are_the_window_cut_into_pieces(server: ServerProcess, peer: Peer):
    answer = server.run(peer.port, threads=2, warmup_ms=50, runtime_ms=250, slice_ms=100)
    slices = lines(answer, "slice")
    assert [one["n"] for one in slices] == [1, 2, 3]
    assert sum(one["messages"] for one in slices) == answer.count("messages") > 0
    assert sum(one["latency_sum_ns"] for one in slices) == answer.count("latency_sum_ns")
    assert max(one["latency_max_ns"] for one in slices) == answer.count("latency_max_ns")


def test_a_stretch_without_echoes_is_an_empty_slice(server: ServerProcess, peer: Peer):
    """At a rate of ten a second nine slices of ten are empty, and none is left out."""
    answer = server.run(peer.port, conns=1, warmup_ms=0, runtime_ms=400, slice_ms=10, rate=10)
    slices = lines(answer, "slice")
    counts = [one["messages"] for one in slices]
    assert len(slices) == 40 and sum(counts) == answer.count("messages") > 0
    assert counts.count(0) >= 36
    assert all(not one["latency_max_ns"] for one in slices if not one["messages"])


def test_marks_rise_to_the_end_of_the_window(server: ServerProcess, peer: Peer):
    """Of several that passed while the server was late only the last comes; the end always."""
    answer = server.run(peer.port, warmup_ms=20, runtime_ms=130, slice_ms=50)
    told = marks(answer)
    assert told == sorted(set(told))
    assert set(told) <= {0, 50_000_000, 100_000_000, 130_000_000}
    assert told[-1] == 130_000_000
    assert answer.verbs.index("mark") < answer.verbs.index("result")


def test_stop_ends_the_last_slice(server: ServerProcess, peer: Peer):
    with server.client() as client:
        client.request(peer.port, warmup_ms=0, runtime_ms=60_000, slice_ms=100)
        client.await_verb("connected")
        client.send("ready\n")
        while "t_ns=0" in client.await_verb("mark"):
            continue
        client.send("stop\n")
        answer = client.finish()
    window_ns = answer.count("window_ns")
    slices = lines(answer, "slice")
    assert len(slices) == -(-window_ns // 100_000_000)
    assert sum(one["messages"] for one in slices) == answer.count("messages")
    assert marks(answer)[-1] == window_ns


def test_a_window_that_has_not_begun_has_no_slice(server: ServerProcess, peer: Peer):
    with server.client() as client:
        client.request(peer.port, warmup_ms=60_000, runtime_ms=1000, slice_ms=100)
        client.await_verb("connected")
        client.send("ready\nstop\n")
        answer = client.finish()
    assert answer[-1] == "end" and not {"mark", "slice"} & set(answer.verbs)


def test_more_than_a_thousand_slices_are_refused(server: ServerProcess, peer: Peer):
    answer = server.run(peer.port, runtime_ms=1001, slice_ms=1)
    assert answer.words("error")["msg"] == (
        "slice_ms=1: that is more than 1000 slices of a window of 1001 ms"
    )
