r"""The zygote: a process that has imported the tools and holds no secret, and from which every supervisor is forked.

    worker -- control socket --> zygote -- fork --> supervisor (serves one child after another) -- fork --> child
       \----- one connection per supervisor: spawn requests, heartbeats, exit reports --/                    /
        \---- one channel per child: request, progress, result ---------------------------------------------/

The worker starts a supervisor by sending the zygote one end of a fresh socket pair over the control socket
(`infrastructure.child_process.supervisor_client`).
"""

import gc
import importlib
import os
import signal
import socket
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

from infrastructure.child_process.supervisor import run_supervisor
from infrastructure.child_process.wire_protocol import MessageKind, encode_message, receive_message
from infrastructure.sandbox.privileges import set_parent_death_signal, set_undumpable
from infrastructure.sandbox.sandbox import Sandbox, disable_core_dumps

BIND_NOW = "LD_BIND_NOW"
"""Set in the zygote's own environment, so that the loader resolves symbols once here and not again in every child."""


def main() -> None:
    """`python -m infrastructure.child_process.zygote FD MODULE...`: import the modules and serve the control socket.

    The first message on the socket names the `scratch` directory under which each child will have its own, and
    optionally a `warm_up` function (`"module:function"`) to call with that directory. The answer is the list of
    guarantees that the sandbox gives there.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    os.environ.pop(BIND_NOW, None)  # the programs that children start must not inherit it
    set_parent_death_signal(os.getppid())
    set_undumpable()
    disable_core_dumps()
    gc.disable()  # modules leave hardly any garbage, and collections take a tenth of the time of their imports
    for name in sys.argv[2:]:
        importlib.import_module(name)
    try:
        _, setup = receive_message(control)
    except (OSError, EOFError):
        return  # the worker has ended
    sandbox = _prepare(Path(setup["scratch"]), setup["warm_up"])
    control.sendall(encode_message(MessageKind.READY, [asdict(guarantee) for guarantee in sandbox.guarantees()]))
    while True:
        connection = _receive_connection(control)
        if os.fork() == 0:
            control.close()
            run_supervisor(connection, sandbox)
        connection.close()


def _prepare(scratch: Path, warm_up: str | None) -> Sandbox:
    """Do once what all children can share: warm up, probe the sandbox, collect garbage, ignore signals."""
    # The warning is about forking a process with several threads; the zygote has one.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if warm_up is not None:
        module, _, function = warm_up.partition(":")
        getattr(importlib.import_module(module), function)(scratch)
        gc.collect()
    sandbox = Sandbox.prepare(scratch)
    gc.freeze()  # a collection in a child would write to, and so copy, every page that it shares with the zygote
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the supervisors
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker drains first; the zygote ends with the control socket
    return sandbox


def _receive_connection(control: socket.socket) -> socket.socket:
    """Return the next supervisor's end of its connection to the worker. Exits if the worker has ended."""
    message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
        os._exit(0)  # each supervisor sees its own connection close
    return socket.socket(fileno=descriptors[0])


if __name__ == "__main__":
    main()
