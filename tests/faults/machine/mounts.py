"""Mounts that only a fork sees (Linux, root)."""

import ctypes

#: Exit code of a fork that may not change its surroundings here: nothing was tried.
NOT_ALLOWED = 77

#: Of <sched.h>.
NEW_MOUNTS, NEW_TIME = 0x20000, 0x80

#: Of <sys/mount.h>.
READ_ONLY, REMOUNT, BIND, MOVE, RECURSIVE, PRIVATE = 1, 32, 4096, 8192, 16384, 1 << 18


def unshare(which: int) -> None:
    """Gives this process namespaces of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(which):
        raise SystemExit(NOT_ALLOWED)


def own() -> None:
    """Gives this process its own mounts."""
    unshare(NEW_MOUNTS)
    mount('none', '/', None, RECURSIVE | PRIVATE)


def mount(source: str, place: str, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    encoded = kind.encode() if kind else None
    if libc.mount(source.encode(), place.encode(), encoded, ctypes.c_ulong(flags), None):
        raise SystemExit(NOT_ALLOWED)
