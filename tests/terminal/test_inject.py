"""One line typed into a live agent: taken, refused, stranded, and never typed twice or over a human."""

from tests.terminal.world import World, program

TEXT = "5 new in 3 threads, read them with bridge inbox"


def line_agent(world: World, *args: str) -> World:
    return world.start(program("line.py", str(world.directory / "got"), *args)).ready()


def test_a_line_is_typed_into_an_empty_prompt_and_taken(world: World) -> None:
    line_agent(world)
    answer = world.injected("wake-1", TEXT)
    assert (answer["result"], answer["why"], answer["enters"]) == ("accepted", "", 1)
    world.until(lambda: world.lines() == [TEXT])
