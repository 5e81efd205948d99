"""The packages that are installed are those of the lock, no more and no others, under licences that we may use."""

from email.message import Message
from importlib.metadata import Distribution, PackageMetadata, distributions
from pathlib import Path
from typing import cast

import pytest

from tests.architecture.guards import supply

ROOT = Path(__file__).parents[2]
LOCK = "flask==3.1.3 \\\n    --hash=sha256:00\nwin==1 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"


class Planted(Distribution):
    """A package with what its author says of it."""

    def __init__(self, **said: str) -> None:
        self.said = Message()
        for name, value in {"Name": "planted", "Version": "1", **said}.items():
            self.said[name.replace("_", "-")] = value

    @property
    def metadata(self) -> PackageMetadata:
        return cast("PackageMetadata", self.said)

    def read_text(self, filename: str) -> None:
        del filename

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def test_what_is_installed_is_what_the_lock_says() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    assert supply.differences(supply.pinned(lock), supply.installed(distributions())) == []


def test_the_two_locks_agree() -> None:
    service, all_of_it = (
        supply.pinned((ROOT / name).read_text(encoding="utf-8"))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert service.items() <= all_of_it.items()


def test_every_licence_is_known_and_none_would_become_ours() -> None:
    assert supply.licences(distributions()) == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, "flask: the lock says 3.1.3, installed is nothing"),
        ({"flask": "3.1.2"}, "flask: the lock says 3.1.3, installed is 3.1.2"),
        ({"flask": "3.1.3", "extra": "1"}, "extra: the lock says nothing, installed is 1"),
    ],
)
def test_a_package_that_differs_is_found(there: dict[str, str], said: str) -> None:
    (found,) = supply.differences(supply.pinned(LOCK), there)
    assert found.startswith(said)


def test_what_another_system_needs_is_not_missed() -> None:
    assert supply.differences(supply.pinned(LOCK), {"flask": "3.1.3"}) == []


@pytest.mark.parametrize(
    ("licence", "let_through"),
    [
        ({"License_Expression": "MIT OR Apache-2.0"}, True),
        ({"License_Expression": "LGPL-3.0-only"}, True),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, True),
        ({}, False),
        ({"License": "ask me"}, False),
        ({"License_Expression": "AGPL-3.0-or-later"}, False),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License (GPL)"}, False),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, False),
    ],
)
def test_a_licence_that_we_may_not_use_is_found(licence: dict[str, str], *, let_through: bool) -> None:
    assert (supply.licences([Planted(**licence)]) == []) is let_through
