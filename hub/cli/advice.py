"""What to do about a token or an API key that is refused, by the code of the refusal."""

from __future__ import annotations

ADVICE = {
    "token_missing": "Give the token.",
    "token_malformed": (
        "Look whether it was copied whole: an access token is three parts joined by dots, at most 4,096 characters; "
        "an API key begins with hubk_."
    ),
    "token_expired": "Get a fresh one: refresh the session, ask for another with the API key, or log in.",
    "token_not_yet_valid": "Compare the clock of the machine that made it with the hub's.",
    "token_signature": (
        "It was changed, or its key is not the hub's: look whether it is a token of this hub and not of another one, "
        "and get a fresh one. If your own code made it, look whether it has the hub's secret."
    ),
    "token_algorithm": "Sign it with an algorithm that the hub takes: the detail names them.",
    "token_issuer": "Look at its iss: it has to be the hub's own (HUB_ISSUER) or one of HUB_ISSUERS.",
    "token_audience": "Look at its aud: it has to hold the hub's (HUB_AUDIENCE), or that of its issuer in HUB_ISSUERS.",
    "token_type": "Give an access token, whose header says what the hub expects as its typ, or an API key.",
    "token_claims": "Mend, where it is made, what the detail names; docs/protocol.md, section 2, says what is needed.",
    "token_revoked": (
        "Get a fresh one, by a refresh or a login: this one, its session or its key was ended, or its account's rights "
        "have changed since it was made."
    ),
    "ticket_invalid": "Ask for a new ticket: each is good once, for 30 seconds.",
    "logged_out": "Log in again.",
    "user_disabled": "An administrator can let it in again: hub user enable, or hub service enable.",
    "key_unknown": "Make another one with hub service key create; hub service key list shows those that there are.",
    "key_expired": "Make another one with hub service key rotate.",
    "issuer_unavailable": "Its issuer's keys cannot be had now: try again, and look into the hub's log.",
}

ELSE = "Try again; if it stays, the hub's log says why."
"""For what is not about the token."""
