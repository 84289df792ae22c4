"""What code that has taken over a child would try: attacks on the worker, and floods of resources.

An attack returns what it leaked, or None if it only did harm; it raises if it failed.
"""

import ctypes
import fcntl
import mmap
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

ReportProgress = Callable[[Mapping[str, Any]], None]
Targets = Mapping[str, Any]

ATTACKS: dict[str, Callable[[Targets], object]] = {}
_COLUMN = 0 if platform.machine() == "x86_64" else 1
_CLONE = syscall_numbers.CLONE[_COLUMN]
_LIBC = ctypes.CDLL(None, use_errno=True)


def attack(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Run one attack. The result's `leak` is None if it failed; `error` then says why."""
    try:
        leak = ATTACKS[request["attack"]](request["targets"])
    except Exception as error:  # noqa: BLE001 - any error means that the attack failed
        return {"leak": None, "error": f"{type(error).__name__}: {error}"}
    return {"leak": "done" if leak is None else repr(leak), "error": None}


def do_nothing(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Be the harmless first entry before a follow-up that attacks."""
    return {"harmless": True}


def _attack(function: Callable[[Targets], object]) -> Callable[[Targets], object]:
    ATTACKS[function.__name__] = function
    return function


@_attack
def read_passwd(targets: Targets) -> object:
    return Path("/etc/passwd").read_text()[:20]


@_attack
def list_root_directory(targets: Targets) -> object:
    return sorted(map(str, Path("/").iterdir()))


@_attack
def list_all_scratch_directories(targets: Targets) -> object:
    return sorted(map(str, Path(targets["scratch"]).parent.iterdir()))


@_attack
def read_worker_file(targets: Targets) -> object:
    return Path(targets["secret"]).read_text()


@_attack
def read_other_jobs_source(targets: Targets) -> object:
    return (Path(targets["other_job"]) / "source.py").read_text()


@_attack
def change_other_jobs_source(targets: Targets) -> object:
    return (Path(targets["other_job"]) / "source.py").write_text("changed")


@_attack
def write_to_world_writable_directory(targets: Targets) -> object:
    return Path(targets["open"], "trace").write_text("written")


@_attack
def open_our_code_for_writing(targets: Targets) -> object:
    return os.open(syscall_numbers.__file__, os.O_WRONLY)  # writes nothing: without a sandbox this is our real code


@_attack
def link_worker_file(targets: Targets) -> None:
    os.link(targets["secret"], Path(targets["scratch"]) / "link")


@_attack
def read_worker_environment(targets: Targets) -> None:
    assert b"postgresql://" in Path(f"/proc/{targets['victim']}/environ").read_bytes()


@_attack
def read_worker_memory_map(targets: Targets) -> object:
    return Path(f"/proc/{targets['victim']}/maps").read_text()[:20]


@_attack
def read_link_of_worker_process(targets: Targets) -> object:
    return os.readlink(f"/proc/{targets['victim']}/exe")  # noqa: PTH115 - its text is no path


@_attack
def run_shell(targets: Targets) -> object:
    return subprocess.run(["/bin/sh", "-c", "echo shell"], capture_output=True, check=True).stdout


@_attack
def execute_file_in_scratch(targets: Targets) -> object:
    program = Path(targets["scratch"]) / "program"
    program.write_text(f"#!{sys.executable}\nprint('run')\n")
    program.chmod(0o700)
    return subprocess.run([program], capture_output=True, check=True).stdout


def _connected(family: int, address: Any) -> object:
    with socket.socket(family, socket.SOCK_STREAM) as ours:
        ours.settimeout(5)
        ours.connect(address)
        return ours.recv(16)


@_attack
def connect_by_tcp(targets: Targets) -> object:
    return _connected(socket.AF_INET, ("127.0.0.1", targets["tcp"]))


@_attack
def connect_by_unix_socket(targets: Targets) -> object:
    return _connected(socket.AF_UNIX, targets["unix"])


@_attack
def connect_by_abstract_socket(targets: Targets) -> object:
    return _connected(socket.AF_UNIX, "\0" + targets["abstract"])


@_attack
def send_by_udp(targets: Targets) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        return ours.sendto(b"stolen", ("127.0.0.1", targets["udp"]))


@_attack
def send_through_socketpair(targets: Targets) -> object:
    """Needs neither socket(2) nor connect(2): a datagram socket takes an address with each datagram."""
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return ours.sendto(b"stolen", targets["datagrams"])


@_attack
def make_pair_of_connected_sockets(targets: Targets) -> object:
    """Each such pair holds memory that counts for no process."""
    ours, _ = socket.socketpair()
    return ours.send(b"x" * 65_536)


@_attack
def hold_memory_that_no_process_has(targets: Targets) -> None:
    """Fill shared memory and unmap all of it but a page: the kernel keeps the rest."""
    megabyte = 1 << 20
    _LIBC.mmap.restype = ctypes.c_void_p
    start = _LIBC.mmap(None, ctypes.c_size_t(megabyte), 3, 0x21, -1, ctypes.c_long(0))
    if start == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    ctypes.memset(start, 1, megabyte)
    _call_libc("munmap", start + 4096, megabyte - 4096)


@_attack
def move_memory_to_the_swap_space(targets: Targets) -> None:
    memory = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(21)  # MADV_PAGEOUT


@_attack
def listen_for_connections(targets: Targets) -> object:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        return ours.getsockname()


@_attack
def open_netlink_socket(targets: Targets) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@_attack
def kill_worker(targets: Targets) -> None:
    os.kill(targets["victim"], signal.SIGKILL)


@_attack
def signal_supervisor(targets: Targets) -> None:
    os.kill(os.getppid(), 0)  # signal 0 is permitted if any other signal is


@_attack
def trace_worker(targets: Targets) -> None:
    _call_libc("ptrace", 16, targets["victim"], 0, 0)


@_attack
def set_worker_limits(targets: Targets) -> object:
    return resource.prlimit(targets["victim"], resource.RLIMIT_NOFILE, (8, 8))


@_attack
def lower_worker_priority(targets: Targets) -> None:
    os.setpriority(os.PRIO_PROCESS, targets["victim"], 19)


@_attack
def set_worker_affinity(targets: Targets) -> None:
    os.sched_setaffinity(targets["victim"], {min(os.sched_getaffinity(0))})


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


@_attack
def leave_session(targets: Targets) -> object:
    return _in_a_process(os.setsid)


@_attack
def leave_process_group(targets: Targets) -> object:
    return _in_a_process(lambda: os.setpgid(0, 0))


@_attack
def clear_parent_death_signal(targets: Targets) -> None:
    _call_libc("prctl", 1, 0, 0, 0, 0)


@_attack
def become_undumpable(targets: Targets) -> object:
    return _in_a_process(lambda: _call_libc("prctl", 4, 0, 0, 0, 0))


@_attack
def create_user_namespace(targets: Targets) -> object:
    return _in_a_process(lambda: _call_libc("unshare", 0x10000000))


@_attack
def clone_into_user_namespace(targets: Targets) -> object:
    # With a null stack pointer this is fork(2) with a flag.
    pid = _call_libc("syscall", _CLONE, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


@_attack
def change_root_directory(targets: Targets) -> object:
    return _in_a_process(lambda: os.chroot(targets["scratch"]))


@_attack
def create_device(targets: Targets) -> None:
    os.mknod(Path(targets["scratch"]) / "device", stat.S_IFBLK | 0o600, os.makedev(8, 0))


@_attack
def become_root(targets: Targets) -> None:
    os.setuid(0)
    assert os.geteuid() == 0


@_attack
def create_memfd(targets: Targets) -> None:
    os.close(os.memfd_create("hidden"))


@_attack
def change_mode_of_worker_file(targets: Targets) -> None:
    os.chmod(targets["secret"], 0o640)  # noqa: PTH101 - not by a descriptor
    _assert_mode(targets["secret"], 0o640)


@_attack
def change_mode_of_worker_file_by_a_newer_call(targets: Targets) -> None:
    path = ctypes.create_string_buffer(os.fsencode(targets["secret"]))
    _call_libc("syscall", 452, -100, ctypes.addressof(path), 0o604, 0)  # fchmodat2
    _assert_mode(targets["secret"], 0o604)


@_attack
def open_scratch_to_everybody(targets: Targets) -> None:
    directory = os.open(targets["scratch"], os.O_RDONLY)
    os.fchmod(directory, 0o777)
    os.close(directory)
    _assert_mode(targets["scratch"], 0o777)


def _assert_mode(path: str, mode: int) -> None:
    """Fail where the kernel says that the call has succeeded, and it has not."""
    assert stat.S_IMODE(os.stat(path).st_mode) == mode  # noqa: PTH116


@_attack
def change_owner_of_worker_file(targets: Targets) -> None:
    os.chown(targets["secret"], os.getuid(), os.getgid())


@_attack
def change_times_of_worker_file(targets: Targets) -> None:
    os.utime(targets["secret"], (0, 0))


@_attack
def change_times_of_own_scratch(targets: Targets) -> None:
    os.utime(targets["scratch"], (0, 0))


@_attack
def set_attribute_of_worker_file(targets: Targets) -> None:
    os.setxattr(targets["secret"], "user.note", b"found")


@_attack
def set_attribute_of_own_scratch(targets: Targets) -> None:
    os.setxattr(targets["scratch"], "user.note", b"found")


@_attack
def change_owner_of_own_scratch(targets: Targets) -> None:
    os.chown(targets["scratch"], os.getuid(), os.getgid())


@_attack
def set_flags_of_own_scratch(targets: Targets) -> None:
    directory = os.open(targets["scratch"], os.O_RDONLY)
    flags = bytearray(8)
    try:
        fcntl.ioctl(directory, 0x80086601, flags)  # FS_IOC_GETFLAGS
        fcntl.ioctl(directory, 0x40086602, flags)  # FS_IOC_SETFLAGS
    finally:
        os.close(directory)


@_attack
def watch_names_in_other_jobs_directory(targets: Targets) -> None:
    descriptor = _call_libc("inotify_init")
    path = ctypes.create_string_buffer(os.fsencode(targets["other_job"]))
    _call_libc("inotify_add_watch", descriptor, ctypes.addressof(path), 0x100)  # IN_CREATE
    os.close(descriptor)


def _call_libc(function: str, *arguments: int) -> int:
    result = int(getattr(_LIBC, function)(*[ctypes.c_long(argument) for argument in arguments]))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call_forbidden_system_calls(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Make each forbidden system call with invalid arguments; return its errno, None if it succeeded."""
    answers: dict[str, int | None] = {}
    for name in request["calls"]:
        number = syscall_numbers.FORBIDDEN[name][_COLUMN]
        try:
            _call_libc("syscall", -1 if number is None else number, -1, -1, -1, -1, -1, -1)
            answers[name] = None
        except OSError as error:
            answers[name] = error.errno
    return answers


def describe_process(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
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


def ask_postgresql(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Send an SSLRequest; the answer is one letter that says whether the server uses TLS."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
            ours.connect(request["path"])
            ours.sendall(struct.pack("!ii", 8, 80877103))
            return {"answer": ours.recv(1).decode()}
    except OSError as error:
        return {"answer": None, "error": error.errno}


def start_processes(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    for _ in range(request["count"]):
        if os.fork() == 0:
            time.sleep(3600)
    return _linger(request)


def start_threads(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    for _ in range(request["count"]):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return _linger(request)


def fork_chain(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Let each process start two others and end at once, so that a process is gone before it can be killed."""
    for _ in range(request["generations"]):
        try:
            if os.fork() and os.fork():
                os._exit(0)
        except OSError:
            time.sleep(0.01)
    return _linger(request)


def allocate_in_processes(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Allocate memory in several processes, each below its own limit, after `own_bytes` in this one."""
    bytearray(request.get("own_bytes", 0))
    for _ in range(request["processes"]):
        if os.fork() == 0:
            memory = bytearray(request["bytes"])
            memory[::4096] = b"x" * len(memory[::4096])
            time.sleep(3600)
    return _linger(request)


def open_sockets(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(request["count"])]
    return _linger({**request, "held": held})


def write_files(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    for number in range(request["megabytes"]):
        Path(request["scratch"], f"{number}").write_bytes(bytes(1 << 20))
    return _linger(request)


def write_deleted_files(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    held = []
    for _ in range(request["megabytes"]):
        path = Path(request["scratch"], "deleted")
        file = path.open("wb", buffering=0)
        path.unlink()
        file.write(bytes(1 << 20))
        held.append(file)
    return _linger(request)


def create_empty_files(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    for number in range(request["count"]):
        Path(request["scratch"], f"{number}").touch()
    return _linger(request)


def create_deep_directories(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Make directories nested deeper than any path can express."""
    os.chdir(request["scratch"])
    for _ in range(request["depth"]):
        os.mkdir("d" * 200)  # noqa: PTH102 - the whole path would be too long
        os.chdir("d" * 200)
    return _linger(request)


def write_to_closed_directory(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    inner = Path(request["scratch"], "inner")
    inner.mkdir()
    write_files({**request, "scratch": inner, "linger": 0}, report_progress)
    inner.chmod(0)
    return _linger(request)


def _linger(request: Mapping[str, Any]) -> Mapping[str, Any]:
    time.sleep(request["linger"])
    return {"done": True}


def burn_cpu(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Compute for `seconds` of this process's CPU time."""
    while time.process_time() < request["seconds"]:
        pass
    return {"done": True}


def count_attached_bytes(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Return the length of the attachment, and a list in so many parts."""
    parts = request["parts"]
    count = len(request["attachment"]())
    for number in range(parts):
        report_progress({"items": [number, 10 + number]})
    return {"bytes": count}


def send_raw_bytes(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Send raw bytes to the worker on every open socket, and leave a sleeping process behind."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    report_progress({"pids": [pid, os.getpid()]})
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
