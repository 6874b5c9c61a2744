"""A runtime and generations that follow each other, as a worker makes them."""

from __future__ import annotations

import asyncio

from posthouse.adapt import adapt
from posthouse.config.delta import apply_delta, make_delta
from posthouse.config.specs import Config
from posthouse.server.generation import Generation, build, rebuild
from posthouse.server.runtime import Runtime
from unit.server.fakes import Remembering


class Succession:
    """Generations of one worker: `serve` each text in the place of the one before."""

    def __init__(self, log: Remembering) -> None:
        self.log = log
        self.loop = asyncio.new_event_loop()
        self.runtime = Runtime(self.loop, log)
        self.config = Config(())
        self.now = build(self.config, self.runtime, None)

    def prepare(self, text: str) -> Generation:
        """What a text becomes; it does not serve yet."""
        new = adapt(text, "Caddyfile", env={}).config
        self.prepared = apply_delta(self.config, make_delta(self.config, new))
        return self.loop.run_until_complete(rebuild(self.prepared, self.runtime, self.now))

    def serve(self, text: str) -> Generation:
        """It serves."""
        made, before = self.prepare(text), self.now
        made.start()
        before.retire(made)
        self.config, self.now = self.prepared, made
        return made

    def close(self) -> None:
        self.runtime.close()
        left = asyncio.all_tasks(self.loop)  # dials of checks, which may not have had a turn yet
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()
