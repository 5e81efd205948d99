"""A home in which real agent programs know nobody: their settings name the mock model, and nothing calls out.

Rules of this file:

- Written anew for each use: the programs change their own settings. Nothing of the user's own is read or written.
- The environment is complete: what is not in it, the programs do not get.
- A key is there because the programs want one; it opens nothing.
"""

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).resolve().parents[2] / ".clients"
PROGRAMS = ("codex", "claude", "gemini")
KEY = "no-key-is-needed-here"


def missing() -> str:
    """What of the clients is not installed here, and how to get it; "" when all are."""
    lost = [name for name in PROGRAMS if not (CLIENTS / "node_modules" / ".bin" / name).exists()]
    if lost:
        return f"{', '.join(lost)} missing: make clients (needs node 20 and npm)"
    return "" if shutil.which("node") else "node is missing: apt-get install nodejs npm"


@dataclass(frozen=True)
class Home:
    """One person's files: `folder` is HOME, `work` is where the agents work."""

    folder: Path
    model_url: str

    @property
    def work(self) -> Path:
        """The work tree; the programs trust it."""
        return self.folder / "work"

    def environment(self, **more: str) -> dict[str, str]:
        """All variables of a program that lives here."""
        return {
            "PATH": _path(),
            "HOME": str(self.folder),
            "SHELL": "/bin/bash",
            "USER": "somebody",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "CODEX_HOME": str(self.folder / ".codex"),
            "OPENAI_API_KEY": KEY,
            "CLAUDE_CONFIG_DIR": str(self.folder / ".claude"),
            "ANTHROPIC_BASE_URL": self.model_url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "GEMINI_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": self.model_url,
            **more,
        }


def make_home(folder: Path, model_url: str) -> Home:
    """Write it. `folder` may be there."""
    home = Home(folder.resolve(), model_url)
    for path in (home.work, folder / ".codex", folder / ".claude", folder / ".gemini"):
        path.mkdir(parents=True, exist_ok=True)
    codex = _CODEX.format(url=model_url, work=json.dumps(str(home.work)))
    (folder / ".codex" / "config.toml").write_text(codex)
    (folder / ".claude" / ".claude.json").write_text(json.dumps(_claude(home.work)))
    (folder / ".gemini" / "settings.json").write_text(json.dumps(_GEMINI))
    return home


def program(name: str) -> str:
    """The path of a client's program."""
    return str(CLIENTS / "node_modules" / ".bin" / name)


def native(name: str) -> str:
    """The path of the binary that a client's program starts, for those that have one; else the program's own."""
    if name == "codex":
        machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
        found = (CLIENTS / "node_modules/@openai" / f"codex-linux-{machine}" / "vendor").glob("*/bin/codex")
        return str(next(found))
    return program(name)


def _path() -> str:
    """Where the programs, node and the bridge's own command are, and the system's."""
    node = shutil.which("node")
    own = [CLIENTS / "node_modules" / ".bin", Path(sys.executable).parent]
    return ":".join([*map(str, own), *([str(Path(node).parent)] if node else []), os.defpath])


_CODEX = """\
model = "mock-model"
model_provider = "mock"
check_for_update_on_startup = false

[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 0
stream_max_retries = 0
supports_websockets = false

[analytics]
enabled = false

[features]
plugins = false
apps = false
remote_plugin = false
daemon_auto_start = false
enable_request_compression = false
unbounded_connection_retries = false
memories = false

[projects.{work}]
trust_level = "trusted"
"""


def _claude(work: Path) -> dict[str, object]:
    return {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(work): {"hasTrustDialogAccepted": True}},
    }


_GEMINI = {
    "model": {"name": "gemini-2.5-flash"},
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "general": {"disableAutoUpdate": True},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}
