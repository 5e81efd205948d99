"""Keys: whose signatures count, how they come here, and that none is believed a moment longer than it should be."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from bridge.adapters.keysets import AllKeys, IssuerKeys, KeyFile, fetch_keys
from bridge.adapters.tokens import Denylist, JwtTokens, TokenSigner, TokenVerifier, keys_of, wall_clock
from bridge.config import Settings
from bridge.core.errors import Unauthorized, Unavailable
from bridge.core.states import Role
from bridge.ports.tokens import Claims, Revocations
from bridge.stack.keys import public_jwk
from tests.security.forging import Hand, refused, verifier_of
from tests.support.web import Mint


@dataclass
class Issuer:
    """Somebody who signs, and answers with his public keys, or does not."""

    keys: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    is_down: bool = False

    def __post_init__(self) -> None:
        self.keys = {
            "ed": Ed25519PrivateKey.generate(),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "rsa": rsa.generate_private_key(65537, 2048),
        }

    def answer(self, _url: str = "") -> str:
        self.asked += 1
        if self.is_down:
            raise OSError("down")
        return json.dumps({"keys": [jwk(kid, key) for kid, key in self.keys.items()]})

    def token(self, kid: str, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.keys[kid], algorithm=algorithm(self.keys[kid]), headers={"kid": kid})


def algorithm(key: Any) -> str:  # noqa: ANN401  a private key of any kind
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"


def jwk(kid: str, key: Any) -> dict[str, Any]:  # noqa: ANN401
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        return public_jwk(key) | {"kid": kid}
    if isinstance(key, rsa.RSAPrivateKey):
        return jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True) | {"kid": kid}
    return jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True) | {"kid": kid}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def remote(issuer: Issuer, hand: Hand) -> IssuerKeys:
    return IssuerKeys("https://issuer.example/jwks", wall=wall_clock, clock=hand, fetch=issuer.answer)


# --- a file ------------------------------------------------------------------------------------------------


def test_a_key_that_was_taken_out_lets_nobody_in_any_more(forger: Mint) -> None:
    clock = Hand()
    keys = KeyFile(forger.settings.jwks_file, wall=wall_clock, clock=clock)
    verifier = verifier_of(keys)
    token = forger.token()
    verifier.verify(token)
    other = public_jwk(Ed25519PrivateKey.generate())
    forger.settings.jwks_file.write_text(json.dumps({"keys": [other]}))
    clock.now += 1.1
    refused(verifier, token)


def test_a_file_that_cannot_be_read_withdraws_no_key(forger: Mint) -> None:
    clock = Hand()
    verifier = TokenVerifier(
        KeyFile(forger.settings.jwks_file, wall=wall_clock, clock=clock),
        issuer="wakebridge",
        audience="wakebridge",
    )
    verifier.verify(forger.token())
    for text in ("{", "[]", '{"keys": 1}'):
        forger.settings.jwks_file.write_text(text)
        clock.now += 1.1
        verifier.verify(forger.token())


def test_without_keys_nobody_is_let_in(tmp_path: Path, forger: Mint) -> None:
    missing = verifier_of(KeyFile(tmp_path / "nothing.json", wall=wall_clock))
    refused(missing, forger.token(), Unavailable)


# --- an issuer's address ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", ["ed", "ec", "rsa"])
def test_an_issuers_token_is_good_whichever_of_the_three_algorithms_signed_it(
    issuer: Issuer, remote: IssuerKeys, forger: Mint, kid: str
) -> None:
    assert verifier_of(remote).verify(issuer.token(kid, forger.claims("alice"))).agent_id == "alice"


def test_a_new_key_of_the_issuer_is_asked_for_when_it_is_first_seen(
    issuer: Issuer, remote: IssuerKeys, hand: Hand, forger: Mint
) -> None:
    verifier = verifier_of(remote)
    verifier.verify(issuer.token("ed", forger.claims()))
    hand.now += 11
    issuer.keys["new"] = Ed25519PrivateKey.generate()
    verifier.verify(issuer.token("new", forger.claims()))
    assert issuer.asked == 2


def test_unknown_keys_make_nobody_ask_more_often_than_once_in_a_while(
    issuer: Issuer, remote: IssuerKeys, hand: Hand
) -> None:
    for number in range(50):
        assert remote.find(f"guess-{number}") is None
        hand.now += 0.1
    assert issuer.asked == 1
    hand.now += 10
    assert remote.find("guess") is None
    assert issuer.asked == 2


def test_while_the_issuer_is_down_known_keys_hold_and_unknown_ones_let_nobody_in(
    issuer: Issuer, remote: IssuerKeys, hand: Hand, forger: Mint
) -> None:
    verifier = verifier_of(remote)
    verifier.verify(issuer.token("ed", forger.claims()))
    issuer.is_down = True
    issuer.keys["new"] = Ed25519PrivateKey.generate()
    for _ in range(3):
        hand.now += 3600
        verifier.verify(issuer.token("ec", forger.claims()))
        with pytest.raises(Unauthorized):
            verifier.verify(issuer.token("new", forger.claims()))


def test_an_issuer_that_never_answered_lets_nobody_in_and_that_is_our_fault(
    issuer: Issuer, remote: IssuerKeys, forger: Mint
) -> None:
    issuer.is_down = True
    with pytest.raises(Unavailable):
        verifier_of(remote).verify(issuer.token("ed", forger.claims()))


def test_a_key_that_the_issuer_took_out_is_gone_when_its_keys_are_old(
    issuer: Issuer, remote: IssuerKeys, hand: Hand, forger: Mint
) -> None:
    verifier, token = verifier_of(remote), issuer.token("ed", forger.claims())
    verifier.verify(token)
    del issuer.keys["ed"]
    hand.now += 301
    remote.find("somebody")  # waits for the answer that the age has asked for
    with pytest.raises(Unauthorized):
        verifier.verify(token)


def test_no_request_waits_for_old_keys_to_be_read(issuer: Issuer, hand: Hand) -> None:
    gate = threading.Event()

    def slow(url: str) -> str:
        assert gate.wait(10)
        return issuer.answer(url)

    gate.set()
    remote = IssuerKeys("https://issuer.example", wall=wall_clock, clock=hand, fetch=slow)
    assert remote.find("ed") is not None
    gate.clear()
    hand.now += 301
    assert remote.find("ed") is not None  # it would wait for ever
    gate.set()


def test_an_issuers_keys_stand_beside_the_stacks_own_and_never_in_their_place(
    issuer: Issuer, remote: IssuerKeys, forger: Mint
) -> None:
    issuer.keys[forger.kid] = Ed25519PrivateKey.generate()
    verifier = verifier_of(AllKeys((KeyFile(forger.settings.jwks_file, wall=wall_clock), remote)))
    verifier.verify(forger.token())
    verifier.verify(issuer.token("ed", forger.claims()))
    with pytest.raises(Unauthorized):
        verifier.verify(issuer.token(forger.kid, forger.claims()))


def test_an_issuer_alone_is_enough(issuer: Issuer, remote: IssuerKeys, forger: Mint, tmp_path: Path) -> None:
    nothing = KeyFile(tmp_path / "nothing.json", wall=wall_clock)
    verifier_of(AllKeys((nothing, remote))).verify(issuer.token("ed", forger.claims()))


class _Answers(BaseHTTPRequestHandler):
    """What an issuer's web server may come up with."""

    def do_GET(self) -> None:
        body = b'{"keys": []}'
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()
            return
        self.send_response(200 if self.path != "/broken" else 500)
        self.end_headers()
        with_more = body if self.path != "/huge" else b" " * 300_000
        try:
            self.wfile.write(with_more)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_keys_are_fetched_without_redirects_and_within_a_bound(address: str) -> None:
    assert json.loads(fetch_keys(f"{address}/keys")) == {"keys": []}
    for path in ("/moved", "/broken", "/huge"):
        with pytest.raises(ValueError, match="issuer"):
            fetch_keys(f"{address}{path}")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://issuer.example/keys",
            "http://169.254.169.254/keys",
            "ftp://issuer.example",
            "file:///etc/x",
        ),
        *(
            "https://user:secret@issuer.example",
            "http://localhost.example",
            "https://",
            "keys.json",
            "https://a:99999",
        ),
    ],
)
def test_keys_come_by_https_or_from_this_machine_alone(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, jwks_url=url)


def test_the_settings_say_where_keys_come_from(tmp_path: Path, address: str, forger: Mint) -> None:
    with_issuer = Settings(data_dir=tmp_path, jwks_url=f"{address}/keys")
    assert isinstance(keys_of(with_issuer), AllKeys)
    verifier_of(keys_of(with_issuer)).verify(forger.token())
    assert isinstance(keys_of(Settings(data_dir=tmp_path)), KeyFile)


# --- what signs here -----------------------------------------------------------------------------------------


def test_what_is_signed_here_is_let_in_here(forger: Mint, verifier: TokenVerifier) -> None:
    signer = TokenSigner(forger.settings.signing_key_file, issuer="wakebridge", audience="wakebridge")
    tokens = JwtTokens(verifier, Denylist(lambda _workspace: Revocations()), signer)
    now = wall_clock()
    claims = Claims("alice", "ws_1", Role.PARTICIPANT, "ses_1", "jti_1", now, float(int(now) + 60))
    assert tokens.verify(tokens.sign(claims)) == claims


def test_a_signing_key_that_others_can_read_signs_nothing(forger: Mint) -> None:
    forger.settings.signing_key_file.chmod(0o644)
    signer = TokenSigner(forger.settings.signing_key_file, issuer="wakebridge", audience="wakebridge")
    with pytest.raises(Unavailable):
        signer.sign(Claims("alice", "ws_1", Role.PARTICIPANT, "ses_1", "jti_1", 1.0, 2.0))
