// A certified OpenID provider (npm's oidc-provider), set up as one would for a hub: its access tokens are JWTs
// (RFC 9068), people log in with the code flow, programs with client credentials. The file named by the first argument
// says the rest: {"port", "keys": [private JWKs, the first one signs], "algorithm", "audience", "life"}.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const { port, keys, algorithm, audience, life } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  cookies: { keys: ["a secret of the tests"] },
  clients: [
    {
      client_id: "app",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://127.0.0.1:1/callback"],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      id_token_signed_response_alg: algorithm,
    },
    {
      client_id: "backend",
      client_secret: "the secret of the backend in the tests",
      redirect_uris: [],
      response_types: [],
      grant_types: ["client_credentials"],
      id_token_signed_response_alg: algorithm,
    },
  ],
  // Whoever logs in with whatever password is who they say; their roles are in their name: "alice+editor".
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({
    roles: token.accountId?.split("+").slice(1) ?? [],
    rooms: ["news"],
    sid: token.sessionUid,
    program: token.kind === "ClientCredentials",
    // What an issuer says on its own account must not count.
    admin: true,
    grants: { subscribe: ["*"], publish: ["*"] },
  }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://hub.example",
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "",
        audience,
        accessTokenTTL: life,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});

provider.use(async (context, next) => {
  console.log(`request ${context.path}`);
  await next();
});
provider.listen(port, "127.0.0.1", () => console.log("listening"));
