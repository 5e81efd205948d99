"""Where a webhook may go, what it is signed with, and what its preset may say."""

import base64
import json
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import PresetError
from bridge.adapters.runtimes.webhook import Service, Services, WebhookRuntime
from bridge.adapters.runtimes.webhook_sign import SecretError, read_secrets
from bridge.adapters.runtimes.webhook_way import may_go
from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Handed
from tests.support.receiver import (
    LINE,
    QUICK,
    QUICK_S_MAX,
    SECRET,
    SESSION,
    data_of,
    held,
    receiving,
    told,
    webhook_preset,
)


class TestWhereItGoes:
    @pytest.mark.parametrize(
        "address",
        [
            *(
                "127.0.0.1",
                "10.1.2.3",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "0.0.0.0",  # noqa: S104 - an address that is refused
            ),
            *("224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
            *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1"),
            *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1"),
            *("64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::8.8.8.8", "2001:0:7f00:1::"),
        ],
    )
    def test_not_where_the_world_is_not(self, address: str) -> None:
        assert not may_go(ip_address(address), ())

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
    def test_to_the_world(self, address: str) -> None:
        assert may_go(ip_address(address), ())
        assert not may_go(ip_address(address), (), global_too=False)

    @pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
    def test_to_what_is_allowed(self, address: str) -> None:
        allow = (ip_network("127.0.0.0/8"),)
        assert may_go(ip_address(address), allow)
        assert may_go(ip_address(address), allow, global_too=False)
        assert not may_go(ip_address("10.0.0.1"), allow)

    @pytest.mark.parametrize(
        "answer", [["10.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["8.8.8.8", "127.0.0.1"], ["::1"]]
    )
    def test_one_address_that_may_not_be_refuses_all(self, tmp_path: Path, answer: Sequence[str]) -> None:
        """Over http only what `allow` names is left: a global address is refused as well."""
        with receiving() as receiver:
            url = f"http://billing.test:{receiver.port}/"
            runtime = held(data_of(tmp_path, url), resolve=lambda *_: answer)
            handed = runtime.hand_over(SESSION, LINE)
        assert handed.why == "billing.test leads to an address that is not allowed"
        assert receiver.connections == 0

    def test_https_goes_to_the_world_but_not_beside_it(self, tmp_path: Path) -> None:
        data = data_of(tmp_path, "https://billing.test/")
        handed = held(data, resolve=lambda *_: ["8.8.8.8", "10.0.0.1"]).hand_over(SESSION, LINE)
        assert handed.why == "billing.test leads to an address that is not allowed"

    def test_a_name_that_changes_its_mind_is_asked_once(self, tmp_path: Path) -> None:
        asked: list[str] = []

        def rebinding(host: str, port: int) -> list[str]:
            del port
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

        with receiving() as receiver:
            url = f"http://billing.test:{receiver.port}/"
            runtime = held(data_of(tmp_path, url), resolve=rebinding)
            assert runtime.hand_over(SESSION, LINE).evidence is Evidence.ACCEPTED
            assert runtime.hand_over(SESSION, LINE).why.endswith("not allowed")
        assert (asked, receiver.connections) == (["billing.test"] * 2, 1)

    def test_a_resolver_that_hangs_holds_up_nobody(self, tmp_path: Path) -> None:
        with receiving() as receiver:

            def hanging(host: str, port: int) -> list[str]:
                del host, port
                receiver.over.wait(20)
                return []

            runtime = held(data_of(tmp_path, receiver.url), resolve=hanging)
            began = time.monotonic()
            handed = runtime.hand_over(SESSION, QUICK)
            assert time.monotonic() - began < QUICK_S_MAX
        assert handed == Handed(Evidence.UNVERIFIED, why="its service was not reached in time")

    def test_the_next_address_is_tried_where_nobody_listens(self, tmp_path: Path) -> None:
        with receiving() as receiver:
            url = f"http://billing.test:{receiver.port}/"
            runtime = held(data_of(tmp_path, url), resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
            assert runtime.hand_over(SESSION, LINE).evidence is Evidence.ACCEPTED

    def test_no_proxy_of_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with receiving() as proxy, receiving() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            assert told(tmp_path, receiver).evidence is Evidence.ACCEPTED
        assert (proxy.connections, receiver.connections) == (0, 1)

    def test_one_service_cannot_keep_all_hands(self, tmp_path: Path) -> None:
        with receiving() as receiver:
            data = data_of(tmp_path, receiver.url)
            services = Services()
            services.hold(Service(SESSION, "billing", data, term=1))
            turns = services.place(data).turns
            while turns.acquire(blocking=False):
                pass
            handed = WebhookRuntime(services).hand_over(SESSION, QUICK)
        assert (handed.evidence, handed.reason) == (Evidence.NOT_TOUCHED, WaitReason.SLOT)
        assert receiver.connections == 0


class TestItsSecret:
    @pytest.mark.parametrize(
        "content",
        [
            *("", "\n", "nothing", "whsec_", "whsec_!!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            *("whsec_" + base64.b64encode(bytes(size)).decode() for size in (23, 65)),
            *("\n".join([SECRET] * 5), SECRET + "\nnothing", "whsk_" + "A" * 32, "x" * 5000),
        ],
    )
    def test_what_is_none_is_refused_and_never_shown(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "secret"
        file.write_text(content)
        file.chmod(0o600)
        with pytest.raises(SecretError) as refused:
            read_secrets(str(file))
        said = str(refused.value).replace("whsec_ and the base64", "")
        assert not content.strip() or content not in said

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_what_others_may_read_is_refused(self, tmp_path: Path, mode: int) -> None:
        with receiving() as receiver:
            data = data_of(tmp_path, receiver.url)
            (tmp_path / "billing.secret").chmod(mode)
            runtime = held(data)
            probed = runtime.probe(SESSION, quiet_s=0)
            assert (probed.free, probed.here, probed.reason) == (False, True, WaitReason.HOST)
            handed = runtime.hand_over(SESSION, LINE)
        assert (handed.evidence, handed.reason) == (Evidence.NOT_TOUCHED, WaitReason.HOST)
        assert receiver.connections == 0
        assert str(tmp_path) not in handed.why + probed.why

    def test_what_is_no_file_holds_up_nobody(self, tmp_path: Path) -> None:
        import os  # noqa: PLC0415 - here alone

        os.mkfifo(tmp_path / "fifo", 0o600)
        for path in (tmp_path / "fifo", tmp_path, tmp_path / "nothing"):
            with pytest.raises(SecretError):
                read_secrets(str(path))

    @pytest.mark.parametrize("size", [24, 64])
    def test_the_standards_sizes_are_taken(self, tmp_path: Path, size: int) -> None:
        file = tmp_path / "secret"
        file.write_text("whsec_" + base64.b64encode(bytes(size)).decode())
        file.chmod(0o600)
        assert read_secrets(str(file)) == (bytes(size),)


class TestThePreset:
    @pytest.mark.parametrize(
        "url",
        [
            *("", "billing.test", "ftp://billing.test/", "https://", "https:///woken", "//billing.test/"),
            *("https://user@billing.test/", "https://user:word@billing.test/", "https://@billing.test/"),
            *("https://billing.test/#here", "https://billing.test:0/", "https://billing.test:65536/"),
            *("https://billing.test:x/", "https://good.test\\@evil.test/", "https://good.test\t.evil.test/"),
            *("https://good test/", "https://bílling.test/", "https://[fe80::1%25eth0]/", "https://[::1/"),
            *("https://-x.test/", "https://billing%2etest/", "https://billing.test./", "https://a\nb/"),
            "https://billing.test/" + "x" * 2050,
        ],
    )
    def test_a_url_with_two_meanings_is_refused(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(PresetError, match="url"):
            data_of(tmp_path, url)

    @pytest.mark.parametrize(
        ("url", "place", "target"),
        [
            ("https://billing.test", ("https", "billing.test", 443), "/"),
            ("http://127.0.0.1:8080/a/b?c=d&e", ("http", "127.0.0.1", 8080), "/a/b?c=d&e"),
            ("https://[2606:4700::1111]:8443/x", ("https", "2606:4700::1111", 8443), "/x"),
            ("HTTPS://Billing.Test/x", ("https", "billing.test", 443), "/x"),
        ],
    )
    def test_a_url_is_taken_apart_once(
        self, tmp_path: Path, url: str, place: tuple[str, str, int], target: str
    ) -> None:
        data = data_of(tmp_path, url)
        assert ((data.scheme, data.host, data.port), data.target) == (place, target)

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"allow": []}, "http is for addresses that allow names"),
            ({"allow": "127.0.0.0/8"}, "allow is a list"),
            ({"allow": [1]}, "allow is a list"),
            ({"allow": ["127.0.0.1/8"]}, "allow: "),
            ({"timeout_s": 0}, "timeout_s is from 1 to 30"),
            ({"timeout_s": 31}, "timeout_s is from 1 to 30"),
            ({"timeout_s": True}, "timeout_s is a number"),
            ({"secret_file": "relative"}, "secret_file is an absolute path"),
            ({"secret_file": 5}, "secret_file is an absolute path"),
            ({"ca_file": "~/ca"}, "ca_file is an absolute path"),
            ({"headers": {}}, "unknown fields: headers"),
        ],
    )
    def test_every_field_is_checked(self, tmp_path: Path, fields: dict[str, Any], why: str) -> None:
        with pytest.raises(PresetError, match=why):
            data_of(tmp_path, "http://127.0.0.1:1/", **json.loads(json.dumps(fields)))

    def test_it_stands_alone(self, tmp_path: Path) -> None:
        webhook_preset(tmp_path, "http://127.0.0.1:1/")
        file = tmp_path / "billing.toml"
        file.write_text(file.read_text() + '[command]\nspawn = ["true"]\n')
        with pytest.raises(PresetError, match="stands alone"):
            load_preset("billing", tmp_path)
