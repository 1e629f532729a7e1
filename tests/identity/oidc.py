"""A real OpenID provider in a process of its own: started, stopped, its keys rotated, logged in at, counted at."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.hub_process import clean_environment, free_port
from tests.node import node

DIRECTORY = Path(__file__).parent / "provider"
AUDIENCE = "https://hub.example.com"
_CALLBACK = "http://127.0.0.1:1/callback"
_BACKEND = ("backend", "the secret of the backend in the tests")


def new_key(kid: str, algorithm: str) -> dict[str, Any]:
    """A private JWK."""
    if algorithm == "EdDSA":
        jwk: dict[str, Any] = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate(), as_dict=True)
    elif algorithm == "ES256":
        jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | {"kid": kid, "alg": algorithm, "use": "sig"}


class Provider:
    """One provider. Its keys are kept while it is down."""

    def __init__(self, directory: Path, algorithm: str = "RS256") -> None:
        self.algorithm = algorithm
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys = [new_key("first", algorithm)]
        self.life = 3600
        self._config = directory / "provider.json"
        self._log = directory / "provider.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Provider:
        config = {
            "port": self.port,
            "keys": self.keys,
            "algorithm": self.algorithm,
            "audience": AUDIENCE,
            "life": self.life,
        }
        self._config.write_text(json.dumps(config))
        program = node()
        assert program is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, str(DIRECTORY / "provider.mjs"), str(self._config)],
                env=clean_environment(),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while "listening" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the provider did not start:\n{self._log.read_text()}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def rotate(self, kid: str, *, keep: bool = True) -> None:
        """A new key signs; the old ones are still published, or withdrawn."""
        self.stop()
        self.keys = [new_key(kid, self.algorithm), *(self.keys if keep else [])]
        self.start()

    def requests(self, path: str) -> int:
        """How often that path was asked for since the last start."""
        return self._log.read_text().count(f"request {path}\n")

    def client_credentials(self) -> str:
        """The access token of the program ``backend``."""
        answer = httpx.post(
            f"{self.url}/token", auth=_BACKEND, data={"grant_type": "client_credentials"}, trust_env=False
        )
        return str(self._said(answer)["access_token"])

    def login(self, name: str) -> dict[str, Any]:
        """Log a person in, as their browser would (RFC 6749, 4.1, with PKCE); the token response."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        with httpx.Client(base_url=self.url, trust_env=False) as browser:
            answer = browser.get(
                "/auth",
                params={
                    "client_id": "app",
                    "response_type": "code",
                    "scope": "openid",
                    "redirect_uri": _CALLBACK,
                    "resource": "https://hub.example",
                    "code_challenge": challenge,
                    "code_challenge_method": "S256",
                },
            )
            for form in ({"prompt": "login", "login": name, "password": "any"}, {"prompt": "consent"}):
                page = self._follow(browser, answer)
                action = re.search(r'action="([^"]+)"', page.text)
                assert action is not None, page.text
                answer = browser.post(action[1], data=form)
            code = parse_qs(urlsplit(str(self._follow(browser, answer).headers["location"])).query)["code"][0]
            answer = browser.post(
                "/token",
                data={
                    "grant_type": "authorization_code",
                    "client_id": "app",
                    "code": code,
                    "redirect_uri": _CALLBACK,
                    "code_verifier": verifier,
                },
            )
        return self._said(answer)

    @staticmethod
    def _follow(browser: httpx.Client, answer: httpx.Response) -> httpx.Response:
        """The page at the end of redirects, or the redirect back to the app."""
        while answer.is_redirect and not answer.headers["location"].startswith(_CALLBACK):
            answer = browser.get(answer.headers["location"])
        return answer

    def _said(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, (answer.text, self._log.read_text())
        said: dict[str, Any] = answer.json()
        return said


def require_provider() -> None:
    """Skip where what the provider runs on is missing."""
    if node() is None or not (DIRECTORY / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("the OpenID provider is not installed; `make test` does")
