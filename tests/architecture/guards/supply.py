"""What stands in an environment and what the lock says, compared; and under which licence each package is."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "wakebridge"
_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*==[^\\\n]+?)\s*\\?$", re.MULTILINE)
_KNOWN = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|MPL|ZPL|LGPL)\b")
_COPYLEFT = re.compile(r"\bA?GPL\b|Affero|General Public License \(A?GPL", re.IGNORECASE)


def pinned(lock: str) -> dict[str, str]:
    """Name -> version of what the lock wants on this machine."""
    found: dict[str, str] = {}
    for entry in map(Requirement, _ENTRY.findall(lock)):
        if entry.marker is None or entry.marker.evaluate():
            found[entry.name] = str(entry.specifier).removeprefix("==")
    return found


def installed(distributions: Iterable[Distribution]) -> dict[str, str]:
    """Name -> version of what is there, without ourselves."""
    there = {str(canonicalize_name(one.name)): one.version for one in distributions}
    there.pop(OURS, None)
    return there


def differences(lock: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Each package that is there and not in the lock, or the other way, or in another version."""
    both = {name: (lock.get(name), there.get(name)) for name in sorted({*lock, *there})}
    return [
        f"{name}: the lock says {wanted or 'nothing'}, installed is {found or 'nothing'}: make setup"
        for name, (wanted, found) in both.items()
        if wanted != found
    ]


def licences(distributions: Iterable[Distribution]) -> list[str]:
    """Each package whose licence nobody knows, or whose licence would become ours."""
    found: list[str] = []
    for one in distributions:
        said = _licence(one)
        if one.name != OURS and (not _KNOWN.search(said) or _COPYLEFT.search(said)):
            found.append(f"{one.name}: licence {said or 'unknown'!r}: read it, and say here that we may")
    return found


def _licence(one: Distribution) -> str:
    def said(field: str) -> list[str]:
        return one.metadata.get_all(field) or []

    classifiers = [line for line in said("Classifier") if line.startswith("License ::")]
    return "; ".join(said("License-Expression") or classifiers or said("License"))
