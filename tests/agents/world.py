"""A bridge with real agents: `bridge up` in a network with only `lo`, one home for the agents, and the mock model.

Rules of this file:

- The bridge's own presets are used as they are shipped: `bridge up` is started in the agents' home, so that their
  allow-lists find the settings that lead to the mock model.
- Whoever asks for a thing waits for it here, with a deadline, and is told what there was instead.
"""

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.client import ApiError, Client, FixedToken, StackOperator
from bridge.config import default_run_dir
from bridge.core.states import WAKE_FINAL, RunState
from tests.agents.homes import Home, make_home
from tests.agents.mock_model import Asked, MockModel, Say, Shell, Turn
from tests.stack.running import Running, until

WOKEN = r"Wakebridge[:,]"
"""What every text that wakes an agent has in it."""
_THREAD = re.compile(r"\bth_[0-9a-f]{32}\b")
QUICK = {
    "live": {"tries": 3, "accept_timeout_s": 20},
    "backoff_s_initial": 1,
    "defer_quiet_s": 1,
    "recheck_s": 1,
}

Wake = dict[str, Any]
Message = dict[str, Any]


class World:
    """One bridge, its home, its model. Made and closed inside the offline network."""

    def __init__(self, folder: Path) -> None:
        """Start it all, and wait until it is ready."""
        self.folder = folder
        self.model = MockModel()
        self.model.__enter__()
        self.home: Home = make_home(folder / "home", self.model.url)
        (folder / "data").mkdir(mode=0o700)
        argv = [sys.executable, "-m", "bridge.cli.app", "up", "--data", str(folder / "data"), "--port", "0"]
        alone = ["env", "-i", *(f"{name}={value}" for name, value in self.home.environment().items())]
        self.running = Running(folder / "data", argv=[*alone, *argv])
        self.url = str(self.running.record()["url"])
        self.operator = Client(self.url, StackOperator(folder / "data"))
        self.operator.set_policy(QUICK, "tests wait for it")
        self._clients: list[Client] = [self.operator]
        self.ci = self.client("ci")

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        self.running.clean()
        self.model.__exit__(None, None, None)

    @property
    def presets(self) -> Path:
        """Where the host's own presets are; one there wins over a built-in one of its name."""
        folder = self.folder / "data" / "presets"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    # --- who takes part -----------------------------------------------------------------------------------

    def bind(self, agent: str, preset: str) -> None:
        """Say how the agent is started, once the host can."""

        def done() -> bool:
            try:
                body = {"preset": preset, "host": "local"}
                self.operator.call("PUT", f"/v1/agents/{agent}", json=body)
            except ApiError:  # its host has not told yet what it can start
                return False
            return True

        until(done, f"{preset} on the host: {self.hosts()}")

    def hosts(self) -> list[dict[str, Any]]:
        """The hosts, and what each can start."""
        found: list[dict[str, Any]] = self.operator.call("GET", "/v1/hosts")["items"]
        return found

    def client(self, agent: str) -> Client:
        """A client of an agent that is only a program."""
        issued = self.operator.issue_token(agent, session_id=f"{agent}-by-hand")
        client = Client(self.url, FixedToken(str(issued["token"])))
        self._clients.append(client)
        return client

    def token(self, agent: str, session_id: str) -> str:
        """A token for that session of the agent."""
        return str(self.operator.issue_token(agent, session_id=session_id)["token"])

    def thread(self, *agents: str) -> str:
        """A thread of `ci`, who is no more than a program, with these."""
        members = [{"agent_id": name, "role": name} for name in ("ci", *agents)]
        return str(self.operator.create_thread(f"with {', '.join(agents)}", members)["thread_id"])

    def calm(self) -> None:
        """What an earlier test left is over: its wakes, its runs, its rules."""
        for wake in self.operator.wakes(limit=100)["items"]:
            if wake["state"] not in WAKE_FINAL:
                with contextlib.suppress(ApiError):  # it has ended meanwhile
                    self.operator.act_on_wake(wake["wake_id"], "cancel", "its test is over")
        until(self._no_runs, "the end of all runs")
        self.model.forget()

    def _no_runs(self) -> bool:
        return all(run["state"] == RunState.ENDED for run in self.operator.runs(limit=100)["items"])

    # --- what happens -------------------------------------------------------------------------------------

    def wake(self, thread: str, agent: str) -> Wake:
        """The newest wake of that agent in the thread, once there is one."""
        items = until(lambda: self.operator.wakes(agent=agent, thread=thread)["items"], f"a wake of {agent}")
        found: Wake = items[0]
        return found

    def ended(self, thread: str, agent: str) -> Wake:
        """That wake once it is over."""

        def over() -> Wake | None:
            now = self.wake(thread, agent)
            return now if now["state"] in WAKE_FINAL else None

        try:
            return until(over, f"the end of {agent}'s wake")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.told(thread, agent)}") from None

    def told(self, thread: str, agent: str) -> str:
        """All that can be said of that wake: its story, its runs, what they wrote, what the model was asked."""
        wake = self.wake(thread, agent)
        story = self.operator.explain(wake["wake_id"])
        runs = self.operator.runs(wake=wake["wake_id"])["items"]
        asked = [(one.newest[-200:], one.answer) for one in self.model.asked()]
        said = {run["run_id"]: self.output(run["run_id"])[-3000:] for run in runs}
        parts = [json.dumps(part, indent=1) for part in (wake, story.get("steps"), runs, said)]
        return "\n".join([*parts, *map(str, asked), *self._log()])

    def _log(self) -> list[str]:
        """The end of the bridge's log, without the calls that went well."""
        return [line for line in self.running.output if "request.completed" not in line][-40:]

    def output(self, run_id: str) -> str:
        """What the program of a run wrote."""
        path = default_run_dir(self.folder / "data") / "runs" / run_id / "output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self, thread: str, sender: str) -> list[Message]:
        """What that agent has said in the thread."""
        items: list[Message] = self.operator.read(thread)["items"]
        return [message for message in items if message["sender_agent_id"] == sender]

    # --- what the agents do -------------------------------------------------------------------------------

    def reads_and_answers(self, reply: str, *, match: str = WOKEN) -> None:
        """The model has whoever is woken look into its inbox, read, answer with `reply`, and say that it did."""
        self.model.rule(
            match,
            Shell("bridge inbox --json"),
            lambda turns: Shell(f"bridge read {_thread(turns)} --ack"),
            lambda turns: Shell(f"bridge post {_thread(turns)} {shlex.quote(reply)}"),
            Say("I have read it and answered."),
        )

    def woken_with(self, match: str = WOKEN) -> list[Asked]:
        """What the model was asked by those who were woken, the oldest first."""
        return self.model.asked(match)

    def run(self, argv: Sequence[str], prompt: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a client in the work tree as its user would, to its end."""
        return subprocess.run(
            argv,
            input=prompt,
            env=self.home.environment(**more),
            cwd=self.home.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _thread(turns: Sequence[Turn]) -> str:
    """The thread that is named last in what the agent has seen: in its inbox, else in the text that woke it."""
    for turn in reversed(turns):
        found = _THREAD.findall(turn.text) if turn.kind in {"user", "output"} else []
        if found:
            return str(found[0])
    return "no-thread"
