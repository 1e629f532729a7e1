"""The attack table for JWTs (RFC 8725, section 2, and what has been tried since): each row with the answer it meets.

But for what a row is named after, its token is good and well signed.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from .forger import EC, RSA, STRANGER, Forger, encode
from .test_jwks import jwk

Make = Callable[[Forger], str]
Row = tuple[Make, str]
FAR = int(time.time()) + 30 * 86400
DEEP = 1000


def hmac_by(form: str) -> Make:
    def make(by: Forger) -> str:
        return by.make(by.header(alg="HS256"), key=by.public()[form])

    return make


def unsigned(algorithm: Any, tail: str = "") -> Make:
    return lambda by: f"{encode(by.header(alg=algorithm))}.{encode(by.claims())}.{tail}"


def stranger(by: Forger, **header: Any) -> str:
    return by.make(by.header(**header), key=STRANGER[by.algorithm])


def stranger_jwk(by: Forger) -> dict[str, Any]:
    return jwk(STRANGER[by.algorithm], kid=None)


def raw_header(more: str) -> Make:
    """The header's JSON, with more at its end."""
    return lambda by: by.make(json.dumps(by.header())[:-1] + more + "}")


def raw_claims(more: str) -> Make:
    return lambda by: by.make(claims=json.dumps(by.claims())[:-1] + more + "}")


def long(by: Forger, size: int) -> str:
    """A token of that many characters, or up to three more."""
    return by.said(filler="x" * ((size - len(by.said(filler=""))) * 3 // 4 + 2))


def with_tail(by: Forger, tail: bytes) -> str:
    """A token with another signature."""
    return f"{by.make().rpartition('.')[0]}.{encode(tail)}"


def in_der(by: Forger) -> bytes:
    """The right signature, as X.509 writes it and JWS does not (RFC 7518, 3.4)."""
    return EC.sign(by.make().rpartition(".")[0].encode(), ec.ECDSA(hashes.SHA256()))


def by_pss(by: Forger) -> str:
    """By the right key, with an algorithm that it is not for (RFC 8725, 3.1)."""
    text = f"{encode(by.header(alg='PS256'))}.{encode(by.claims())}"
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return f"{text}.{encode(RSA.sign(text.encode(), salted, hashes.SHA256()))}"


def padded_header(by: Forger) -> str:
    head = base64.urlsafe_b64encode(json.dumps(by.header() | {"x": ""}).encode()).decode()
    while not head.endswith("="):
        head = base64.urlsafe_b64encode(base64.urlsafe_b64decode(head)[:-2] + b' "}').decode()
    return by.sign(f"{head}.{encode(by.claims())}")


def plain_base64(by: Forger) -> str:
    """Claims whose base64 has a plus and a slash."""
    body = base64.b64encode(json.dumps(by.claims(x="\u00fb\u00ff~~??>>"), ensure_ascii=False).encode()).decode()
    assert "+" in body or "/" in body
    return by.sign(f"{encode(by.header())}.{body.rstrip('=')}")


def last_bit(by: Forger) -> str:
    """Another spelling of the same signature: a bit that means nothing is set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = by.make()
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def flipped(by: Forger) -> str:
    head, body, tail = by.make().split(".")
    return f"{head}.{body}.{('B' if tail[0] == 'A' else 'A') + tail[1:]}"


def cut(by: Forger) -> str:
    tail = by.make().rpartition(".")[2]
    return with_tail(by, base64.urlsafe_b64decode(tail + "==")[:-6])


def swapped(by: Forger) -> str:
    head, _, tail = by.make().split(".")
    return f"{head}.{encode(by.claims(sub='mallory'))}.{tail}"


def json_form(by: Forger) -> str:
    head, body, tail = by.make().split(".")
    return json.dumps({"payload": body, "protected": head, "signature": tail})


MALFORMED, ALGORITHM, SIGNATURE = "token_malformed", "token_algorithm", "token_signature"
CLAIMS, TYPE, AUDIENCE, ISSUER = "token_claims", "token_type", "token_audience", "token_issuer"

TABLE: dict[str, Row] = {
    # --- No signature, or one that proves nothing (RFC 8725, 2.1)
    **{f"alg {name!r}, unsigned": (unsigned(name), ALGORITHM)
       for name in ("none", "None", "NONE", "nOnE", "", " none")},
    **{f"alg {name!r}, signed": (unsigned(name, "AAAA"), ALGORITHM) for name in ("none", "None", "NONE", "nOnE")},
    "no alg": (lambda by: by.headed(alg=None), ALGORITHM),
    "alg null": (lambda by: by.make(json.dumps(by.header()).replace(f'"{by.algorithm}"', "null")), ALGORITHM),
    "alg list": (lambda by: by.headed(alg=[by.algorithm]), ALGORITHM),
    "alg list with none": (lambda by: by.headed(alg=["none", by.algorithm]), ALGORITHM),
    "alg number": (lambda by: by.headed(alg=256), ALGORITHM),
    "alg in lower case": (lambda by: by.headed(alg=by.algorithm.lower()), ALGORITHM),
    "alg with a NUL": (lambda by: by.headed(alg=by.algorithm + "\x00"), ALGORITHM),
    "signature stripped": (lambda by: by.make().rpartition(".")[0] + ".", ALGORITHM),
    "signature flipped": (flipped, SIGNATURE),
    "signature cut": (cut, SIGNATURE),
    "signature of zeros": (lambda by: with_tail(by, bytes(64)), SIGNATURE),
    "signature of other claims": (swapped, SIGNATURE),
    "somebody else's key": (stranger, SIGNATURE),
    # --- The key as another kind of key (RFC 8725, 2.1)
    **{f"public key as a secret: {form}": (hmac_by(form), ALGORITHM)
       for form in ("pem", "pem without its end", "der", "jwk")},
    "empty secret": (lambda by: by.make(by.header(alg="HS256"), key=b""), ALGORITHM),
    "HS512": (lambda by: by.headed(alg="HS512"), ALGORITHM),
    "RS512": (lambda by: by.headed(alg="RS512"), ALGORITHM),
    "dir": (lambda by: by.headed(alg="dir", enc="A128GCM"), ALGORITHM),
    # --- The key id as a way in
    **{f"kid {kid!r}": (lambda by, kid=kid: by.headed(kid=kid), SIGNATURE)
       for kid in ("unknown", "", "../../../../dev/null", "/dev/null", "' OR '1'='1", "x' UNION SELECT 'secret",
                   "https://evil.example/keys", "| id", "rsa\x00", "rsa ", "RSA", "\u0440sa", "x" * 256)},
    **{f"kid {json.dumps(kid)[:20]}": (lambda by, kid=kid: by.headed(kid=kid), MALFORMED)
       for kid in (7, ["rsa"], {"$ne": ""}, True, "x" * 257)},
    # --- The key in the token (RFC 8725, 2.10 and 3.10)
    "jwk": (lambda by: stranger(by, jwk=stranger_jwk(by)), SIGNATURE),
    "jwk, no kid": (lambda by: stranger(by, jwk=stranger_jwk(by), kid=None), SIGNATURE),
    "jku": (lambda by: stranger(by, jku="https://evil.example/keys"), SIGNATURE),
    "x5u": (lambda by: stranger(by, x5u="file:///etc/passwd"), SIGNATURE),
    "x5c": (lambda by: stranger(by, x5c=["MIIB"]), SIGNATURE),
    # --- Extensions (RFC 7515, 4.1.11; RFC 7797)
    **{f"crit {json.dumps(crit)}": (lambda by, crit=crit: by.headed(crit=crit, x=1, b64=None), MALFORMED)
       for crit in (["x"], ["exp"], ["b64"], ["alg"], [], "x", {}, [1])},
    "b64 true, critical": (lambda by: by.headed(b64=True, crit=["b64"]), MALFORMED),
    "b64 false": (lambda by: by.headed(b64=False), MALFORMED),
    "b64 false, critical": (lambda by: by.headed(b64=False, crit=["b64"]), MALFORMED),
    "b64 false, detached": (
        lambda by: f"{encode(by.header(b64=False, crit=['b64']))}..{by.make().rpartition('.')[2]}", MALFORMED),
    # --- Size
    "over 4,096 characters": (lambda by: long(by, 4097), MALFORMED),
    "of 7,000 characters": (lambda by: long(by, 7000), MALFORMED),
    # --- Ways to write it
    "empty header": (lambda by: by.sign(f".{encode(by.claims())}"), MALFORMED),
    "empty payload": (lambda by: by.sign(f"{encode(by.header())}."), MALFORMED),
    "nothing but dots": (lambda by: "..", MALFORMED),
    "one part": (lambda by: encode(by.claims()), MALFORMED),
    "two parts": (lambda by: by.make().rpartition(".")[0], MALFORMED),
    "four parts": (lambda by: f"{by.make()}.AAAA", MALFORMED),
    "six parts": (lambda by: f"{by.make()}.{by.make()}", MALFORMED),
    "encrypted (JWE)": (lambda by: ".".join([encode({"alg": "RSA-OAEP", "enc": "A128GCM"}), *["AAAA"] * 4]), MALFORMED),
    "in JSON (RFC 7515, 7.2)": (json_form, MALFORMED),
    "padded": (lambda by: by.make() + "=", MALFORMED),
    "padded header": (padded_header, MALFORMED),
    "plain base64": (plain_base64, MALFORMED),
    "another spelling of the signature": (last_bit, MALFORMED),
    "a part of 4n+1 characters": (lambda by: by.make() + "AAA", MALFORMED),
    "percent-encoded": (lambda by: by.make().replace(".", "%2E"), MALFORMED),
    "space before": (lambda by: " " + by.make(), MALFORMED),
    "space after": (lambda by: by.make() + " ", MALFORMED),
    "space within": (lambda by: by.make().replace(".", ". "), MALFORMED),
    "newline after": (lambda by: by.make() + "\n", MALFORMED),
    "newline within": (lambda by: by.make().replace(".", ".\n"), MALFORMED),
    "tab within": (lambda by: by.make().replace(".", "\t."), MALFORMED),
    "NUL after": (lambda by: by.make() + "\x00", MALFORMED),
    "full-width dots": (lambda by: by.make().replace(".", "\uff0e"), MALFORMED),
    "half a surrogate": (lambda by: by.make() + "\ud800", MALFORMED),
    "a scheme within": (lambda by: f"Bearer {by.make()}", MALFORMED),
    # --- Two readings of one token
    "alg twice": (raw_header(', "alg": "none"'), MALFORMED),
    "alg twice, the same": (lambda by: by.make(f'{{"alg":"{by.algorithm}",' + json.dumps(by.header())[1:]), MALFORMED),
    "kid twice": (raw_header(', "kid": "a", "kid": "b"'), MALFORMED),
    "typ twice": (raw_header(', "typ": "at+jwt"'), MALFORMED),
    "sub twice": (raw_claims(', "sub": "mallory"'), MALFORMED),
    "sub twice, once escaped": (raw_claims(', "\\u0073ub": "mallory"'), MALFORMED),
    "exp twice": (raw_claims(f', "exp": {FAR}'), MALFORMED),
    "iss twice": (raw_claims(', "iss": "notification-hub"'), MALFORMED),
    "admin twice": (raw_claims(', "admin": false, "admin": true'), MALFORMED),
    "a member within twice": (raw_claims(', "grants": {"publish": [], "publish": ["*"]}'), MALFORMED),
    # --- What is no claims
    **{f"payload {text[:12]!r}": (lambda by, text=text: by.make(claims=text), MALFORMED)
       for text in ("[]", "null", "7", '"x"', "{", "{}x", "{'sub': 'alice'}", '{"sub": "alice",}', "[{}]", " ")},
    "payload not UTF-8": (lambda by: by.make(claims=json.dumps(by.claims()).encode() + b"\xff"), MALFORMED),
    "payload in UTF-16": (lambda by: by.make(claims=json.dumps(by.claims()).encode("utf-16")), MALFORMED),
    "payload after a BOM": (lambda by: by.make(claims=b"\xef\xbb\xbf" + json.dumps(by.claims()).encode()), MALFORMED),
    "a token in a token": (lambda by: by.make(by.header(cty="JWT"), by.make()), MALFORMED),
    "deep arrays": (raw_claims(f', "x": {"[" * DEEP}{"]" * DEEP}'), MALFORMED),
    "deep objects": (raw_claims(', "x": ' + '{"x":' * 400 + "1" + "}" * 400), MALFORMED),
    "deep header": (raw_header(f', "x": {"[" * DEEP}{"]" * DEEP}'), MALFORMED),
    "header is a list": (lambda by: by.make("[]"), MALFORMED),
    "header is not UTF-8": (lambda by: by.make(b'{"alg":"\xff"}'), MALFORMED),
    # --- Times
    **{f"exp {text[:12]}": (lambda by, text=text: by.make(claims=json.dumps(by.claims(exp=0)).replace(
        '"exp": 0', f'"exp": {text}')), CLAIMS)
       for text in ("-1", "1e300", "1" + "0" * 30, "1" + "0" * 400, "1e999", "NaN", "Infinity", "-Infinity", "null",
                    "true", "[]", "{}", f'"{FAR}"', '""', '"never"')},
    "no exp": (lambda by: by.said(exp=None), CLAIMS),
    "exp in the past": (lambda by: by.said(exp=int(time.time()) - 1), "token_expired"),
    "exp 0": (lambda by: by.said(exp=0), "token_expired"),
    "no iat": (lambda by: by.said(iat=None), CLAIMS),
    "iat far ahead": (lambda by: by.said(iat=FAR, exp=FAR + 600), "token_not_yet_valid"),
    "iat a text": (lambda by: by.said(iat="0"), CLAIMS),
    "iat negative": (lambda by: by.said(iat=-1), CLAIMS),
    "iat in milliseconds": (lambda by: by.said(iat=int(time.time() * 1000)), CLAIMS),
    "nbf ahead": (lambda by: by.said(nbf=int(time.time()) + 300), "token_not_yet_valid"),
    "nbf a text": (lambda by: by.said(nbf="0"), CLAIMS),
    # --- Another kind of token (RFC 8725, 2.8 and 3.11)
    **{f"typ {kind!r}": (lambda by, kind=kind: by.headed(typ=kind), TYPE)
       for kind in ("id_token", "refresh+jwt", "rt+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "at+jwt\x00",
                    "\uff41\uff54+jwt", "application/jwt2", 7, ["at+jwt"], {"at+jwt": 1})},
    "typ null": (lambda by: by.make(json.dumps(by.header()).replace(f'"{by.kind}"', "null")), TYPE),
    "a refresh token": (lambda by: "hubr_" + "A" * 22 + "." + "B" * 43, TYPE),
    # --- Somebody else's token
    **{f"aud {json.dumps(aud)}": (lambda by, aud=aud: by.said(aud=aud), AUDIENCE)
       for aud in ("", "other", ["other"], [], "notification-hub ", "notification-hub\x00", "Notification-Hub",
                   "n\u043etification-hub", "notification", "notification-hub other")},
    "iss of nobody": (lambda by: by.said(iss="https://evil.example"), ISSUER),
    "iss with a slash": (lambda by: by.said(iss=by.issuer + "/"), ISSUER),
    "iss look-alike": (lambda by: by.said(iss=by.issuer.replace("t", "\u0442")), ISSUER),
    "iss in upper case": (lambda by: by.said(iss=by.issuer.upper()), ISSUER),
    "iss with a NUL": (lambda by: by.said(iss=by.issuer + "\x00"), ISSUER),
    # --- Who it says it is
    "no sub": (lambda by: by.said(sub=None), CLAIMS),
    **{f"sub {json.dumps(sub)[:20]}": (lambda by, sub=sub: by.said(sub=sub), CLAIMS)
       for sub in ("", " ", "a b", "a:b", "*", "all:*", "\u0430lice", "alice\u200b", "\u202eecila", "alice\x00",
                   "a\nb", "x" * 129, "\u212aelvin", "\uff41lice", ["alice"], {"sub": "alice"}, True, 1.5)},
}  # fmt: skip

ONLY: dict[str, dict[str, Row]] = {
    # What is judged by the rules of one issuer.
    "hub": {
        "no aud": (lambda by: by.said(aud=None), CLAIMS),
        "aud a number": (lambda by: by.said(aud=1), CLAIMS),
        "no iss": (lambda by: by.said(iss=None), CLAIMS),
        "iss list": (lambda by: by.said(iss=[by.issuer]), CLAIMS),
        "no jti": (lambda by: by.said(jti=None), CLAIMS),
        "typ JWT": (lambda by: by.headed(typ="JWT"), TYPE),
        "no typ": (lambda by: by.headed(typ=None), TYPE),
        "empty typ": (lambda by: by.headed(typ=""), TYPE),
        "admin 1": (lambda by: by.said(admin=1), CLAIMS),
        "kind root": (lambda by: by.said(kind="root"), CLAIMS),
        "a half wildcard": (lambda by: by.said(grants={"publish": ["a*"]}), CLAIMS),
        "a wildcard topic": (lambda by: by.said(topics=["a:*"]), CLAIMS),
        "another issuer's iss": (lambda by: by.said(iss="https://id.example"), SIGNATURE),
        "another issuer's key": (lambda by: by.make(key=RSA), SIGNATURE),
        "ES256": (lambda by: by.make(by.header(alg="ES256"), key=STRANGER["ES256"]), ALGORITHM),
    },
    "id": {
        "no aud": (lambda by: by.said(aud=None), AUDIENCE),
        "aud a number": (lambda by: by.said(aud=1), AUDIENCE),
        # Without it, it could only be the hub's own; and that has another key.
        "no iss": (lambda by: by.said(iss=None), ALGORITHM),
        "iss list": (lambda by: by.said(iss=[by.issuer]), ALGORITHM),
        "the hub's iss": (lambda by: by.said(iss="notification-hub"), ALGORITHM),
        "another issuer's iss": (lambda by: by.said(iss="https://ec.example"), ALGORITHM),
        "typ JWT": (lambda by: by.headed(typ="JWT"), TYPE),
        "no typ": (lambda by: by.headed(typ=None), TYPE),
        "empty typ": (lambda by: by.headed(typ=""), TYPE),
        "a key for another algorithm": (lambda by: by.make(by.header(alg="ES256")), SIGNATURE),
        "a key that says RS256 for PS256": (by_pss, SIGNATURE),
        "lives for a month": (lambda by: by.said(exp=FAR), CLAIMS),
        "sid with a space": (lambda by: by.said(sid="a b"), CLAIMS),
    },
    "ec": {
        "a key for another algorithm": (lambda by: by.make(by.header(alg="RS256", kid="rsa"), key=RSA), ALGORITHM),
        "another kid": (lambda by: by.headed(kid="rsa"), SIGNATURE),
        "r and s are zero": (lambda by: with_tail(by, bytes(64)), SIGNATURE),
        "signature in DER": (lambda by: with_tail(by, in_der(by)), SIGNATURE),
    },
    "loose": {
        # An ID token says JWT as well; what gives it away is what stands in it.
        "an ID token, at_hash": (lambda by: by.said(at_hash="x"), TYPE),
        "an ID token, c_hash": (lambda by: by.said(c_hash="x"), TYPE),
        "an ID token for its client": (lambda by: by.said(aud="my-app", nonce="n"), AUDIENCE),
        "a logout token": (lambda by: by.headed(typ="logout+jwt"), TYPE),
    },
}
