"""The wire does to packets what it is told."""

import random
import subprocess
import sys

import pytest

from tests.faults.networks import wire

#: Sends ten datagrams to the other end, which returns them; prints how many came back, and the seconds until the last did.
ASK = """
import socket, sys, time
asking = socket.socket(type=socket.SOCK_DGRAM)
asking.settimeout(0.5)
started, last, came = time.monotonic(), 0.0, 0
for number in range(10):
    asking.sendto(b'%d' % number, (sys.argv[1], 7777))
try:
    while came < 10:
        asking.recv(100)
        came, last = came + 1, time.monotonic() - started
except TimeoutError:
    pass
print(came, last)
"""

ECHO = """
import socket
answering = socket.socket(type=socket.SOCK_DGRAM)
answering.bind(('', 7777))
print('ready', flush=True)
while True:
    answering.sendto(*answering.recvfrom(100))
"""


@pytest.mark.skipif(bool(wire.missing()), reason=wire.missing() or 'there is all that it needs')
def test_a_wire_delays_loses_and_cuts():
    with wire.joined(random.Random(0)) as joined:
        within = ('ip', 'netns', 'exec')
        echo = subprocess.Popen([*within, joined.names[1], sys.executable, '-c', ECHO], stdout=subprocess.PIPE)
        assert echo.stdout is not None
        echo.stdout.readline()

        def asked(**condition) -> tuple[int, float]:
            joined.condition = wire.Condition(**condition)
            words = [*within, joined.names[0], sys.executable, '-c', ASK, wire.ENDS[1]]
            came, last = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            return int(came), float(last)

        try:
            assert asked()[0] == 10
            came, last = asked(delay=0.1)
            assert came == 10
            assert last >= 0.2
            assert asked(loss=0.5)[0] < 10
            assert [asked(cut=(end,))[0] for end in (0, 1)] == [0, 0]
        finally:
            echo.kill()
            echo.communicate()
