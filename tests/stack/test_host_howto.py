"""docs/howto/hosts.md, command by command as it is written: a bridge, and a second machine in a folder of its own."""

import json
import re
import signal
from collections.abc import Iterator

import pytest

from tests.stack.reader import Reader, a_reader, blocks_of
from tests.stack.running import ROOT, until

PAGE = ROOT / "docs" / "howto" / "hosts.md"


@pytest.fixture(name="reader")
def _reader() -> Iterator[Reader]:
    with a_reader() as reader:
        yield reader


def hosts(reader: Reader) -> dict[str, dict[str, object]]:
    said = json.loads(reader.type("bridge host --list --json --data ~/bridge"))
    return {item["host"]: item for item in said["items"]}


def test_the_page_can_be_followed_word_by_word(reader: Reader) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == 9
    said: list[str] = []
    for terminal, words in blocks:
        if not terminal:
            said.append(reader.type(words))
            continue
        reader.open_terminal(words)
        if "bridge up" in words:
            until((reader.home / "bridge" / "stack.json").exists, "the bridge")
        elif "bridge host" in words:
            until(lambda: "east" in hosts(reader), "the second machine's host")
        else:
            until(lambda: hosts(reader)["east"]["attached_sessions"] == 1, "the terminal there")
    everything = "\n".join(said)
    assert re.search(r"^east +ready", everything, re.MULTILINE)
    assert re.search(r"^east +draining", everything, re.MULTILINE)
    assert '"agent_id":"reviewer","host":"east"' in everything.replace(" ", "")
    assert hosts(reader)["east"]["draining"] is False

    reader.close_last(signal.SIGHUP)  # an interactive shell ends when its terminal is closed
    reader.close_last()
    assert "Warm shutdown" in reader.logs()
