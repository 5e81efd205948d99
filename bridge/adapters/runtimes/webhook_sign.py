"""What a service checks that a webhook is ours by: Standard Webhooks, symmetric (`v1`).

Rules of this file:

- A secret is read from its file at each use: what is written there counts at once, and nothing keeps it.
- Every line is a secret, and each signs: a service may take its time to change from one to the next.
- No error says what is in the file.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

PREFIX: Final = "whsec_"
SECRETS_MAX: Final = 4
FILE_BYTES_MAX: Final = 4096
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64


class SecretError(Exception):
    """The secrets cannot be used; the words say why, and nothing of what is in the file."""


def read_secrets(path: str) -> tuple[bytes, ...]:
    """The keys in the file, one a line. Raises SecretError unless it is ours, kept from others, and well formed."""
    try:
        with open(path, "rb", opener=_open) as file:  # an opener, so that a FIFO holds up nobody
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise SecretError(f"{path} is no file")
            if found.st_mode & 0o077 or found.st_uid not in {0, os.geteuid()}:
                raise SecretError(f"{path} may be read by others: chmod 600 it, and own it")
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from error
    lines = raw.split()
    if len(raw) > FILE_BYTES_MAX or not 0 < len(lines) <= SECRETS_MAX:
        raise SecretError(f"{path} has 1 to {SECRETS_MAX} secrets, one a line")
    return tuple(_key(path, line) for line in lines)


def headers(keys: tuple[bytes, ...], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers for exactly these bytes, at this second since the epoch."""
    at, text = datetime.fromtimestamp(timestamp_s, UTC), body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, text) for key in keys),
    }


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _key(path: str, line: bytes) -> bytes:
    prefix = PREFIX.encode()
    try:
        key = base64.b64decode(line.removeprefix(prefix), validate=True)
    except binascii.Error:
        key = b""
    if not line.startswith(prefix) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise SecretError(
            f"{path}: a secret is {PREFIX} and the base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
        )
    return key
