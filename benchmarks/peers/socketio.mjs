// The server behind `socketio`. Subscribers join `all` and their own room; the publisher is in neither.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { read, verify } from "./token.mjs";

const server = createServer((request, response) => {
  if (!request.url.startsWith("/users/")) return;
  const user = request.url.slice("/users/".length);
  read(request, (body) => {
    io.to(user).emit("event", JSON.parse(body));
    response.writeHead(202, { "Content-Length": 0 }).end();
  });
});
const io = new Server(server, { transports: ["websocket"], serveClient: false });

io.use((socket, next) => {
  try {
    socket.data.user = verify(socket.handshake.auth.token).sub;
    next();
  } catch (error) {
    next(error);
  }
});

io.on("connection", (socket) => {
  if (socket.data.user === "publisher") {
    socket.on("publish", (event) => io.to("all").emit("event", event));
  } else {
    socket.join(["all", socket.data.user]);
  }
});

server.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
