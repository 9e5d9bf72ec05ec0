// An energy manager written from the protocol's text alone: plain JSON over the WebSocket of the package `ws`.
const fs = require("node:fs");
const crypto = require("node:crypto");
const WebSocket = require("ws");

const [url, ca, cert, key, node, peer] = process.argv.slice(2);
const socket = new WebSocket(`${url.replace("https", "wss")}/flex/v1/ws`, {
  ca: fs.readFileSync(ca),
  cert: fs.readFileSync(cert),
  key: fs.readFileSync(key),
});
let seq = 0;

function say(type, body, corr) {
  seq += 1;
  const id = crypto.randomUUID();
  const frame = { v: "1.0", type, id, ts: new Date().toISOString(), seq, src: node, dst: peer, body };
  if (corr) frame.corr = corr;
  socket.send(JSON.stringify(frame));
  return id;
}

socket.on("open", () => say("hello", { versions: ["1.0"], role: "CEM" }));
socket.on("message", (data) => {
  const frame = JSON.parse(data);
  console.log(JSON.stringify({ type: frame.type, corr: frame.corr, body: frame.body, seq: frame.seq }));
  if (frame.type === "hello_ack") {
    say("heartbeat", { limit_state: "UNLIMITED", rev: 0 });
    say("state", { esa_id: "esa-00000001", value: "IDLE", override: "NONE" });
  } else if (frame.type === "select") {
    say("ack", { status: "OK" }, frame.id);
    say("select_status", { select_id: frame.body.select_id, esa_id: frame.body.esa_id, state: "ACCEPTED" }, frame.id);
  }
});
socket.on("close", (code, reason) => {
  console.log(JSON.stringify({ type: "closed", code, reason: reason.toString() }));
});
socket.on("error", (error) => console.log(JSON.stringify({ type: "error", message: error.message })));
