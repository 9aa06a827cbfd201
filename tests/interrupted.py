"""Work in processes of its own: killed at any moment, on disks that are full or cannot be written. For POSIX."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

#: One process imports the libraries, also those that are imported late; each piece of work is a fork of it.
CONTEXT: Any = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *(f"napari_cellrestore.{part}" for part in ("train", "model", "prepare", "restore", "trained_model", "report")),
        *(
            "distributed",
            "torch._dynamo",
            "skimage.io",
            "skimage.metrics",
            "PIL.PngImagePlugin",
            "imageio.v3",
            "pytest",
        ),
    ]
)
Work = Callable[..., Any]


class End(NamedTuple):
    """How a process ended: its status, negative for a signal, and what its work returned, or the error it raised."""

    status: int
    result: Any = None
    error: str = ""
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


def run(work: Work, *arguments: Any, kill_after_s: float | None = None, kill_at: int | None = None) -> End:
    """Do work in a process, which is killed so many seconds after it began, or at its n-th change of a file."""
    ours, theirs = CONTEXT.Pipe(False)
    process = CONTEXT.Process(target=_do, args=(theirs, kill_at, work, arguments))
    process.start()
    theirs.close()
    said: list[End] = []
    try:
        ours.recv()  # it begins
        began = time.monotonic()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.kill()
        said.append(ours.recv()._replace(seconds=time.monotonic() - began))
    except EOFError:
        pass
    process.join(120)
    assert process.exitcode is not None, "it does not end"
    return said[0]._replace(status=process.exitcode) if said else End(process.exitcode)


def _do(answer: Connection, kill_at: int | None, work: Work, arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    answer.send("begins")
    if kill_at is not None:
        _die_at(kill_at)
    try:
        answer.send(End(0, work(*arguments)))
    except Exception as error:
        answer.send(End(0, None, f"{type(error).__name__}: {error}"))


#: Changes of files that Python tells of before it makes them.
CHANGES = ("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")


def _die_at(number: int) -> None:
    """Kill this process at its n-th change of a file; where that is an opening, with the file as it is just opened."""
    count = 0

    def heed(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (opens or event in CHANGES) or str(arguments[0]).startswith(("/dev", "/proc")):
            return
        count += 1
        if count == number:
            if opens:
                os.open(arguments[0], arguments[2], 0o600)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heed)


# --- disks ---------------------------------------------------------------------------------------------------

_NEW_MOUNTS, _NEW_USERS, _READ_ONLY, _REMOUNT, _PRIVATE = 0x20000, 0x10000000, 1, 32, (1 << 18) | (1 << 14)


def mount_disk(folder: Path, size_bytes: int) -> None:
    """Put a disk of a size at a folder, seen by this process alone; OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    _called(libc.unshare(_NEW_MOUNTS | (_NEW_USERS if user else 0)))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _called(libc.mount(b"none", b"/", None, _PRIVATE, None))
    _called(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % size_bytes))


def make_read_only(folder: Path) -> None:
    """Let the disk that was mounted there be read only."""
    libc = ctypes.CDLL(None, use_errno=True)
    _called(libc.mount(b"none", os.fsencode(folder), None, _REMOUNT | _READ_ONLY, None))


def obey_permissions() -> None:
    """Give up what lets the administrator write where that is not permitted."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header, sets = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
        _called(libc.capget(ctypes.byref(header), sets))
        for number in range(3):
            sets[number] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        _called(libc.capset(ctypes.byref(header), sets))


def _called(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
