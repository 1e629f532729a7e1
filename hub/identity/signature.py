"""Whether a key signed a token. PyJWT's algorithms, without its second reading of what ``jws`` read strictly.

A secret is looked over (is it a key by mistake?) once and not for every token: that, and reading the token again, cost
ten times what verifying it does. The length of keys is enforced (RFC 8725, 3.5). Knows jws.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError

from hub.identity.jws import Unverified

_ALGORITHMS = get_default_algorithms()


def is_signed(token: Unverified, algorithm: str, key: Any) -> bool:
    """Whether ``key`` signed the token with ``algorithm``, which is the key's own and never the token's choice.

    A key that is too short, or none for this algorithm, signed nothing.
    """
    if token.algorithm != algorithm:
        return False
    try:
        prepared = _prepared_secret(algorithm, key) if isinstance(key, str | bytes) else _prepare(algorithm, key)
    except InvalidKeyError:
        return False
    return _ALGORITHMS[algorithm].verify(token.signed, prepared, token.signature)


@lru_cache(maxsize=64)
def _prepared_secret(algorithm: str, secret: str | bytes) -> Any:
    return _prepare(algorithm, secret)


def _prepare(algorithm: str, key: Any) -> Any:
    method = _ALGORITHMS[algorithm]
    prepared = method.prepare_key(key)
    if problem := method.check_key_length(prepared):
        raise InvalidKeyError(problem)
    return prepared
