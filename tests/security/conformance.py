"""Schemathesis against a running web, from the web's own OpenAPI: what is answered must be what is documented.

Rules of this file:

- Every call is asked with data that fits the description and with data that does not, about things that are there and
  things that are not, by every role and by nobody; mostly by roles that the call may grant something.
- What is found is mended in the product. A check that is left out here says why.
"""
# ruff: noqa: ANN401 - schemathesis' operations are generic in four ways that do not matter here

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case as AnyCase
from schemathesis import CheckFunction, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup

from bridge.core.authority import AUTHORITY, Action, Grant
from bridge.core.states import Role
from web.parsing import SCHEMA_VERSION

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
"""Left out: positive_data_acceptance, ensure_resource_availability and use_after_free (what fits the description may
still be about nothing that is there, or come at the wrong time: 404 and 409 are answers), ignored_auth and
object_level_authorization (every route x role x ownership has a test of its own), missing_required_header (the only one
is Authorization, and its absence is asked about here)."""
REFUSED = [400, 401, 403, 404, 405, 409, 413, 415, 429]
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}
"""What does not fit may also be too large; it may not be 5xx, which Schemathesis would let pass here."""
TIMEOUT_S = 20
ROUNDS_MAX = 5
EXAMPLE_CHARS_MAX = 1500
Case = AnyCase[Any]
Tokens = Callable[[Role], str]
Known = Mapping[str, list[str]]


@dataclass
class Verdict:
    """How many of each status, and each kind of failure once, with an example."""

    counted: Counter[int] = field(default_factory=Counter)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)


def conform(url: str, tokens: Tokens, known: Known, *, requests_wanted: int, with_seed: int) -> Verdict:
    """Ask so many times, spread evenly over calls; `known` are ids of what is there."""
    load_all_checks()
    described = requests.get(f"{url}/openapi.json", timeout=TIMEOUT_S).json()
    del described["security"]  # the callers bring a token or none: no case is made by taking it away
    schema = schemathesis.openapi.from_dict(described, config=schemathesis.Config.from_dict(CONFIG))
    operations = [cast("Any", found).ok() for found in schema.get_all_operations()]
    kinds = [(operation, kind) for operation in operations for kind in _kinds(operation, known)]
    verdict = Verdict()
    with requests.Session() as session:
        for again in range(
            ROUNDS_MAX
        ):  # about some calls there is little to ask: what they leave is for the others
            left = requests_wanted - verdict.counted.total()
            for operation, kind in kinds if left > 0 else ():
                asked = _asker(operation, session, url, tokens, verdict)
                _run(operation, kind, asked, examples=-(-left // len(kinds)), with_seed=with_seed + again)
    return verdict


def _kinds(operation: Any, known: Known) -> Iterator[dict[str, Any]]:
    """The ways to make cases for an operation."""
    fixed: dict[str, Any] = {}
    if any(parameter.name == "wait_s" for parameter in operation.query):
        fixed["query"] = {"wait_s": 0}  # it would wait for up to a minute, and be right
    there = {p.name: known[p.name][0] for p in operation.path_parameters if p.name in known}
    takes = bool(operation.body) or bool(operation.query) or bool(operation.path_parameters)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if takes else (GenerationMode.POSITIVE,):
        yield {"generation_mode": mode, **fixed}
        if there and (mode is GenerationMode.POSITIVE or operation.body):
            yield {"generation_mode": mode, "path_parameters": there, **fixed}


def _asker(
    operation: Any, session: requests.Session, url: str, tokens: Tokens, verdict: Verdict
) -> Callable[[Case], None]:
    checks = cast("list[CheckFunction]", [CHECKS.get_one(name) for name in CHECKED])
    callers = cycle(_callers(operation))

    def ask(case: Case) -> None:
        caller = next(callers)
        headers = {} if caller is None else {"Authorization": f"Bearer {tokens(caller)}"}
        response = case.call(url, session, headers=headers, timeout=TIMEOUT_S)
        verdict.counted[response.status_code] += 1
        try:
            case.validate_response(response, checks=checks, headers=headers)
        except FailureGroup as group:
            for failure in group.exceptions:
                if not _is_of_a_later_version(case, failure):
                    _note(verdict, case, failure, f"{caller}: {response.status_code} {response.text}")

    return ask


def _is_of_a_later_version(case: Case, failure: Failure) -> bool:
    """Unknown fields of a higher schema_version are kept, as we promise; a schema cannot say "unless"."""
    version = case.body.get("schema_version") if isinstance(case.body, dict) else None
    later = isinstance(version, int) and version > SCHEMA_VERSION
    return (
        later
        and failure.message.count("violates") == 1
        and "violates `additionalProperties`" in failure.message
    )


def _callers(operation: Any) -> list[Role | None]:
    action = operation.definition.raw.get("x-action")
    granted = [role for role in Role if action and AUTHORITY[Action[action], role] is not Grant.NO]
    return [*granted, *granted, None, *granted, *Role]


def _note(verdict: Verdict, case: Case, failure: Failure, answered: str) -> None:
    kind = case.operation.label, f"{failure.title} {failure.message}"[:120]
    example = f"{failure.message}\n  {answered}\n  {case.as_curl_command()}"
    verdict.failures.setdefault(kind, example[:EXAMPLE_CHARS_MAX])


def _run(
    operation: Any, kind: dict[str, Any], ask: Callable[[Case], None], *, examples: int, with_seed: int
) -> None:
    @seed(with_seed)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(operation.as_strategy(**kind))
    def run(case: Case) -> None:
        ask(case)

    with suppress(Unsatisfiable):  # nothing of this call can be wrong
        run()
