// An OPC-UA server on node-opcua with one node of every scalar type, and an HTTP port to steer it and to ask it for its
// own truth. Options come as one JSON argument; a line of JSON on stdout says that it listens, and where.
//
// GET  /state               values and status of all nodes, method calls in order, writes, sessions, connections
// POST /reset               scalars as at the start, calls and writes forgotten
// POST /set                 {node, value?, status?}
// POST /kick                ends every session, subscriptions included
// POST /hostile             {on}: from now on each session is ended as soon as it reads
// POST /drop-subscriptions  ends the subscriptions of every session
// POST /mute                monitored items of the subscriptions that exist now report nothing any more
// POST /limits              {maxNodesPerRead, ...} answered and enforced from now on
import { createServer } from "node:http";
import {
  DataType, MessageSecurityMode, MonitoringMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy,
  ServerSecureChannelLayer, StatusCodes, Variant, VariantArrayType,
} from "node-opcua";

const options = JSON.parse(process.argv[2]);
const state = { calls: [], writes: [], connections: 0, sessions: 0 };
const nodes = new Map();
ServerSecureChannelLayer.g_MinimumSecureTokenLifetime = 100;

const server = new OPCUAServer({
  hostname: options.hostname ?? "127.0.0.1",
  host: "127.0.0.1",
  port: options.port,
  resourcePath: "/site",
  allowAnonymous: options.anonymous ?? true,
  securityPolicies: options.policies.map((name) => SecurityPolicy[name]),
  securityModes: options.modes.map((name) => MessageSecurityMode[name]),
  serverCertificateManager: new OPCUACertificateManager({
    rootFolder: options.pki, automaticallyAcceptUnknownCertificate: options.acceptsUnknown ?? true,
  }),
  userManager: { isValidUser: (user, password) => user === "edge" && password === "open sesame" },
  maxConnectionsPerEndpoint: 50,
  serverCapabilities: { maxSessions: 50, operationLimits: options.limits ?? {} },
  serverInfo: { applicationUri: "urn:stranger:site" },
});
await server.initialize();

const space = server.engine.addressSpace;
for (let n = 0; n < (options.shift ?? 0); n++) space.registerNamespace(`urn:filler:${n}`);
const site = space.registerNamespace("urn:site");
const folder = site.addFolder("ObjectsFolder", { browseName: "Site", nodeId: "s=Site" });

function variable(name, dataType, value, more = {}) {
  const node = site.addVariable({
    organizedBy: folder, browseName: name, nodeId: `s=${name}`, dataType,
    minimumSamplingInterval: 50, accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite",
    ...more,
  });
  const array = Array.isArray(value) && more.valueRank === 1;
  node.setValueFromSource({
    dataType: more.wire ?? dataType, arrayType: array ? VariantArrayType.Array : VariantArrayType.Scalar, value,
  });
  node.on("value_changed", (data) => state.writes.push([name, plain(data.value)]));
  nodes.set(name, node);
}

const initial = {
  Boolean: true, SByte: -7, Byte: 200, Int16: -1234, UInt16: 54321, Int32: -123456, UInt32: 3123456789,
  Int64: [0xffffffff, 0xfffffed4], UInt64: [0, 300], Float: 1.5, Double: -2.25, String: "idle",
  DateTime: new Date("2026-03-01T12:00:00.500Z"),
};
for (const [name, value] of Object.entries(initial)) variable(name, DataType[name], value);
variable("Doubles", DataType.Double, new Float64Array([1, 2, 3, 4]), {
  valueRank: 1, arrayDimensions: [4],
});
nodes.get("Doubles").setValueFromSource({
  dataType: DataType.Double, arrayType: VariantArrayType.Array, value: new Float64Array([1, 2, 3, 4]),
});
variable("Duration", DataType.Double, 1500, { dataType: "Duration", wire: DataType.Double });
variable("Fixed", DataType.Double, 42, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
for (const hall of options.halls ?? []) {
  for (const [name, value] of Object.entries(initial)) variable(`${hall}/${name}`, DataType[name], value);
}
for (let n = 0; n < (options.many ?? 0); n++) variable(`Many/${n}`, DataType.Double, n);

const machine = site.addObject({ organizedBy: folder, browseName: "Machine", nodeId: "s=Machine" });
function method(name, inputs, answer) {
  const node = site.addMethod(machine, { browseName: name, nodeId: `s=Machine/${name}`, inputArguments: inputs, outputArguments: [] });
  node.bindMethod((given, context, reply) => {
    state.calls.push([name, given.map((argument) => argument.value)]);
    const statusCode = answer();
    if (statusCode) reply(null, { statusCode });
  });
}
method("Reset", [], () => StatusCodes.Good);
method("SetLimit", [{ name: "limit", dataType: DataType.Float }], () => StatusCodes.Good);
method("Refuse", [], () => StatusCodes.BadInvalidState);
method("Unsure", [], () => StatusCodes.BadTimeout);
method("Sleep", [], () => null);

server.on("newChannel", () => state.connections++);
server.on("create_session", () => state.sessions++);
server.on("session_activated", (session) => {
  if (state.hostile) setTimeout(() => server.engine.closeSession(session.authenticationToken, true, "Terminated"), 200);
});
await server.start();

function plain(variant) {
  if (variant.value === null || variant.value === undefined) return null;
  const whole = ([high, low]) => (variant.dataType === DataType.UInt64
    ? (BigInt(high) << 32n) + BigInt(low) : BigInt.asIntN(64, (BigInt(high) << 32n) + BigInt(low))).toString();
  if (variant.dataType === DataType.Int64 || variant.dataType === DataType.UInt64) return whole(variant.value);
  if (variant.value instanceof Date) return variant.value.toISOString();
  return ArrayBuffer.isView(variant.value) ? [...variant.value] : variant.value;
}

function truth() {
  const values = {}, types = {};
  for (const [name, node] of nodes) {
    const data = node.readValue();
    values[name] = plain(data.value);
    types[name] = DataType[data.value.dataType];
  }
  return { ...state, values, types, open: server.engine.currentSessionCount };
}

const sessions = () => Object.values(server.engine._sessions);
const subscriptions = () => sessions().flatMap((session) => session.publishEngine.subscriptions);
const actions = {
  "/reset": () => {
    for (const [name, value] of Object.entries(initial)) {
      const node = nodes.get(name);
      node.setValueFromSource({ dataType: node.readValue().value.dataType, arrayType: VariantArrayType.Scalar, value });
    }
    Object.assign(state, { calls: [], writes: [] });
  },
  "/set": ({ node, value, status }) => {
    const found = nodes.get(node);
    const before = found.readValue().value;
    const code = StatusCodes[status ?? "Good"];
    found.setValueFromSource(value === undefined ? before : new Variant({ ...before, value }), code);
  },
  "/kick": () => {
    for (const session of sessions()) server.engine.closeSession(session.authenticationToken, true, "Terminated");
  },
  "/hostile": ({ on }) => (state.hostile = on),
  "/drop-subscriptions": () => {
    for (const session of sessions()) for (const s of [...session.publishEngine.subscriptions]) session.deleteSubscription(s.id);
  },
  "/mute": () => {
    for (const s of subscriptions()) for (const item of s.monitoredItems.values()) item.setMonitoringMode(MonitoringMode.Disabled);
  },
  "/limits": (limits) => Object.assign(server.engine.serverCapabilities.operationLimits, limits),
};

const control = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    try {
      actions[request.url]?.(body ? JSON.parse(body) : {});
      response.end(JSON.stringify(truth()));
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error.stack));
    }
  });
});
control.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ control: control.address().port }));
});
process.stdin.on("end", () => process.exit(0)).resume();
