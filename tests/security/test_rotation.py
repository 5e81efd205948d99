"""Rotation: a new key signs while all runs; the old one is believed for as long as its tokens live, or no longer."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from bridge.adapters.keysets import KeyFile
from bridge.adapters.tokens import TokenSigner, wall_clock
from bridge.cli.token import app as cli
from bridge.config import Settings
from bridge.core.errors import Unauthorized
from bridge.core.states import Role
from bridge.ports.tokens import Claims
from bridge.stack.keys import OVERLAP_S, KeyUnusable, load_signing_key, public_jwk, rotate_key
from tests.security.forging import Hand, verifier_of
from tests.support.web import Mint


def published(settings: Settings) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(settings.jwks_file.read_text())["keys"]
    return keys


def test_after_a_rotation_old_and_new_tokens_are_good_and_no_process_is_restarted(forger: Mint) -> None:
    hand, wall = Hand(), Hand(wall_clock())
    keys = KeyFile(forger.settings.jwks_file, wall=wall, clock=hand)
    verifier = verifier_of(keys, wall)
    signer = TokenSigner(forger.settings.signing_key_file, issuer="wakebridge", audience="wakebridge")
    claims = Claims("alice", "ws_1", Role.PARTICIPANT, "ses_1", "jti_1", wall.now, wall.now + 3600)
    old = signer.sign(claims)
    verifier.verify(old)
    rotated = rotate_key(forger.settings, int(wall.now))
    new = signer.sign(claims)  # the same signer, and not a second later
    assert jwt.get_unverified_header(new)["kid"] == rotated.kid != jwt.get_unverified_header(old)["kid"]
    verifier.verify(new)
    verifier.verify(old)
    assert stat.S_IMODE(forger.settings.signing_key_file.stat().st_mode) == 0o600
    assert public_jwk(load_signing_key(forger.settings.signing_key_file))["kid"] == rotated.kid


def test_an_old_key_is_believed_until_the_last_of_its_tokens_has_expired_and_no_longer(forger: Mint) -> None:
    wall, hand = Hand(wall_clock()), Hand()
    keys = KeyFile(forger.settings.jwks_file, wall=wall, clock=hand)
    rotate_key(forger.settings, int(wall.now))
    wall.now += OVERLAP_S - 2
    hand.now += OVERLAP_S - 2
    assert keys.find(forger.kid) is not None
    before = keys.generation
    wall.now += 3
    hand.now += 3
    assert keys.find(forger.kid) is None
    assert keys.generation > before
    stolen = forger.token(iat=wall.now, exp=wall.now + 600)
    with pytest.raises(Unauthorized):
        verifier_of(keys, wall).verify(stolen)


def test_the_next_rotation_clears_away_what_is_over(forger: Mint) -> None:
    first = rotate_key(forger.settings, 1_000_000)
    second = rotate_key(forger.settings, 1_000_010)
    assert [entry["kid"] for entry in published(forger.settings)] == [second.kid, first.kid, forger.kid]
    third = rotate_key(forger.settings, 1_000_005 + OVERLAP_S)
    assert [entry["kid"] for entry in published(forger.settings)] == [third.kid, second.kid, first.kid]


def test_a_key_that_has_leaked_is_void_at_once_and_an_issuers_key_in_the_file_is_not(forger: Mint) -> None:
    other = public_jwk(Ed25519PrivateKey.generate())
    forger.settings.jwks_file.write_text(json.dumps({"keys": [*published(forger.settings), other]}))
    keys = KeyFile(forger.settings.jwks_file, wall=wall_clock, clock=Hand())
    verifier, token = verifier_of(keys), forger.token()
    verifier.verify(token)
    rotate_key(forger.settings, int(wall_clock()))
    leaked = rotate_key(forger.settings, int(wall_clock()), drop_old=True)
    assert [entry["kid"] for entry in published(forger.settings)] == [leaked.kid, other["kid"]]
    assert keys.find(leaked.kid) is not None  # an unknown kid is looked for at once, and then all are known
    with pytest.raises(Unauthorized):
        verifier.verify(token)


def test_two_who_rotate_at_once_lose_no_key(forger: Mint) -> None:
    at_once = threading.Barrier(6)
    made: list[str] = []

    def rotate() -> None:
        at_once.wait(10)
        made.append(rotate_key(forger.settings, int(wall_clock())).kid)

    threads = [threading.Thread(target=rotate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    found = published(forger.settings)
    assert {entry["kid"] for entry in found} == {forger.kid, *made}
    current = public_jwk(load_signing_key(forger.settings.signing_key_file))["kid"]
    assert [entry["kid"] for entry in found if "exp" not in entry] == [current]


def test_where_no_key_is_there_is_none_to_rotate(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="bridge up"):
        rotate_key(Settings(data_dir=tmp_path / "nothing"), 1)


def test_rotate_key_on_the_command_line_says_what_became_of_the_old_one(forger: Mint) -> None:
    data = str(forger.settings.data_dir)
    said = CliRunner().invoke(cli, ["rotate-key", "--data", data])
    assert said.exit_code == 0, said.output
    assert f"tokens of {forger.kid} are good until" in said.output
    told = json.loads(CliRunner().invoke(cli, ["rotate-key", "--drop-old", "--json", "--data", data]).output)
    assert told["old_until"] == 0
    assert [entry["kid"] for entry in published(forger.settings)] == [told["kid"]]
    assert "PRIVATE" not in said.output
