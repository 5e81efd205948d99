"""A stack whose servers are real and whose other processes are stand-ins: `stand_in.py DATA PORT GRACE`.

It runs the manager itself (`run_stack`) in a process of its own, so that tests can kill it.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from bridge.config import Settings, inherited_environment, load_settings
from bridge.core.errors import BridgeError
from bridge.stack.embedded import Server
from bridge.stack.flower import FlowerDoor
from bridge.stack.log import terminal_lines
from bridge.stack.probes import http_json
from bridge.stack.services import Service, embedded_service
from bridge.stack.up import run_stack

# Answers /ready like the web, from a child of the process that is started, as gunicorn's workers do: that
# child looks whether its parent still lives, and the port is its own.
WEB = """
import http.server, os, sys, threading, time

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"canary": "ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        print("\\x1b[31m" + "x" * 1_000_000, flush=True)

parent = os.getpid()
if os.fork():
    os.wait()
    sys.exit(1)

def watch():
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(0)

threading.Thread(target=watch, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""

# A worker that leaves processes in sessions of their own behind when it is killed: its own, one of a run, and the
# shim of another run. They outlive it, but not the manager.
LEFT = """
import os, sys, time
above = set(map(int, sys.argv[1:]))  # told, not asked: who begins after its worker has died would take init for it
while os.getppid() in above:
    time.sleep(0.1)
"""
WORKER = f"""
import os, subprocess, sys, time
kinds = {{"left": None, "run": {{"BRIDGE_RUN_ID": "r1"}}, "shim": {{"BRIDGE_RUN_ID": "r2", "BRIDGE_SHIM": "1"}}}}
for name, marks in kinds.items():
    argv = [sys.executable, "-c", {LEFT!r}, str(os.getppid()), str(os.getpid())]
    print(f"{{name}}={{subprocess.Popen(argv, env=marks, start_new_session=True).pid}}.", flush=True)
while True:
    time.sleep(600)
"""

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    time.sleep(600)
"""


def stand_ins(settings: Settings, servers: Mapping[str, Server], flower: FlowerDoor) -> list[Service]:
    """Postgres, the broker, and a stand-in for each kind of process there is besides."""

    def web_answers() -> bool:
        return http_json("127.0.0.1", settings.port, "/health")[0] == 200

    needs = tuple(servers)
    return [
        *(embedded_service(server) for server in servers.values()),
        Service("migrate", lambda: (sys.executable, "-c", "print('migrated')"), needs=needs, once=True),
        Service(
            "web",
            lambda: (sys.executable, "-c", WEB, str(settings.port)),
            needs=(*needs, "migrate"),
            ready=web_answers,
            environment={"FLOWER_BASIC_AUTH": flower.login},
        ),
        Service("worker", lambda: (sys.executable, "-c", WORKER), needs=needs, after=("migrate",)),
        Service(
            "stubborn", lambda: (sys.executable, "-c", STUBBORN), needs=("web",), grace_s=float(sys.argv[3])
        ),
    ]


def main() -> int:
    """Run it; 1 when it is refused."""
    settings = load_settings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2]))
    try:
        asyncio.run(
            run_stack(settings, terminal_lines(inherited_environment(), sys.stdout), services_of=stand_ins)
        )
    except BridgeError as error:
        print(f"refused: {error.detail}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
