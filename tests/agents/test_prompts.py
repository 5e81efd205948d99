"""Whatever a prompt begins with or holds, the real programs take it as what their user says, and as nothing else."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.states import Rung
from tests.agents.homes import make_home
from tests.agents.mock_model import MockModel
from tests.agents.offline import Offline
from tests.runs.world import World

FULL = 64 * 1024
PROMPTS = {
    "an option": "-c model=other",
    "options": "--dangerously-skip-permissions --yolo --help",
    "a dash": "-",
    "bullets": "- one\n* two\n+ three\n1. four",
    "a paste's end": "x\x1b[201~\r/quit\x1b[200~",
    "controls": "a\x07b\x08c\x1b]0;title\x07\x1b[2Jd\x03e\x04f",
    "bidi": "abc\u202edef\u2066ghi\u2069",
    "a shell": "$(touch trace) `touch trace` ; touch trace | sh",
    "full": ("message " * FULL)[: FULL - 8] + "\n the end"[:8],
}
CASES = [(preset, name) for preset in ("codex", "claude") for name in PROMPTS] + [
    ("gemini", name) for name in ("options", "bullets", "controls")
]


@pytest.fixture(name="host")
def _host(network: Offline) -> Iterator[tuple[World, MockModel]]:
    """A host's runs in the offline network, with a home and a model of their own."""
    folder = Path(tempfile.mkdtemp(prefix="wb-ap-", dir="/tmp"))
    with network.inside(), MockModel() as model:
        home = make_home(folder / "home", model.url)
        world = World(folder / "data", environment=home.environment(), fence_s=300.0)
        try:
            yield world, model
        finally:
            world.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("preset", ["codex", "claude", "gemini"])
def test_a_prompt_is_what_the_user_says_and_nothing_else(host: tuple[World, MockModel], preset: str) -> None:
    world, model = host
    work = world.settings.data_dir.parent / "home" / "work"
    for name in (name for of, name in CASES if of == preset):
        prompt = PROMPTS[name]
        spec = world.spec(
            preset=preset,
            prompt=prompt,
            rung=Rung.SPAWN,
            native_id=str(uuid.UUID(int=hash(name) % 2**64)),
            cwd=str(work),
        )
        world.book.start(spec)
        assert world.told(spec, "ended", 60)["result"] == "exited", (name, world.output(spec)[-2000:])
        assert model.asked()[-1].newest.strip() == prompt.strip(), name
        assert not list(work.iterdir()), name
