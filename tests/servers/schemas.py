"""Avro's schemas by number: a registry that answers for them, and records in Confluent's wire format."""

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro

from tests.servers import http

Schemas = Mapping[int, Any]


def serve(schemas: Schemas) -> http.Server:
    """A registry that knows these, by Confluent's API; to be closed."""

    def schema(asked: http.Asked) -> http.Reply:
        number = int(asked.path.rpartition("/")[2])
        if number not in schemas:
            return http.Reply(json.dumps({"error_code": 40403, "message": "not found"}), 404)
        return http.Reply(json.dumps({"schema": json.dumps(schemas[number])}))

    return http.Server(schema)


def record(schemas: Schemas, number: int, value: Any) -> bytes:
    target = io.BytesIO()
    target.write(b"\0" + number.to_bytes(4, "big"))
    # fastavro changes the schema that it parses
    fastavro.schemaless_writer(target, fastavro.parse_schema(json.loads(json.dumps(schemas[number]))), value)
    return target.getvalue()
