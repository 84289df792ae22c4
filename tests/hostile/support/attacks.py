"""What code that has taken a child over would try. Each attack returns its leak, or fails."""

import ctypes
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infrastructure.sandbox import syscall_numbers

Tell = Callable[[Mapping[str, Any]], None]
Aims = Mapping[str, Any]

ATTACKS: dict[str, Callable[[Aims], object]] = {}
_COLUMN = 0 if platform.machine() == "x86_64" else 1
_CLONE = syscall_numbers.CLONE[_COLUMN]
_LIBC = ctypes.CDLL(None, use_errno=True)


def attack(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Try one; `leak` is None where it failed, and `error` then says why."""
    try:
        won = ATTACKS[request["attack"]](request["aims"])
    except Exception as error:  # noqa: BLE001 - whatever stopped it
        return {"leak": None, "error": f"{type(error).__name__}: {error}"}
    return {"leak": "done" if won is None else repr(won), "error": None}


def nothing(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Take nothing over, for once."""
    return {"was": "nice"}


def _named(function: Callable[[Aims], object]) -> Callable[[Aims], object]:
    ATTACKS[function.__name__] = function
    return function


@_named
def read_passwd(aims: Aims) -> object:
    return Path("/etc/passwd").read_text()[:20]


@_named
def list_the_root(aims: Aims) -> object:
    return sorted(map(str, Path("/").iterdir()))


@_named
def list_scratch_of_all(aims: Aims) -> object:
    return sorted(map(str, Path(aims["scratch"]).parent.iterdir()))


@_named
def read_the_workers_file(aims: Aims) -> object:
    return Path(aims["secret"]).read_text()


@_named
def read_a_neighbours_source(aims: Aims) -> object:
    return (Path(aims["neighbour"]) / "source.py").read_text()


@_named
def change_a_neighbours_source(aims: Aims) -> object:
    return (Path(aims["neighbour"]) / "source.py").write_text("mine")


@_named
def write_where_all_may(aims: Aims) -> object:
    return Path(aims["open"], "trace").write_text("I was here")


@_named
def open_our_code_to_write(aims: Aims) -> object:
    return os.open(syscall_numbers.__file__, os.O_WRONLY)  # and not a byte is written: the undefended path is real


@_named
def link_the_workers_file(aims: Aims) -> None:
    os.link(aims["secret"], Path(aims["scratch"]) / "mine")


@_named
def read_the_workers_environment(aims: Aims) -> None:
    assert b"postgresql://" in Path(f"/proc/{aims['victim']}/environ").read_bytes()


@_named
def read_the_workers_map_of_memory(aims: Aims) -> object:
    return Path(f"/proc/{aims['victim']}/maps").read_text()[:20]


@_named
def run_a_shell(aims: Aims) -> object:
    return subprocess.run(["/bin/sh", "-c", "echo shell"], capture_output=True, check=True).stdout


@_named
def run_what_was_sent(aims: Aims) -> object:
    program = Path(aims["scratch"]) / "program"
    program.write_text(f"#!{sys.executable}\nprint('run')\n")
    program.chmod(0o700)
    return subprocess.run([program], capture_output=True, check=True).stdout


def _connected(family: int, address: Any) -> object:
    with socket.socket(family, socket.SOCK_STREAM) as ours:
        ours.settimeout(5)
        ours.connect(address)
        return ours.recv(16)


@_named
def connect_by_tcp(aims: Aims) -> object:
    return _connected(socket.AF_INET, ("127.0.0.1", aims["tcp"]))


@_named
def connect_by_unix_socket(aims: Aims) -> object:
    return _connected(socket.AF_UNIX, aims["unix"])


@_named
def connect_by_abstract_socket(aims: Aims) -> object:
    return _connected(socket.AF_UNIX, "\0" + aims["abstract"])


@_named
def send_by_udp(aims: Aims) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        return ours.sendto(b"stolen", ("127.0.0.1", aims["udp"]))


@_named
def send_through_a_pair(aims: Aims) -> object:
    """Without socket(2) and without connect(2): a datagram socket takes an address with each datagram."""
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return ours.sendto(b"stolen", aims["datagrams"])


@_named
def wait_for_a_connection(aims: Aims) -> object:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        return ours.getsockname()


@_named
def ask_the_kernel_of_the_network(aims: Aims) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@_named
def kill_the_worker(aims: Aims) -> None:
    os.kill(aims["victim"], signal.SIGKILL)


@_named
def kill_the_guardian(aims: Aims) -> None:
    os.kill(os.getppid(), 0)  # as any other signal, this one reaches it or not


@_named
def trace_the_worker(aims: Aims) -> None:
    _call_libc("ptrace", 16, aims["victim"], 0, 0)


@_named
def limit_the_worker(aims: Aims) -> object:
    return resource.prlimit(aims["victim"], resource.RLIMIT_NOFILE, (8, 8))


@_named
def slow_the_worker(aims: Aims) -> None:
    os.setpriority(os.PRIO_PROCESS, aims["victim"], 19)


@_named
def pin_the_worker(aims: Aims) -> None:
    os.sched_setaffinity(aims["victim"], {min(os.sched_getaffinity(0))})


def _in_a_process(action: Callable[[], object]) -> object:
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))
    return "done"


@_named
def leave_the_session(aims: Aims) -> object:
    return _in_a_process(os.setsid)


@_named
def leave_the_group(aims: Aims) -> object:
    return _in_a_process(lambda: os.setpgid(0, 0))


@_named
def outlive_the_guardian(aims: Aims) -> None:
    _call_libc("prctl", 1, 0, 0, 0, 0)


@_named
def hide_open_files(aims: Aims) -> object:
    return _in_a_process(lambda: _call_libc("prctl", 4, 0, 0, 0, 0))


@_named
def make_a_namespace(aims: Aims) -> object:
    return _in_a_process(lambda: _call_libc("unshare", 0x10000000))


@_named
def make_a_namespace_with_a_process(aims: Aims) -> object:
    # With an empty stack pointer this is fork(2) with a flag.
    pid = _call_libc("syscall", _CLONE, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


@_named
def change_the_root(aims: Aims) -> object:
    return _in_a_process(lambda: os.chroot(aims["scratch"]))


@_named
def make_a_device(aims: Aims) -> None:
    os.mknod(Path(aims["scratch"]) / "device", stat.S_IFBLK | 0o600, os.makedev(8, 0))


@_named
def be_root(aims: Aims) -> None:
    os.setuid(0)
    assert os.geteuid() == 0


@_named
def take_memory_that_no_limit_counts(aims: Aims) -> None:
    os.close(os.memfd_create("room"))


def _call_libc(function: str, *arguments: int) -> int:
    result = int(getattr(_LIBC, function)(*[ctypes.c_long(argument) for argument in arguments]))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call_all(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Make each forbidden system call with arguments that make no sense: its error, None where it was done."""
    answers: dict[str, int | None] = {}
    for name in request["calls"]:
        number = syscall_numbers.FORBIDDEN[name][_COLUMN]
        try:
            _call_libc("syscall", -1 if number is None else number, -1, -1, -1, -1, -1, -1)
            answers[name] = None
        except OSError as error:
            answers[name] = error.errno
    return answers


def whoami(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    return {
        "environment": dict(os.environ),
        "user": os.getuid(),
        "group": os.getgid(),
        "groups": os.getgroups(),
        "descriptors": sum(1 for descriptor in range(3, 1024) if _is_open(descriptor)),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "network": os.readlink("/proc/self/ns/net"),  # noqa: PTH115 - its text is no path
    }


def _is_open(descriptor: int) -> bool:
    try:
        return os.fstat(descriptor) is not None
    except OSError:
        return False


def ask_postgresql(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Whether it speaks TLS, as its protocol has it: one letter."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
            ours.connect(request["path"])
            ours.sendall(struct.pack("!ii", 8, 80877103))
            return {"said": ours.recv(1).decode()}
    except OSError as error:
        return {"said": None, "error": error.errno}


def processes(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    for _ in range(request["count"]):
        if os.fork() == 0:
            time.sleep(3600)
    return _lingered(request)


def threads(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    for _ in range(request["count"]):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return _lingered(request)


def breed(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Each process starts two and ends, so that whoever is looked at is gone."""
    for _ in range(request["generations"]):
        try:
            if os.fork() and os.fork():
                os._exit(0)
        except OSError:
            time.sleep(0.01)
    return _lingered(request)


def memory_together(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Each process stays below its limit."""
    for _ in range(request["processes"]):
        if os.fork() == 0:
            room = bytearray(request["bytes"])
            room[::4096] = b"x" * len(room[::4096])
            time.sleep(3600)
    return _lingered(request)


def many_files(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    for number in range(request["megabytes"]):
        Path(request["scratch"], f"{number}").write_bytes(bytes(1 << 20))
    return _lingered(request)


def files_without_a_name(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    held = []
    for _ in range(request["megabytes"]):
        path = Path(request["scratch"], "passing")
        file = path.open("wb", buffering=0)
        path.unlink()
        file.write(bytes(1 << 20))
        held.append(file)
    return _lingered(request)


def empty_files(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    for number in range(request["count"]):
        Path(request["scratch"], f"{number}").touch()
    return _lingered(request)


def deep_directories(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Deeper than any path can say."""
    os.chdir(request["scratch"])
    for _ in range(request["depth"]):
        os.mkdir("d" * 200)  # noqa: PTH102 - no path is so long
        os.chdir("d" * 200)
    return _lingered(request)


def a_closed_directory(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    inner = Path(request["scratch"], "inner")
    inner.mkdir()
    many_files({**request, "scratch": inner, "linger": 0}, tell)
    inner.chmod(0)
    return _lingered(request)


def _lingered(request: Mapping[str, Any]) -> Mapping[str, Any]:
    time.sleep(request["linger"])
    return {"had": True}


def burn(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Compute for so many seconds of this process's time."""
    while time.process_time() < request["seconds"]:
        pass
    return {"burnt": True}


def say(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Send raw bytes to the worker on whatever socket there is, with a sleeping process left behind."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    tell({"pids": [pid, os.getpid()]})
    for descriptor in range(3, 64):
        try:
            channel = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue
        if request["shutdown"]:
            channel.shutdown(socket.SHUT_RDWR)
        else:
            channel.sendall(bytes.fromhex(request["bytes"]))
    time.sleep(3600)
    return {}
