// Hears alerts on loopback and answers 204: `receiver.mjs PORT`.
import { createServer } from "node:http";

createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(204).end());
}).listen(Number(process.argv[2]), "127.0.0.1");
