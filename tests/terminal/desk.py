"""An injector at a desk: a clock and a view of the terminal that a test moves by hand."""

import dataclasses
from typing import Any

from bridge.terminal.inject import Injector
from bridge.terminal.terms import Act, By, Outcome, Queued, Request, Step, View
from bridge.terminal.verdict import Seen, Verdict

TEXT = "5 new in 3 threads, read them with bridge inbox"
EMPTY = Verdict(Seen.EMPTY)
BUSY = Verdict(Seen.BUSY)
OURS = Verdict(Seen.DRAFT, TEXT, TEXT)
DRAFT = Verdict(Seen.DRAFT, "my own words", "my own words")
DIALOG = Verdict(Seen.DIALOG, covered=True)
ASKING = Verdict(Seen.DIALOG, line="Run it? [y/N]")
UNKNOWN = Verdict(Seen.UNKNOWN, covered=True)
CALM = View(EMPTY, stable_s=9.0, fresh=True, whole=True, human_idle_s=None, stopped=False, bracketed=True)


class Desk:
    """An injector, a clock and the view of the moment."""

    def __init__(self, *, paste_required: bool = True, settled_s: float = 0.3, **view: object) -> None:
        self.injector = Injector(paste_required, settled_s)
        self.now = 100.0
        self.view = dataclasses.replace(CALM, **view)  # type: ignore[arg-type]

    def ask(self, key: str = "wake-1", text: str = TEXT, **fields: object) -> Outcome | None:
        usual = {"quiet_s": 2.0, "wait_s": 3.0, "deadline_s": 8.0}
        return self.injector.request(Request(key, text, **(usual | fields)), self.now)  # type: ignore[arg-type]

    def step(self, after_s: float = 0.0, *, taken: By = By.NONE, **view: object) -> Step:
        """`taken`: by this it shows now that a prompt of our words was taken."""
        self.now += after_s
        if taken:
            self.injector.taken(TEXT, taken)
        self.view = dataclasses.replace(self.view, **view)  # type: ignore[arg-type]
        return self.injector.step(self.view, self.now)

    def queued(self, result: Queued) -> None:
        self.injector.queued(result, self.now)

    def ended(self, after_s: float = 0.0, *, taken: By = By.NONE, **view: object) -> Outcome:
        outcome = self.step(after_s, taken=taken, **view).outcome
        assert outcome is not None
        return outcome

    def typed(self) -> None:
        """As far as the Enter."""
        assert (step := self.step()).act is Act.PASTE
        assert step.text == TEXT
        assert self.step(0.2, verdict=OURS).act is Act.ENTER


def native(**view: Any) -> Desk:  # noqa: ANN401  the view's own fields
    return Desk(**{"native": True, "can_show": True, **view})
