"""Two network namespaces, and between them a wire that delays, loses, reorders, slows down or cuts.

Each namespace has a TUN device, and a thread here carries the packets from one to the other. It does what `tc qdisc add ...
netem` does; netem is a module that many kernels, of small virtual machines above all, are built without.
"""

import contextlib
import errno
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

#: Of <linux/if_tun.h>.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000

#: The addresses of the two ends. Nobody has `NOBODY`: the wire takes what is sent there, and nothing comes back.
ENDS, NOBODY = ('10.77.0.1', '10.77.0.2'), '10.77.0.9'

#: Seconds of packets that wait for a slow wire before more are dropped, as a router drops them.
MOST_WAITING = 2.0


def missing() -> str:
    """Returns why there can be no wire here, '' where there can."""
    if absent := [name for name in ('ip', 'unshare', 'mount') if not shutil.which(name)]:
        return f'no network namespaces here: {", ".join(absent)} not found (Debian: apt-get install iproute2)'
    if os.geteuid() or not os.access('/dev/net/tun', os.R_OK | os.W_OK):
        return 'network namespaces and /dev/net/tun are for root'
    if subprocess.run(['unshare', '--net', '--mount', 'true'], capture_output=True).returncode:
        return 'network namespaces are not allowed here'
    return ''


@dataclass(frozen=True)
class Condition:
    """What the wire does to a packet.

    Attributes:
      delay, jitter: seconds; each packet takes `delay` and a random part of `jitter`, so that later ones may overtake.
      loss: share of packets that are lost.
      rate: bytes a second in each direction; 0: any number.
      cut: the directions in which nothing is carried: 0, from the first end, and 1, from the second.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    cut: tuple[int, ...] = ()

    def __str__(self) -> str:
        parts = [
            self.delay and f'{1000 * self.delay:.0f} ms',
            self.jitter and f'+ up to {1000 * self.jitter:.0f} ms',
            self.loss and f'{self.loss:.1%} lost',
            self.rate and f'{self.rate / 1000:.0f} kB/s',
            self.cut and ('cut' if len(self.cut) == 2 else f'cut from worker {self.cut[0]}'),
        ]
        return ', '.join(part for part in parts if part) or 'undisturbed'


class Wire:
    """Carries packets between the namespaces `names`. `condition` may be changed at any time."""

    def __init__(self, names: tuple[str, str], files: tuple[int, int], rng: random.Random) -> None:
        self.names, self.condition = names, Condition()
        self._files, self._random = files, rng
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._carry, name='wire', daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._ended, b'.')  # forks may have it open too
        self._thread.join()
        os.close(self._ended)
        os.close(self._end)

    def _carry(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []  # when, a number, to which end, what
        number, free = itertools.count(), [0.0, 0.0]
        while True:
            wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            ready = select.select([*self._files, self._end], [], [], wait)[0]
            if self._end in ready:
                return
            now, condition = time.monotonic(), self.condition
            for end, file in enumerate(self._files):
                if file not in ready:
                    continue
                packet = os.read(file, 1 << 16)
                if end in condition.cut or self._random.random() < condition.loss:
                    continue
                start = max(now, free[end])
                if start - now > MOST_WAITING:
                    continue
                free[end] = start + (len(packet) / condition.rate if condition.rate else 0)
                due = free[end] + condition.delay + self._random.random() * condition.jitter
                heapq.heappush(waiting, (due, next(number), 1 - end, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(waiting)
                if 1 - to in self.condition.cut:
                    continue
                try:
                    os.write(self._files[to], packet)
                except OSError as error:
                    if error.errno not in (errno.EIO, errno.EINVAL):  # the device is down; a packet of IPv6
                        raise


@contextlib.contextmanager
def joined(rng: random.Random) -> Iterator[Wire]:
    """Makes two namespaces that a wire joins, and deletes them."""
    stem = f'seedwise-{os.getpid()}-{rng.getrandbits(24):06x}'
    names, files = (f'{stem}-0', f'{stem}-1'), []
    try:
        for end, name in enumerate(names):
            _ip('netns', 'add', name)
            device = f'wire{rng.getrandbits(24):06x}{end}'
            files.append(os.open('/dev/net/tun', os.O_RDWR | os.O_CLOEXEC))
            fcntl.ioctl(files[-1], TUNSETIFF, struct.pack('16sH22x', device.encode(), IFF_TUN | IFF_NO_PI))
            _ip('link', 'set', device, 'netns', name)
            _ip('-n', name, 'address', 'add', f'{ENDS[end]}/24', 'dev', device)
            for each in ('lo', device):
                _ip('-n', name, 'link', 'set', each, 'up')
        wire = Wire(names, (files[0], files[1]), rng)
        try:
            yield wire
        finally:
            wire.close()
    finally:
        for file in files:
            os.close(file)
        for name in names:
            subprocess.run(['ip', 'netns', 'delete', name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(['ip', *words], check=True, capture_output=True)
