"""File systems that cannot be written, for real: small ones that fill up, and read-only ones."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A file system in memory, mounted at `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def leave(self, kib: int) -> None:
        """Fills it up, except for so many KiB."""
        free = os.statvfs(self.folder)
        size = max(0, free.f_bavail * free.f_frsize - kib * 1024)
        (self.folder / 'filling').write_bytes(bytes(size))

    def make_space(self) -> None:
        self.remount('rw', 'size=200m')
        (self.folder / 'filling').unlink(missing_ok=True)

    def remount(self, *options: str) -> None:
        subprocess.run(['mount', '-o', ','.join(['remount', *options]), str(self.folder)], check=True)


@contextlib.contextmanager
def mounted(folder: Path, size: str = '1m') -> Iterator[Disk]:
    """Mounts a `Disk` of a size; skips the test where this process may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', str(folder)]
    if not shutil.which('mount') or subprocess.run(command, capture_output=True).returncode:
        pytest.skip('file systems cannot be mounted here: this takes root, with CAP_SYS_ADMIN')
    try:
        yield Disk(folder)
    finally:
        subprocess.run(['umount', '--lazy', str(folder)], check=True)
