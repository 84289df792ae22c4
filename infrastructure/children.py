"""Runs entries in children of the zygote: the asyncio side. Implements `domain.ports.ChildRunner`."""

import asyncio
import contextlib
import math
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
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
from domain.ports import ProgressListener, Sequel
from domain.sandbox import Guarantee, SandboxProfile
from domain.text import JSON, one_line
from infrastructure.frames import ATTACHMENT, HEADER, MAX_ATTACHMENT, MAX_BODY, Kind, encode
from infrastructure.json_text import loads
from infrastructure.metrics import CHILD_CPU, CHILDREN
from infrastructure.sandbox import ChildLimits
from infrastructure.zygote_process import ZygoteProcess, launch

SILENCE_SECONDS = 20.0
"""Less than a lease: the child of a silent worker is gone before anybody else may claim its job."""

ALIVE_SECONDS = 5.0
"""How often a child hears that its worker lives; a fraction of the guardian's patience."""

_MAY_BE_RAISED = (InvalidInputError, PermanentError, ServiceUnavailableError, TransientError)
"""What a child can say of a source; that a lease is lost, or that the user has cancelled, is not a child's to say."""

_TOO_MUCH = {
    "deadline": "the analysis took longer than it may (ARQ_JOB_TIMEOUT)",
    "tasks": "the analysis started more processes than it may",
    "memory": "the analysis took more memory than all its processes may together (ANALYSIS_MEMORY_MB)",
    "disk": "the analysis wrote more into scratch than it may (MAX_CLONE_MB)",
}


class ZygoteRunner:
    """Starts the zygote when first needed, and again should it die."""

    def __init__(
        self,
        preload: Sequence[str],
        limits: ChildLimits,
        *,
        scratch: Path | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        launched: ZygoteProcess | None = None,
        prepared: bool = True,
    ) -> None:
        """`preload` names the modules whose import each child would otherwise pay for.

        `scratch` is where the directories of children will be made (None: where temporary files are). A child ends
        itself when it has not heard from this process for `silence_seconds`. `launched` is a zygote with the same
        preload that has been started already. One for a single child need not be `prepared`: that child would wait.
        """
        self.guarantees: tuple[Guarantee, ...] = ()
        """What the sandbox is worth on this machine; empty before the start."""
        self._scratch = scratch or Path(tempfile.gettempdir())
        self._silence = silence_seconds
        self._preload = tuple(preload)
        self._limits = limits
        self._lock = asyncio.Lock()
        self._launched = launched
        self._prepared = prepared
        self._zygote: ZygoteProcess | None = None

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
            launched = self._launched
            self._launched = None
            if launched is None:
                launched = await asyncio.to_thread(launch, self._preload)
            self._zygote = launched
            control = launched.control
            control.setblocking(False)  # noqa: FBT003 - the method has no keyword
            control.sendall(encode(Kind.REQUEST, {"scratch": str(self._scratch), "prepare": self._prepared}))
            self.guarantees = await _ready(control)

    async def run(
        self,
        entry: str,
        request: Mapping[str, JSON],
        *,
        sandbox: SandboxProfile | None,
        deadline: float,
        on_progress: ProgressListener | None = None,
        then: Sequel | None = None,
    ) -> Mapping[str, JSON]:
        """See `domain.ports.ChildRunner.run`."""
        await self.start()
        reader, writer = await self._open()
        what = "+".join(name.rpartition(":")[2] for name in (entry, *([then.entry] if then else [])))
        CHILDREN.labels(what).inc()
        try:
            message = {
                "entry": entry,
                "request": {key: value for key, value in request.items() if key != ATTACHMENT},
                **({ATTACHMENT: request[ATTACHMENT]} if ATTACHMENT in request else {}),
                "deadline": deadline,
                "silence": self._silence,
                "limits": self._limits.to_json(),
                "sandbox": sandbox and sandbox.to_json(),
                "then": then and {"entry": then.entry, "request": then.request},
            }
            writer.write(encode(Kind.REQUEST, message))
            await writer.drain()
            alive = asyncio.create_task(_keep_alive(writer))
            try:
                answer, cpu = await _listen(reader, on_progress)
                CHILD_CPU.labels(what).inc(min(cpu, self._limits.tasks * deadline))
                return answer
            finally:
                alive.cancel()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise AnalysisKilledError("the analysis process ended without an answer") from error
        finally:
            await _abandon(reader, writer)
            CHILDREN.labels(what).dec()

    async def stop(self) -> None:
        """End the zygote; children end with their own sockets."""
        async with self._lock:
            ending = [each for each in (self._zygote, self._launched) if each is not None]
            self._zygote = self._launched = None
            for each in ending:
                await asyncio.to_thread(each.end)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            assert self._zygote is not None  # nosec B101 # noqa: S101 - start() has set it
            socket.send_fds(self._zygote.control, [b"c"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise AnalysisKilledError("the process that starts children has gone; it is started again") from error
        finally:
            theirs.close()
        return await asyncio.open_unix_connection(sock=ours)


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


async def _keep_alive(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            writer.write(encode(Kind.ALIVE))
            await writer.drain()


async def _abandon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close our end; the guardian kills the group. Wait until it has: then nothing of the child is left."""
    with contextlib.suppress(ConnectionError, OSError):
        if writer.can_write_eof():
            writer.write_eof()
        while await reader.read(1 << 20):
            pass
    writer.close()


async def _receive(reader: asyncio.StreamReader) -> tuple[Kind, dict[str, Any]]:
    """The next message. The child may have been taken over: what cannot be understood ends it, and nothing else."""
    attached: dict[str, Any] = {}
    try:
        kind, body = await _frame(reader)
        while kind is Kind.ATTACHMENT:
            attached = {ATTACHMENT: body}
            kind, body = await _frame(reader)
        # A big answer takes a while to parse; the event loop has heartbeats to keep.
        message = await asyncio.to_thread(loads, body) if len(body) > 1 << 16 else loads(body or b"null")
    except (ValueError, RecursionError) as error:
        raise AnalysisKilledError("the analysis process sent what cannot be understood") from error
    if not isinstance(message, dict) or ATTACHMENT in message:
        raise AnalysisKilledError("the analysis process sent what cannot be understood")
    return kind, message | attached


async def _frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    length, number = HEADER.unpack(await reader.readexactly(HEADER.size))
    kind = Kind(number)
    if length > (MAX_ATTACHMENT if kind is Kind.ATTACHMENT else MAX_BODY):
        raise AnalysisKilledError("the analysis process sent more than is sane")
    return kind, await reader.readexactly(length)


async def _listen(
    reader: asyncio.StreamReader, on_progress: ProgressListener | None
) -> tuple[Mapping[str, JSON], float]:
    """Read until the child has ended; its answer counts only then, when nothing of it is left running."""
    answer: Mapping[str, JSON] | None = None
    while True:
        kind, body = await _receive(reader)
        if kind is Kind.PROGRESS and on_progress is not None:
            await on_progress(body)
        elif kind is Kind.ANSWER:
            answer = body
        elif kind is Kind.ERROR:
            raise _translate(body)
        elif kind is Kind.EXIT:
            if answer is None:
                raise AnalysisKilledError(_explain(body))
            return answer, _seconds(body.get("cpu"))


def _seconds(value: object) -> float:
    """What a child says of its own CPU time, where that makes sense."""
    return max(0.0, float(value)) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _translate(body: Mapping[str, Any]) -> Vibe8Error:
    message = one_line(str(body.get("message")))
    for kind in _MAY_BE_RAISED:
        if body.get("type") == kind.__name__:
            return kind(message)
    return AnalysisKilledError(f"the analysis process failed: {message}")


def _explain(body: Mapping[str, Any]) -> str:
    why, code = body.get("why"), body.get("code")
    if why in _TOO_MUCH:
        return _TOO_MUCH[why]
    if not isinstance(code, int) or code >= 0:
        return f"the analysis process ended with exit code {one_line(str(code), 20)} and no answer"
    if code == -signal.SIGKILL:
        return "the analysis process was killed, most likely for its memory (ANALYSIS_MEMORY_MB)"
    if code == -signal.SIGXCPU:
        return "the analysis process used more CPU time than it may (ARQ_JOB_TIMEOUT)"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the analysis process crashed ({name})"
