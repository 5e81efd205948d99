"""Which judge reads which rules."""

from bridge.terminal.line import LineJudge
from bridge.terminal.verdict import Judge, Rules


def judge_for(rules: Rules) -> Judge:
    """The judge of this kind of program, its patterns compiled."""
    return LineJudge(rules)
