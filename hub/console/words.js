// What the hub's codes mean, in words for people.

import { HubError } from "/client/index.js";

/** @type {Record<string, string>} */
const WORDS = {
  token_missing: "No token was given.",
  token_malformed: "That is not a token the hub can read.",
  token_expired: "The token has expired. Sign in again, or bring a fresh one.",
  token_not_yet_valid: "The token is not valid yet.",
  token_signature: "The token's signature is wrong: it was not made by this hub, or it was changed.",
  token_algorithm: "The token's algorithm is not one that the hub accepts.",
  token_issuer: "The token comes from another issuer.",
  token_audience: "The token is meant for another audience.",
  token_type: "This is not an access token (a refresh token, perhaps).",
  token_claims: "The token lacks a claim, or has a bad one.",
  token_revoked: "The token was revoked.",
  logged_out: "This session was signed out, so the hub closed its connections.",
  user_disabled: "This account has been disabled.",
  credentials_invalid: "Wrong user name or password.",
  refresh_invalid: "The session is over. Sign in again.",
  refresh_reused: "The session's key was used twice, so the hub ended it to be safe. Sign in again.",
  subject_mismatch: "The fresh token speaks for somebody else.",
  forbidden: "That is not allowed for this account.",
  origin_forbidden: "Pages from this address may not connect to the hub.",
  overloaded: "The hub has too much to do at the moment.",
  restarting: "The hub is restarting.",
  unreachable: "The hub cannot be reached.",
  not_connected: "Not connected at the moment; nothing was sent.",
  connection_lost: "The connection was lost before the hub answered.",
  close_1006: "The connection broke.",
  close_1012: "The hub is restarting.",
};

/**
 * What a close or an error says: the hub's own words where it gave some, else ours.
 * @param {string} code
 * @param {string} [detail]
 */
export function explain(code, detail = "") {
  const ours = WORDS[code];
  const theirs = detail.startsWith(`${code}:`) ? detail.slice(code.length + 1).trim() : detail === code ? "" : detail;
  if (ours && theirs && code.startsWith("token_") && !ours.startsWith(theirs)) return `${ours} The hub says: “${theirs}”`;
  if (ours && (ours.startsWith(theirs) || code.startsWith("refresh_"))) return ours;
  // A topic or a field that is named is worth more than our general words.
  return theirs || `The hub says: ${code}.`;
}

/**
 * A refusal by its name, after the close code that brought it, if one did: `1008 logged_out`.
 * @param {string} code
 * @param {{ code: number, reason: string }} [close]
 * @returns {[close: string, name: string]}
 */
export function nameRefusal(code, close) {
  if (!close || code === `close_${close.code}`) return [close ? String(close.code) : "", close ? "" : code];
  return [close.reason.startsWith(code) ? String(close.code) : "", code];
}

/** @param {unknown} error */
export function explainError(error) {
  if (error instanceof HubError) {
    return error.code === "unreachable" ? explain("unreachable") : explain(error.code, error.detail);
  }
  return error instanceof Error ? error.message : String(error);
}
