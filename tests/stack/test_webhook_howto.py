"""docs/howto/webhooks.md, command by command as it is written: a bridge, and a service that is woken."""

import re
from collections.abc import Iterator

import pytest

from bridge.stack.ports import free_port
from tests.stack.reader import Reader, a_reader, blocks_of
from tests.stack.running import ROOT, until

PAGE = ROOT / "docs" / "howto" / "webhooks.md"


@pytest.fixture(name="reader")
def _reader() -> Iterator[Reader]:
    with a_reader() as reader:
        yield reader


def test_the_page_can_be_followed_word_by_word(reader: Reader) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == 8
    port = str(free_port(0))
    said: list[str] = []
    for terminal, words in blocks:
        typed = words.replace("9080", port)
        if "bridge read" in words:
            until(lambda: "woken: {'wake_id'" in reader.logs(), "the service woken")
        if not terminal:
            said.append(reader.type(typed))
            continue
        reader.open_terminal(typed)
        if "bridge up" in words:
            until((reader.home / "bridge" / "stack.json").exists, "the bridge")
    everything = "\n".join(said)
    assert re.search(r"^local +ready .*billing \(webhook\)", everything, re.MULTILINE)
    assert "please look" in said[-1]
    assert re.search(r"acked", said[-1])
    assert "'unread': 1, 'threads': 1" in reader.logs()
