r"""The process that every guardian is forked from: it has imported the tools once, and has seen no secret.

    worker -- control socket --> zygote -- fork --> guardian (serves one child after another) -- fork --> body
       \------ leash, one per guardian --------------/                                                   /
        \----- channel, one per child: request, progress, answer --------------------------------------/

The worker passes the zygote one end of a fresh socket pair: the leash of a new guardian
(`infrastructure.child_process.supervisor`).
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
"""Of the zygote's own environment: its libraries' symbols are looked up once, and not again in every child."""


def main() -> None:
    """`python -m infrastructure.child_process.zygote FD MODULE...`: preload the modules and serve the control socket.

    The first message on it names the directory in which children will have theirs, and the function that warms up this
    process, if any: it is called with that directory before there is any child. The answer says what the
    sandbox is worth there.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    os.environ.pop(BIND_NOW, None)  # it was for us, and not for the programs that children start
    set_parent_death_signal(os.getppid())
    set_undumpable()
    disable_core_dumps()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    # A threaded fork is what this warning is about; the zygote has one thread.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        _, told = receive_message(control)
    except (OSError, EOFError):
        return  # the worker has gone
    scratch = Path(told["scratch"])
    if told["warm_up"] is not None:
        module, _, function = told["warm_up"].partition(":")
        getattr(importlib.import_module(module), function)(scratch)
    sandbox = Sandbox.prepare(scratch)
    gc.collect()
    gc.freeze()  # what there is by now is shared with every child; a collection there would write to all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guardians reap themselves
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker drains; closing the control socket ends us
    control.sendall(encode_message(MessageKind.READY, [asdict(guarantee) for guarantee in sandbox.guarantees()]))
    while True:
        leash = _receive_leash(control)
        if os.fork() == 0:
            control.close()
            run_supervisor(leash, sandbox)
        leash.close()


def _receive_leash(control: socket.socket) -> socket.socket:
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
        os._exit(0)  # the worker has gone; each guardian sees its own leash close
    return socket.socket(fileno=fds[0])


if __name__ == "__main__":
    main()
