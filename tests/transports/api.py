"""The HTTP API as its caller sees it, held to the OpenAPI document at every call."""

from __future__ import annotations

import re
from typing import Any

import httpx

from hub.errors import TABLE
from tests.hub_process import HubProcess


class Api:
    """Calls the hub with one token, or none. Whatever is refused has to be declared, and be a problem (RFC 9457)."""

    def __init__(self, hub: HubProcess, token: str | None = None, document: dict[str, Any] | None = None) -> None:
        self._hub = hub
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._document = document or hub.http.get("/openapi.json").json()

    def with_token(self, token: str | None) -> Api:
        return Api(self._hub, token, self._document)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call; the response, which may be a refusal."""
        headers = options.pop("headers", self._headers)
        response = self._hub.http.request(method, path, headers=headers, **options)
        if response.status_code >= 400:
            self._check(method, path, response)
        return response

    def refused(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """One call that is refused; the problem."""
        response = self.call(method, path, **options)
        assert response.status_code >= 400, response.text
        problem: dict[str, Any] = response.json()
        return problem

    def get(self, path: str, **params: Any) -> Any:
        """A GET that succeeds; its JSON."""
        response = self.call("GET", path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def publish(self, body: Any) -> Any:
        """A publish that succeeds; the receipt or receipts."""
        response = self.call("POST", "/v1/events", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def _check(self, method: str, path: str, response: httpx.Response) -> None:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        kind = TABLE[problem["code"]]
        assert (problem["type"], problem["title"]) == ("about:blank", kind.title)
        assert problem["status"] == response.status_code == kind.status
        assert problem["detail"]
        declared = self._operation(method, path.partition("?")[0])["responses"]
        assert str(response.status_code) in declared, f"{method} {path}: {response.text} is not declared"

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        # The template with the fewest parameters is the one that a router takes first here.
        for template, operations in sorted(self._document["paths"].items(), key=lambda item: item[0].count("{")):
            pattern = re.sub(r"\\{[^}]+\\}", ".+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in operations:
                operation: dict[str, Any] = operations[method.lower()]
                return operation
        raise AssertionError(f"{method} {path} is not in the document")
