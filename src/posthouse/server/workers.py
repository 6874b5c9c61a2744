"""Workers: the processes that serve. Started together, asked together, replaced one by one.

Laws
- A change reaches all of them or none: it is prepared everywhere before it is committed anywhere.
- A place in the group (a slot) whose worker died or hung gets a new one, which inherits the place's sockets; what it
  does not do is end the group, unless nobody is left who serves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from posthouse.config.delta import Delta, whole
from posthouse.errors import ConfigError, StartError
from posthouse.observe.process_log import ProcessLog
from posthouse.server.backoff import MOST_SECONDS
from posthouse.server.bindings import Bindings, Bound, close
from posthouse.server.channel import MOST_DESCRIPTORS
from posthouse.server.child import Child, Gone
from posthouse.server.control import (
    Abandon,
    Abort,
    Commit,
    Ended,
    LogMoved,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Reopened,
    ReopenLogs,
    Serving,
    Sockets,
    Stop,
    Stopping,
    pieces,
)
from posthouse.server.heartbeat import BIRTH_SECONDS, Heartbeat, Verdict, period_of
from posthouse.server.moved_logs import MovedLogs
from posthouse.server.sharing import Sharing
from posthouse.server.slot import Slot, hand_down, tended
from posthouse.server.sockets import ListenKey
from posthouse.server.tasks import Tasks
from posthouse.server.verdicts import ended, judge, obituary

MOST_STILLBORN: Final = 3
"""Workers in a row that ended before they served. With nobody else serving, that is the end."""
STOPPING_SECONDS: Final = 1.0
"""How long the log line about stopping waits for the counts of the workers."""
FAREWELL_SECONDS: Final = 4.0
"""From a worker's last word to its end: it writes its logs, which waits 2 s for slow readers."""
OVERTIME_SECONDS: Final = 5.0
"""After the grace, a worker that has not ended is killed."""

Start = Callable[[int, Callable[[Child, object], None]], Awaitable[Child]]
"""A new worker for a slot, and who hears what it says. Raises StartError."""


class Workers:
    """on_lost     told in one line that nobody serves any more and nobody will
    on_changed  asked what to do when nobody serves because the files on disk are another version's; False: nothing
    on_message  told what a worker says that concerns others than us
    on_death    told that the worker of a slot is dead, another one will come
    heartbeat   seconds; 0 = none
    """

    def __init__(
        self, start: Start, bindings: Bindings, log: ProcessLog, count: int, heartbeat: float
    ) -> None:
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_changed: Callable[[], bool] = lambda: False
        self.on_message: Callable[[Child, object], None] = lambda child, message: None
        self.on_death: Callable[[int], None] = lambda slot: None
        self.is_stopping = False
        self._start = start
        self._bindings = bindings
        self._log = log
        self._limit = heartbeat
        self._slots = [Slot(number) for number in range(count)]
        self._serving: Prepare | None = None
        self._changing = asyncio.Lock()
        self._may_start = asyncio.Event()
        self._may_start.set()
        self._tasks = Tasks()
        self._moved_logs = MovedLogs(self.children)
        self._sharing = Sharing(count, self.children)

    def __repr__(self) -> str:
        return f"<Workers {[slot.child for slot in self._slots]}>"

    def __len__(self) -> int:
        return len(self._slots)

    def children(self) -> list[Child]:
        """Those that run, whether they serve or not."""
        return [slot.child for slot in self._slots if slot.child is not None and not slot.child.ended.done()]

    @property
    def in_flight(self) -> int:
        """Exchanges that ran when the workers last told."""
        return sum(child.in_flight for child in self.children())

    # --- start

    async def start(self) -> None:
        """Start a process for each slot. Raises StartError."""
        if self._limit:
            self._tasks.spawn(self._beat())
        self._sharing.start()
        for slot in self._slots:
            await self._give_birth(slot)

    async def first(self, prepare: Prepare) -> None:
        """Have all that were started build the first configuration. Raises ConfigError or StartError."""
        self._sharing.prepare(prepare.number, whole(prepare.wanted, None))
        await asyncio.gather(*(self._prepare_first(slot, prepare) for slot in self._slots))

    async def _prepare_first(self, slot: Slot, prepare: Prepare) -> None:
        while True:
            child = slot.child
            assert child is not None
            try:
                return judge(await child.ask(prepare, Prepared, Refused))
            except Gone:
                code = await child.end()
                if self.is_stopping:  # by us: another one has found a mistake, or a signal came
                    return
                slot.stillborn += 1
                if slot.stillborn >= MOST_STILLBORN:
                    raise StartError(obituary(child, code, MOST_STILLBORN)) from None
                self._log.error(
                    "worker ended at its start", worker=slot.number, pid=child.pid, ended=ended(code)
                )
                await self._give_birth(slot)

    async def _give_birth(self, slot: Slot) -> Child:
        slot.child = await self._start(slot.number, self._hear)
        self._sharing.welcome(slot.child)
        slot.heartbeat = None
        if self._limit:
            slot.heartbeat = Heartbeat(max(BIRTH_SECONDS, self._limit), period_of(self._limit))
        return slot.child

    # --- changes

    @contextlib.asynccontextmanager
    async def change(self) -> Any:
        """Nobody else changes what is served, and no worker comes into service, for as long as this is held."""
        async with self._changing:
            yield

    async def prepare(self, prepare: Prepare) -> None:
        """Have all that serve build a configuration. Raises ConfigError or StartError, and then nobody has it."""
        before = self._serving.wanted if self._serving is not None else None
        self._sharing.prepare(prepare.number, whole(prepare.wanted, before))
        serving = [child for child in self.children() if child.is_serving]
        if not serving:
            raise StartError("no worker serves at the moment")
        if isinstance(prepare.wanted, Delta):
            ahead, rest = pieces(prepare.wanted)
            prepare = replace(prepare, wanted=rest)
            for child in serving:
                child.send_all(ahead)
        asked = (child.ask(prepare, Prepared, Refused) for child in serving)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        try:
            for answer in answers:
                judge(answer)
        except BaseException as error:
            self.abandon(prepare)
            if isinstance(error, Gone):
                raise StartError("a worker ended while it built the new configuration") from None
            raise

    def abandon(self, prepare: Prepare) -> None:
        """Drop what was prepared."""
        for child in self.children():
            child.send(Abandon(prepare.number))

    async def commit(self, prepare: Prepare, fresh: Bound, gone: Bound) -> None:
        """Serve what was prepared: from here on nothing can fail. `gone` are closed, their queues served first."""
        is_first = self._serving is None
        self._serving = prepare
        ready = [
            (slot, slot.child)
            for slot in self._slots
            if slot.child is not None and (slot.child.is_serving or is_first)
        ]
        self.hand_down(gone)
        close(gone)  # the workers' own copies are the last ones, so that emptying a queue is the end of it
        serving = [(slot, self._commit(child, prepare, fresh)) for slot, child in ready]
        for slot, one in serving:
            with contextlib.suppress(Gone):  # its replacement will serve what we serve
                await one
            if is_first:
                self._tasks.spawn(self._keep(slot))

    def _commit(self, child: Child, prepare: Prepare, keys: Iterable[ListenKey]) -> Awaitable[Serving]:
        ours = list(self._bindings.of(child.slot, keys).items())
        for first in range(0, len(ours), MOST_DESCRIPTORS):
            some = ours[first : first + MOST_DESCRIPTORS]
            child.send(Sockets(tuple(key for key, _ in some)), [one.fileno() for _, one in some])
        if not child.is_serving:
            self._sharing.brief(child)
        waiting = child.expect(Serving)
        child.send(Commit(prepare.number))
        return waiting

    def hand_down(self, bound: Bound) -> None:
        """Have somebody serve who waits at those of these sockets whose slot has nobody."""
        heirs = self._heirs()
        hand_down(bound, heirs, {slot.number for slot in self._slots} - {child.slot for child in heirs})

    def _heirs(self) -> list[Child]:
        return [child for child in self.children() if child.is_serving]

    # --- replacement

    def hold(self) -> None:
        """Start no worker until `resume`: an upgrade may be putting other files in the place of ours."""
        self._may_start.clear()

    def resume(self) -> None:
        """Replace again who ended."""
        self._may_start.set()

    async def _keep(self, slot: Slot) -> None:
        """See to it that the slot has a worker that serves, until we stop."""
        while True:
            child = slot.child
            assert child is not None
            code = await child.end()
            self._sharing.bury(slot.number)
            if self.is_stopping:
                return
            if self._is_hopeless(slot, child):
                self.on_lost(obituary(child, code, slot.stillborn))
                return
            delay = self._mourn(slot, child, code)
            with tended(slot.number, self._bindings.all, self._heirs):
                await self._replace(slot, delay)

    async def _replace(self, slot: Slot, delay: float) -> None:
        await asyncio.sleep(delay)
        await self._may_start.wait()
        slot.stillborn += 1
        try:
            child = await self._give_birth(slot)
            await self._bring_up(child)
        except Gone:
            pass
        except (ConfigError, StartError) as error:
            self._log.error("worker not started", worker=slot.number, reason=str(error))
            if slot.child is not None:
                slot.child.kill()
        else:
            slot.stillborn = 0
            self._log.info("worker replaced", worker=slot.number, pid=child.pid)

    def _is_hopeless(self, slot: Slot, child: Child) -> bool:
        """Whether nobody serves, and the next one would not either."""
        if any(one.is_serving for one in self.children()):
            return False
        return not self.on_changed() if child.other else slot.stillborn >= MOST_STILLBORN

    def _mourn(self, slot: Slot, child: Child, code: int) -> float:
        """Tell that it ended; seconds until the next one."""
        self._moved_logs.forget(child)
        self.on_death(slot.number)
        delay = slot.backoff.after_death(asyncio.get_running_loop().time())
        if child.other:  # the next one would be as well: files are not put back within seconds
            delay = MOST_SECONDS
        self._log.error(
            "worker ended",
            worker=slot.number,
            pid=child.pid,
            ended=child.trouble or ended(code),
            cut=child.in_flight,
            next=f"{delay:g}s",
        )
        if child.other:
            self._log.error("another version is installed, upgrade with SIGUSR2", installed=child.other)
        return delay

    async def _bring_up(self, child: Child) -> None:
        """Have a new worker serve what the others do. Raises Gone, ConfigError, StartError."""
        async with self._changing:
            serving = self._serving
            assert serving is not None
            judge(await child.ask(serving, Prepared, Refused))
            await self._commit(child, serving, self._bindings.of(child.slot))

    # --- heartbeat

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(period_of(self._limit))
            for slot in self._slots:
                if slot.child is not None and slot.heartbeat is not None and not slot.child.ended.done():
                    self._look(slot, slot.child, slot.heartbeat)

    def _look(self, slot: Slot, child: Child, heartbeat: Heartbeat) -> None:
        if child.channel.is_greeted and heartbeat.limit != self._limit:
            heartbeat = slot.heartbeat = Heartbeat(self._limit, period_of(self._limit))
        verdict = heartbeat.look()
        if verdict is Verdict.HUNG:
            slot.heartbeat = None
            self._log.error(
                "worker hung, killed", worker=slot.number, pid=child.pid, silent=f"{heartbeat.limit:g}s"
            )
            child.kill()
        elif verdict is Verdict.ASK and child.channel.is_greeted:
            child.send(Ping())

    def _hear(self, child: Child, message: object) -> None:
        match message:
            case Pong():
                child.in_flight = message.in_flight
                heartbeat = self._slots[child.slot].heartbeat
                if heartbeat is not None:
                    heartbeat.answered()
            case Serving():
                child.is_serving = True
            case _ if self._sharing.hear(child, message):
                pass
            case LogMoved() | Reopened():
                self._moved_logs.hear(child, message)
            case _:
                self.on_message(child, message)

    # --- logs

    def reopen_logs(self, descriptors: Sequence[int]) -> None:
        """Have everybody open the files of all logs again; the process log is open at this descriptor."""
        for child in self.children():
            child.send(ReopenLogs(), descriptors)

    # --- end

    async def stop(self, cause: str, tell: Callable[[int], None], grace: float) -> int:
        """Drain all; how many exchanges were cut. `tell` is told how many run."""
        self.is_stopping = True
        children = self.children()
        gone = self._bindings.leave(())
        self.hand_down(gone)
        close(gone)
        ends = [child.expect(Ended) for child in children]
        counts = [asyncio.ensure_future(child.ask(Stop(cause), Stopping)) for child in children]
        if counts:
            await asyncio.wait(counts, timeout=STOPPING_SECONDS)
        for child, count in zip(children, counts, strict=True):
            if count.done() and count.exception() is None:
                child.in_flight = count.result().in_flight
        tell(self.in_flight)
        return await self._ends(children, ends, grace + OVERTIME_SECONDS)

    async def abort(self, patience: float) -> int:
        """End all at once; how many exchanges were cut."""
        self.is_stopping = True
        children = self.children()
        ends = [child.expect(Ended) for child in children]
        for child in children:
            child.send(Abort())
        return await self._ends(children, ends, patience)

    async def _ends(
        self, children: Sequence[Child], ends: Sequence[asyncio.Future[Ended]], patience: float
    ) -> int:
        """Wait for them; who takes longer is killed, and what it last told is what was cut."""
        if ends:
            await asyncio.wait(ends, timeout=patience)
        cut = 0
        for child, end in zip(children, ends, strict=True):
            if end.done() and end.exception() is None:
                cut += end.result().cut
            else:
                cut += child.in_flight
                child.kill()
        await self.bury()
        return cut

    async def bury(self) -> None:
        """Nobody is left: who still runs is killed."""
        self.is_stopping = True
        self._tasks.cancel()
        children = self.children()
        for child in children:
            if not child.is_serving:  # it has nothing to lose
                child.kill()
        if children:
            await asyncio.wait([child.ended for child in children], timeout=FAREWELL_SECONDS)
        for child in self.children():
            child.kill()
        await asyncio.gather(*(child.end() for child in children))
        self._sharing.close()
