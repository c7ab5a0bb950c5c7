"""A control group for each run with a memory limit, where the worker's service was given some to manage.

Then the limit counts the run as a whole, the kernel ends all of it and nothing else, and says so. This
needs cgroup v2 and a systemd unit with Delegate=yes; without them every call here finds nothing, and
`runner.limits` limits each process instead. The zygote looks once (`find_home`); runners make the groups.

Our own processes have to leave the delegated group for one below it, because a group with processes
cannot hand controllers down (cgroups(7), "no internal processes").
"""

import contextlib
import errno
import os
import sys
import time

_MOUNT = "/sys/fs/cgroup"
_OWN_LEAF = "main"
_MIB = 1024 * 1024
# Between two looks at a group that somebody forks into while we empty it.
_MOVE_PASSES = 50
_NO_GROUPS = "Memory limits hold for each process only: no control groups can be made here ({})."


class RunGroup:
    """The group of one run; `path` is its directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def make(cls, home: str, *, memory_limit: int) -> "RunGroup":
        """Raises OSError where the group cannot be had. `memory_limit` is in MiB."""
        group = cls(os.path.join(home, f"run-{os.getpid()}-{time.monotonic_ns()}"))
        os.mkdir(group.path)
        try:
            group._write("memory.max", str(memory_limit * _MIB))
            group._write("memory.oom.group", "1")  # half a pipeline is no use to anybody
            with contextlib.suppress(FileNotFoundError):  # a kernel that counts no swap
                group._write("memory.swap.max", "0")
        except OSError:
            group.remove()
            raise
        return group

    def join(self) -> None:
        """Put this process in, and with it all that it will start. Raises OSError."""
        self._write("cgroup.procs", "0")

    def kill(self) -> None:
        """SIGKILL to all of them in one step of the kernel, before any can fork; Linux 5.14."""
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", "1")

    @property
    def was_out_of_memory(self) -> bool:
        """Whether the kernel ended processes of the group for its limit."""
        events = _read(os.path.join(self.path, "memory.events")).split()
        counts = dict(zip(events[::2], events[1::2], strict=False))
        return counts.get("oom_kill", "0") != "0"

    def remove(self) -> None:
        """Processes that were left running keep it; the next zygote takes it away."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def _write(self, name: str, text: str) -> None:
        descriptor = os.open(os.path.join(self.path, name), os.O_WRONLY)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)


def find_home(mount: str = _MOUNT) -> str | None:
    """The directory to make groups in, ready for use; None where there is none to be had."""
    try:
        home = _delegated(mount)
        if home is not None:
            _hand_memory_down(home)
            _sweep(home)
    except OSError as error:
        print(_NO_GROUPS.format(error), file=sys.stderr, flush=True)  # the worker's log
        return None
    return home


def _delegated(mount: str) -> str | None:
    """The group that systemd has put in our hands: that of this process, or the one above it.

    systemd says so by an attribute of the directory; without it every group is systemd's own, however
    writable it may be to root.
    """
    own = os.path.join(mount, _own_path().lstrip("/")).rstrip("/")
    for candidate in (own, os.path.dirname(own)):
        if candidate.startswith(mount) and _is_delegated(candidate):
            controllers = _read(os.path.join(candidate, "cgroup.controllers")).split()
            return candidate if "memory" in controllers else None
    return None


def _own_path() -> str:
    lines = _read("/proc/self/cgroup").splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _is_delegated(directory: str) -> bool:
    for name in ("user.delegate", "trusted.delegate"):  # the second is for root's eyes only
        with contextlib.suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False


def _hand_memory_down(home: str) -> None:
    """Raises OSError where the group cannot be emptied, or is not ours after all."""
    leaf = RunGroup(os.path.join(home, _OWN_LEAF))
    for _ in range(_MOVE_PASSES):
        residents = _read(os.path.join(home, "cgroup.procs")).split()
        if residents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(leaf.path)
        for pid in residents:
            with contextlib.suppress(ProcessLookupError):
                leaf._write("cgroup.procs", pid)
        try:
            RunGroup(home)._write("cgroup.subtree_control", "+memory")
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
    raise OSError(errno.EBUSY, f"processes keep appearing in {home}")


def _sweep(home: str) -> None:
    """Remove what runners left that are no more."""
    for name in os.listdir(home):
        prefix, _, rest = name.partition("-")
        pid = rest.partition("-")[0]
        if prefix == "run" and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            RunGroup(os.path.join(home, name)).remove()


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
