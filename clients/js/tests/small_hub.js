// A hub of one topic on a real socket of this machine, as far as the client's transports see it: a log of numbers, told
// as server-sent events; WebSockets only if it is told to let them through.

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

/**
 * @param {import("node:test").TestContext} t
 * @param {{ sockets?: boolean }} [options]
 */
export async function serve(t, { sockets = false } = {}) {
  /** Streams that are open, with their topics. @type {Set<{ response: import("node:http").ServerResponse, topics: string[] }>} */
  const streams = new Set();
  /** @type {{ topic: string, event: any }[]} */
  const log = [];
  const socketServer = new WebSocketServer({ noServer: true, handleProtocols: () => "hub.v1" });
  const hub = {
    url: "",
    /** What was asked for. @type {{ path: string, query: URLSearchParams, token: string | undefined, body: any }[]} */
    calls: [],
    /** Answers instead of ours, by path. @type {Record<string, { status: number, body?: any, headers?: Record<string, string> } | undefined>} */
    instead: {},
    /** And by query. @type {(query: URLSearchParams) => { status: number, body?: any, headers?: Record<string, string> } | undefined} */
    refuse: () => undefined,
    sockets,
    upgrades: 0,
    streams,
    /** @param {any} data @param {string} [topic] */
    publish(data, topic = "all") {
      log.push({ topic, event: { id: String(log.length + 1), type: "t", source: "service:shop", time: "", data } });
      for (const stream of streams) if (stream.topics.includes(topic)) tell(stream, log.length);
      for (const socket of socketServer.clients) socket.send(JSON.stringify(frame(log.length)));
    },
    /** @param {number} code @param {string} reason */
    close(code, reason) {
      for (const { response } of streams) {
        response.end(`event: close\ndata: ${JSON.stringify({ type: "close", code, reason })}\n\n`);
      }
    },
    cut() {
      for (const { response } of streams) response.destroy();
      for (const socket of socketServer.clients) socket.terminate();
    },
  };
  const frame = (/** @type {number} */ seq) => ({ type: "event", cursor: `e1:${seq}`, ...log[seq - 1] });
  const tell = (/** @type {{ response: import("node:http").ServerResponse }} */ { response }, /** @type {number} */ seq) => {
    response.write(`id: e1:${seq}\ndata: ${JSON.stringify(frame(seq))}\n\n`);
  };
  const server = createServer(async (request, response) => {
    const { pathname: path, searchParams: query } = new URL(request.url ?? "", "http://x");
    const token = request.headers.authorization?.replace("Bearer ", "");
    let text = "";
    for await (const piece of request) text += piece;
    const body = text ? JSON.parse(text) : undefined;
    /** @type {any[]} */ (hub.calls).push({ path, query, token, body });
    const other = hub.instead[path] ?? hub.refuse(query);
    if (other) {
      response.writeHead(other.status, { "Content-Type": "application/json", ...other.headers });
      return response.end(other.body === undefined ? "" : JSON.stringify(other.body));
    }
    if (path === "/v1/events") {
      response.writeHead(200);
      return response.end(JSON.stringify({ id: body.id, cursor: `e1:${log.length}`, time: "", duplicate: false }));
    }
    const topics = ["all", ...(query.get("topics")?.split(",") ?? [])];
    const after = query.get("after");
    const seq = after ? Number(after.split(":")[1]) : log.length;
    const stream = { response, topics };
    response.on("close", () => streams.delete(stream));
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const welcome = { type: "welcome", protocol: "hub.v1", user: "alice", cursor: `e1:${seq}`, topics, expires: null };
    response.write(`retry: 1000\n\nid: e1:${seq}\nevent: welcome\ndata: ${JSON.stringify(welcome)}\n\n:\n\n`);
    streams.add(stream);
    for (let next = seq + 1; next <= log.length; next += 1) {
      if (topics.includes(log[next - 1]?.topic ?? "")) tell(stream, next);
    }
    return undefined;
  });
  server.on("upgrade", (request, socket, head) => {
    hub.upgrades += 1;
    if (!hub.sockets) return socket.destroy();
    return socketServer.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.send(JSON.stringify({ type: "welcome", protocol: "hub.v1", user: "alice", cursor: `e1:${log.length}`, topics: ["all"] }));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    hub.cut();
    server.close();
    server.closeAllConnections();
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  hub.url = `http://127.0.0.1:${port}`;
  return hub;
}
