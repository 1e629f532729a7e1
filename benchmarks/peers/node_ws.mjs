// The server behind `node_ws`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { read, verify } from "./token.mjs";

const subscribers = new WebSocketServer({ noServer: true });
const publishers = new WebSocketServer({ noServer: true });
const users = new Map();

const server = createServer((request, response) => {
  const user = request.url.slice("/users/".length);
  read(request, (body) => {
    users.get(user)?.send(body, { binary: false });
    response.writeHead(202, { "Content-Length": 0 }).end();
  });
});

server.on("upgrade", (request, socket, head) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/publish") {
    publishers.handleUpgrade(request, socket, head, (publisher) => {
      publisher.on("message", (data) => {
        for (const client of subscribers.clients) client.send(data, { binary: false });
      });
    });
    return;
  }
  let user;
  try {
    user = verify(url.searchParams.get("token")).sub;
  } catch {
    socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
    return;
  }
  subscribers.handleUpgrade(request, socket, head, (client) => {
    users.set(user, client);
    client.on("error", () => {});
    client.on("close", () => users.delete(user));
  });
});

server.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
