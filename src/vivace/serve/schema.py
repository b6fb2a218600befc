"""JSON Schema of the control messages, both directions in one document.

`python -m vivace.serve.schema > docs/schema/control-v1.json` writes it anew.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from vivace.messages import PROTOCOL_VERSION, ClientMessage, ServerMessage


def control_schema() -> dict[str, Any]:
    """Return the schema."""
    client: TypeAdapter[Any] = TypeAdapter(ClientMessage)
    server: TypeAdapter[Any] = TypeAdapter(ServerMessage)
    sides, shared = TypeAdapter.json_schemas(
        [("client", "validation", client), ("server", "validation", server)], ref_template="#/$defs/{model}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Vivace control messages, version {PROTOCOL_VERSION}",
        "description": "Over WebSocket and data channel alike: one JSON object a message.",
        "oneOf": [{"title": side, **schema} for (side, _), schema in sides.items()],
        **shared,
    }


if __name__ == "__main__":
    print(json.dumps(control_schema(), indent=2, ensure_ascii=False))
