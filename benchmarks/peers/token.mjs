// Checks an HS256 token with what Node brings along; returns its claims or throws.
import { createHmac, timingSafeEqual } from "node:crypto";

const secret = process.env.SECRET;

export function verify(token) {
  const [header, body, signature] = token.split(".");
  if (JSON.parse(Buffer.from(header, "base64url")).alg !== "HS256") throw new Error("algorithm");
  const expected = createHmac("sha256", secret).update(`${header}.${body}`).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("signature");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  if (claims.aud !== "notification-hub" || claims.exp * 1000 < Date.now()) throw new Error("claims");
  return claims;
}

// Reads a request's body whole.
export function read(request, done) {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => done(Buffer.concat(pieces)));
}
