"""The three asyncio rows, the same code, on uvloop's event loop."""

from functools import partial

import uvloop

from pybench.backends import asyncio_proto, asyncio_sock, asyncio_streams

serve_streams = partial(asyncio_streams.serve, loop_factory=uvloop.new_event_loop)
serve_proto = partial(asyncio_proto.serve, loop_factory=uvloop.new_event_loop)
serve_sock = partial(asyncio_sock.serve, loop_factory=uvloop.new_event_loop)
