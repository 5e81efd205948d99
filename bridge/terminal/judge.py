"""Which judge reads which rules."""

from bridge.terminal.box import BoxJudge
from bridge.terminal.line import LineJudge
from bridge.terminal.verdict import BOX, Judge, Rules


def judge_for(rules: Rules) -> Judge:
    """The judge of this kind of program, its patterns compiled."""
    return BoxJudge(rules) if rules.kind == BOX else LineJudge(rules)
