"""What a woken agent runs in this soak: read all that is unread, and say so. One process, no package."""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ["BRIDGE_URL"]  # noqa: TID251  a program of its own
TOKEN = Path(os.environ["BRIDGE_TOKEN_FILE"]).read_text().strip()  # noqa: TID251


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call to the bridge."""
    head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, head, method=method)  # noqa: S310  the bridge's own URL
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


READ = 0
for item in call("GET", "/v1/inbox")["items"]:
    thread = f"/v1/threads/{item['thread_id']}"
    page = call("GET", f"{thread}/messages?since_seq={item['last_read_seq']}&limit=200")
    READ += len(page["items"])
    call("PUT", f"{thread}/cursor", {"last_read_seq": page["items"][-1]["seq"]})
print(f"caught up: {READ}")
