"""aiofastnet on uvloop: libuv's loop waits, and compiled transports above it read and write."""

import aiofastnet
import uvloop

new_event_loop = aiofastnet.loop_factory(uvloop.new_event_loop)
