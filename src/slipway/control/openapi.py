"""The API's own description: FastAPI's, with the errors as they really are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "description": "what went wrong; only the text `No such algorithm` where an algorithm is missing",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["id", "code", "message"],
                    "properties": {
                        "id": {"type": "string"},
                        "code": {"type": "integer"},
                        "message": {"type": "string"},
                    },
                },
            ],
        }
    },
}
_REPLY = {
    "description": "The request was refused",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_SCHEMES = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`KEY`, `Simple KEY`, `Bearer KEY`, or basic authentication with user name and key",
    }
}
_INVALID = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> dict[str, Any]:
    """The document; made when it is first asked for."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
        components = document.setdefault("components", {})
        kept = {name: one for name, one in components.get("schemas", {}).items() if name not in _INVALID}
        components.update(schemas={**kept, "Error": _ERROR}, securitySchemes=_SCHEMES)
        document["security"] = [{"key": []}]
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"].update({"4XX": _REPLY, "5XX": _REPLY})
        app.openapi_schema = document
    return app.openapi_schema
