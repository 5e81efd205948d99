"""Nothing that is started here can call out."""

import socket
import subprocess
import sys

import pytest

from tests.agents.offline import Offline, interfaces

DIAL = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"


def test_there_is_lo_and_nothing_else(network: Offline) -> None:
    outside = interfaces()
    with network.inside():
        assert interfaces() == ["lo"]
        with pytest.raises(OSError, match="Network is unreachable"):
            socket.create_connection(("192.0.2.1", 80), 5)
        dialled = subprocess.run([sys.executable, "-c", DIAL], capture_output=True, text=True, check=False)
        assert "Network is unreachable" in dialled.stderr
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 5).close()
    assert interfaces() == outside
