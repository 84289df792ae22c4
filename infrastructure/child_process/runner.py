"""Runs entries in children of the zygote: the asyncio side. Implements `domain.ports.ChildRunner`."""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import (
    AnalysisKilledError,
    InvalidInputError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
    Vibe8Error,
)
from domain.ports import FollowUp, ProgressListener
from domain.sandbox import Guarantee, SandboxProfile
from domain.text import JSON, one_line
from infrastructure.child_process.supervisor_client import SupervisorClient
from infrastructure.child_process.wire_protocol import (
    ATTACHMENT,
    HEADER,
    MAX_ATTACHMENT_BYTES,
    MAX_PAYLOAD_BYTES,
    MessageKind,
    encode_message,
)
from infrastructure.child_process.zygote_process import ZygoteProcess, launch_zygote
from infrastructure.json_codec import loads
from infrastructure.observability.prometheus_metrics import CHILD_CPU, CHILD_PROCESSES
from infrastructure.sandbox.sandbox import ChildLimits

HEARTBEAT_TIMEOUT_SECONDS = 20.0
"""Less than a lease: the child of a silent worker is gone before anybody else may claim its job."""

HEARTBEAT_SECONDS = 5.0
"""How often a guardian hears that its worker lives; a fraction of its patience."""

KILL_GRACE_SECONDS = 60.0
"""How much longer than its deadline a child may take to be ended, on a machine that is busy."""

MAX_IDLE_SUPERVISORS = 8
"""Kept for the next children: to start a guardian and to end it costs as much as a fifth of a small file's analysis."""

_MAY_BE_RAISED = (InvalidInputError, PermanentError, ServiceUnavailableError, TransientError)
"""What a child can say of a source; that a lease is lost, or that the user has cancelled, is not a child's to say."""

_TOO_MUCH = {
    "deadline": "the analysis took longer than it may (ARQ_JOB_TIMEOUT)",
    "tasks": "the analysis started more processes than it may",
    "memory": "the analysis took more memory than all its processes may together (ANALYSIS_MEMORY_MB)",
    "disk": "the analysis wrote more into scratch than it may (MAX_CLONE_MB)",
}


class ZygoteRunner:
    """Starts the zygote when first needed, and again should it die; keeps guardians that have nothing to do."""

    def __init__(
        self,
        preload: Sequence[str],
        limits: ChildLimits,
        *,
        scratch: Path | None = None,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT_SECONDS,
        zygote: ZygoteProcess | None = None,
        warm_up: str | None = None,
    ) -> None:
        """`preload` names the modules whose import each child would otherwise pay for.

        `scratch` is where the directories of children will be made (None: where temporary files are). A child is ended
        when its supervisor has had no heartbeat for `heartbeat_timeout` seconds. `zygote` has been started already with
        the same preload. `warm_up` is a function (`"module:function"`) that the zygote calls once with `scratch` before
        it starts the first child.
        """
        self.guarantees: tuple[Guarantee, ...] = ()
        """What the sandbox is worth on this machine; empty before the start."""
        self._scratch = scratch or Path(tempfile.gettempdir())
        self._silence = heartbeat_timeout
        self._preload = tuple(preload)
        self._limits = limits
        self._lock = asyncio.Lock()
        self._prestarted = zygote
        self._warm_up = warm_up
        self._zygote: ZygoteProcess | None = None
        self._idle: list[SupervisorClient] = []

    @property
    def pid(self) -> int | None:
        """Of the zygote; None while there is none."""
        return None if self._zygote is None else self._zygote.process.pid

    async def start(self) -> None:
        """Start the zygote and wait until it has imported everything and knows its means (about a second)."""
        async with self._lock:
            if self._zygote is not None and self._zygote.is_alive():
                return
            if self._zygote is not None:
                self._zygote.control.close()
                self._let_go()
            zygote = self._prestarted
            self._prestarted = None
            if zygote is None:
                zygote = await asyncio.to_thread(launch_zygote, self._preload)
            self._zygote = zygote
            control = zygote.control
            control.setblocking(False)  # noqa: FBT003 - the method has no keyword
            control.sendall(
                encode_message(MessageKind.REQUEST, {"scratch": str(self._scratch), "warm_up": self._warm_up})
            )
            self.guarantees = await _ready(control)

    async def run(
        self,
        entry: str,
        request: Mapping[str, JSON],
        *,
        sandbox: SandboxProfile | None,
        deadline: float,
        on_progress: ProgressListener | None = None,
        follow_up: FollowUp | None = None,
    ) -> Mapping[str, JSON]:
        """See `domain.ports.ChildRunner.run`."""
        await self.start()
        order = {
            "deadline": deadline,
            "silence": self._silence,
            "limits": self._limits.to_json(),
            "sandbox": sandbox and sandbox.to_json(),
        }
        message = {
            "entry": entry,
            "request": {key: value for key, value in request.items() if key != ATTACHMENT},
            **({ATTACHMENT: request[ATTACHMENT]} if ATTACHMENT in request else {}),
            "follow_up": follow_up and {"entry": follow_up.entry, "request": follow_up.request},
        }
        what = "+".join(name.rpartition(":")[2] for name in (entry, *([follow_up.entry] if follow_up else [])))
        with CHILD_PROCESSES.labels(what).track_inprogress():
            said, end = await self._lead(order, message, on_progress)
        CHILD_CPU.labels(what).inc(end["cpu"])
        if said is None:
            raise AnalysisKilledError(_explain(end))
        return said

    async def stop(self) -> None:
        """End the zygote; children end with their own leashes."""
        async with self._lock:
            ending = [each for each in (self._zygote, self._prestarted) if each is not None]
            self._zygote = self._prestarted = None
            self._let_go()
            for each in ending:
                await asyncio.to_thread(each.end)

    async def _lead(
        self, order: Mapping[str, JSON], message: Mapping[str, JSON], on_progress: ProgressListener | None
    ) -> tuple[Mapping[str, JSON] | None, Mapping[str, Any]]:
        """What a body says and how it ended; nothing of it is left, however this ends."""
        leash, channel = self._take_supervisor(order)
        try:
            async with asyncio.timeout(order["deadline"] + KILL_GRACE_SECONDS):
                said, end = await _converse(leash, channel, message, on_progress)
        except TimeoutError as error:
            await _to_its_end(leash.give_up())
            raise AnalysisKilledError("the process that watched the analysis does not answer") from error
        except BaseException:
            await _to_its_end(leash.give_up())
            raise
        if self._zygote is not None and len(self._idle) < MAX_IDLE_SUPERVISORS:
            self._idle.append(leash)
        else:
            leash.close()
        return said, end

    def _take_supervisor(self, order: Mapping[str, JSON]) -> tuple[SupervisorClient, socket.socket]:
        """One that has nothing to do, or a new one; its leash, and the channel to the body that it starts."""
        while self._idle:
            leash = self._idle.pop()
            try:
                return leash, leash.start(order)
            except OSError:  # somebody has killed it
                leash.close()
        assert self._zygote is not None  # nosec B101 # noqa: S101 - start() has set it
        try:
            leash = SupervisorClient.for_new_supervisor(self._zygote.control)
            return leash, leash.start(order)
        except OSError as error:
            raise AnalysisKilledError("the process that starts children has gone; it is started again") from error

    def _let_go(self) -> None:
        while self._idle:
            self._idle.pop().close()


async def _ready(control: socket.socket) -> tuple[Guarantee, ...]:
    """Wait for the zygote's first message."""
    length, _ = HEADER.unpack(await _exactly(control, HEADER.size))
    return tuple(Guarantee(**one) for one in loads(await _exactly(control, length)))


async def _exactly(control: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = await asyncio.get_running_loop().sock_recv(control, count - len(received))
        if not piece:
            raise AnalysisKilledError("the process that starts children ended at once; see its error output")
        received += piece
    return received


async def _converse(
    leash: SupervisorClient, channel: socket.socket, message: Mapping[str, JSON], on_progress: ProgressListener | None
) -> tuple[Mapping[str, JSON] | None, Mapping[str, Any]]:
    """Tell the body what to do and hear it out; then its guardian."""
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    alive = asyncio.create_task(_keep_alive(leash, writer))
    try:
        with contextlib.suppress(ConnectionError):  # it has died already; its guardian says of what
            writer.write(encode_message(MessageKind.REQUEST, message))
            await writer.drain()
        said = await _hear_out(reader, on_progress)
        return said, await leash.ended()
    finally:
        alive.cancel()
        writer.close()


async def _keep_alive(leash: SupervisorClient, writer: asyncio.StreamWriter) -> None:
    """Until cancelled, or until there is no guardian to hear it: what a body may still say counts no more."""
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            leash.live()
    writer.transport.abort()


async def _to_its_end(work: Awaitable[None]) -> None:
    """Wait for it, whoever cancels us meanwhile, and how often. Raises CancelledError then."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def _hear_out(reader: asyncio.StreamReader, on_progress: ProgressListener | None) -> Mapping[str, JSON] | None:
    """Its answer, once it has closed its end; that alone does not mean that nothing of it is left running."""
    said: Mapping[str, JSON] | None = None
    while True:
        try:
            kind, body = await _receive(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            return said
        if kind is MessageKind.PROGRESS and on_progress is not None:
            await on_progress(body)
        elif kind is MessageKind.ANSWER:
            said = body
        elif kind is MessageKind.ERROR:
            raise _translate(body)


async def _receive(reader: asyncio.StreamReader) -> tuple[MessageKind, dict[str, Any]]:
    """The next message. The child may have been taken over: what cannot be understood ends it, and nothing else."""
    attached: dict[str, Any] = {}
    try:
        kind, body = await _frame(reader)
        while kind is MessageKind.ATTACHMENT:
            attached = {ATTACHMENT: body}
            kind, body = await _frame(reader)
        # A big answer takes a while to parse; the event loop has heartbeats to keep.
        message = await asyncio.to_thread(loads, body) if len(body) > 1 << 16 else loads(body or b"null")
    except (ValueError, RecursionError) as error:
        raise AnalysisKilledError("the analysis process sent what cannot be understood") from error
    if not isinstance(message, dict) or ATTACHMENT in message:
        raise AnalysisKilledError("the analysis process sent what cannot be understood")
    return kind, message | attached


async def _frame(reader: asyncio.StreamReader) -> tuple[MessageKind, bytes]:
    length, number = HEADER.unpack(await reader.readexactly(HEADER.size))
    kind = MessageKind(number)
    if length > (MAX_ATTACHMENT_BYTES if kind is MessageKind.ATTACHMENT else MAX_PAYLOAD_BYTES):
        raise AnalysisKilledError("the analysis process sent more than is sane")
    return kind, await reader.readexactly(length)


def _translate(body: Mapping[str, Any]) -> Vibe8Error:
    message = one_line(str(body.get("message")))
    for kind in _MAY_BE_RAISED:
        if body.get("type") == kind.__name__:
            return kind(message)
    return AnalysisKilledError(f"the analysis process failed: {message}")


def _explain(end: Mapping[str, Any]) -> str:
    why, code = end["why"], int(end["code"])
    if why in _TOO_MUCH:
        return _TOO_MUCH[why]
    if code >= 0:
        return f"the analysis process ended with exit code {code} and no answer"
    if code == -signal.SIGKILL:
        return "the analysis process was killed, most likely for its memory (ANALYSIS_MEMORY_MB)"
    if code == -signal.SIGXCPU:
        return "the analysis process used more CPU time than it may (ARQ_JOB_TIMEOUT)"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the analysis process crashed ({name})"
