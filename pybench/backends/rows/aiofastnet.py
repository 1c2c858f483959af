"""aiofastnet: asyncio's own loop with its transports and servers replaced by compiled ones."""

import aiofastnet

new_event_loop = aiofastnet.loop_factory()
