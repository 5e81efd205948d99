"""Secrets by the patterns of detect-secrets, and a few of the keys that agents carry and it does not know.

Rules of this file:

- The library's patterns are read as data. Its own scan is for files and lines, keeps its settings in a global, and can
  ask the network whether a key works: none of that is called. It is imported with the first text that is looked at.
- Only patterns of keys with a form of their own: none that guesses by entropy or by the word before a value, and none
  whose time grows faster than the square of a piece.
- A text is looked at in pieces that overlap, so that the time grows with its length, whatever is in it. A piece finds
  where a secret begins; how far it goes is then seen in the whole text.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bridge.core.content import Secret

PIECE_CHARS = 512
STEP_CHARS = 256
"""What a pattern needs to be sure must fit into the overlap."""
_TOKEN = re.compile(r"[A-Za-z0-9_+/=-]*")
_DOTTED = re.compile(r"[A-Za-z0-9_+/=.-]*")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{1,64}-----|\Z")

LIBRARY = (
    ("aws", "AWSKeyDetector", "aws key"),
    ("azure_storage_key", "AzureStorageKeyDetector", "azure storage key"),
    ("discord", "DiscordBotTokenDetector", "discord token"),
    ("github_token", "GitHubTokenDetector", "github token"),
    ("gitlab_token", "GitLabTokenDetector", "gitlab token"),
    ("jwt", "JwtTokenDetector", "json web token"),
    ("mailchimp", "MailchimpDetector", "mailchimp key"),
    ("openai", "OpenAIDetector", "openai key"),
    ("private_key", "PrivateKeyDetector", "private key"),
    ("pypi_token", "PypiTokenDetector", "pypi token"),
    ("sendgrid", "SendGridDetector", "sendgrid key"),
    ("slack", "SlackDetector", "slack token"),
    ("square_oauth", "SquareOAuthDetector", "square token"),
    ("stripe", "StripeDetector", "stripe key"),
    ("telegram_token", "TelegramBotTokenDetector", "telegram token"),
    ("twilio", "TwilioKeyDetector", "twilio key"),
    ("basic_auth", "BasicAuthDetector", "password in a url"),
)
OURS = (
    (r"sk-ant-[A-Za-z0-9_-]{20}", "anthropic key"),
    (r"AIza[A-Za-z0-9_-]{35}", "google key"),
    (r"github_pat_[A-Za-z0-9_]{36}", "github token"),
    (r"npm_[A-Za-z0-9]{36}", "npm token"),
    (r"BEGIN ENCRYPTED PRIVATE KEY", "private key"),
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: str
    form: re.Pattern[str]


class SecretPatterns:
    """The SecretFinder."""

    def find(self, text: str) -> Sequence[Secret]:
        """The secrets in it, in order, none within another: of two that overlap, both are taken as the first."""
        if not text:
            return ()
        apart: list[Secret] = []
        for secret in sorted(self._all(text), key=lambda one: (one.start, -one.end, one.kind)):
            if apart and secret.start < apart[-1].end:
                last = apart.pop()
                apart.append(Secret(last.kind, last.start, max(last.end, secret.end)))
            else:
                apart.append(secret)
        return tuple(apart)

    @cached_property
    def _patterns(self) -> tuple[_Pattern, ...]:
        library = [
            _Pattern(kind, form)
            for module, name, kind in LIBRARY
            for form in getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name).denylist
        ]
        return (*library, *(_Pattern(kind, re.compile(form)) for form, kind in OURS))

    def _all(self, text: str) -> Iterator[Secret]:
        for pattern in self._patterns:
            seen = 0  # what begins within a secret of the same pattern is that one: each letter is walked over once
            for at in range(0, max(1, len(text) - STEP_CHARS), STEP_CHARS):
                for match in pattern.form.finditer(text[at : at + PIECE_CHARS]):
                    if at + match.start() >= seen:
                        secret = _whole(text, pattern.kind, match, at)
                        seen = secret.end
                        yield secret


def _whole(text: str, kind: str, match: re.Match[str], at: int) -> Secret:
    """The secret as far as it goes: a piece may have cut it, and some patterns know no more than how it begins."""
    start, end = at + match.start(), at + match.end()
    if kind == "password in a url":
        return Secret(kind, at + match.start(1), at + match.end(1))
    if kind == "private key":
        dashes = len(match.string[: match.start()]) - len(match.string[: match.start()].rstrip("-"))
        return Secret(kind, start - dashes, _end(_KEY_ENDS.search(text, end), end))
    rest = _DOTTED if kind == "json web token" else _TOKEN
    return Secret(kind, start, _end(rest.match(text, end), end))


def _end(match: re.Match[str] | None, end: int) -> int:
    return end if match is None else match.end()
