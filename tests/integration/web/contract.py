"""Whether an answer is what the OpenAPI document promises."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator


def must_conform(document: dict[str, Any], method: str, path: str, status: int, content_type: str, body: Any) -> None:
    """Asserts that the document lists this answer, and that the body fits its schema.

    For what the document cannot list (unknown paths and methods) the body must be a problem document.
    """
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
    operation = _operation(document, method, path)
    if operation is None:
        assert content_type == "application/problem+json", f"{method} {path} is not in the document"
    else:
        assert str(status) in operation["responses"], f"{method} {path} answers {status}, which is not in the document"
        content = operation["responses"][str(status)]["content"]
        assert content_type in content, f"{method} {path} {status} answers {content_type}, the document has {content}"
        schema = content[content_type]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(body)


def _operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    for template, operations in document["paths"].items():
        if method.lower() in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            operation: dict[str, Any] = operations[method.lower()]
            return operation
    return None


def must_fit(document: dict[str, Any], name: str, body: Any) -> None:
    """Asserts that a value fits the document's schema of that name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema).validate(body)
