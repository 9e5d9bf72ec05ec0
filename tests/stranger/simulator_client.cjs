// A client on node-opcua: does what its one argument, a JSON object, asks for and prints what it saw as JSON.
//
//   {endpoint, secure, pki, uri, nodes: {name: identifier}, subscribe: name, write: {node, type, value},
//    call: {object, method, type, value}}
"use strict";

const opcua = require("node-opcua");

const asked = JSON.parse(process.argv[2]);

function show(data) {
  let value = data.value.value;
  if (data.value.arrayType === opcua.VariantArrayType.Array) value = Array.from(value);
  return {
    value,
    type: opcua.DataType[data.value.dataType],
    status: data.statusCode.name,
    sourceTime: data.sourceTimestamp ? data.sourceTimestamp.getTime() : null,
  };
}

async function main() {
  const certificates = new opcua.OPCUACertificateManager({
    rootFolder: asked.pki,
    automaticallyAcceptUnknownCertificate: true,
  });
  await certificates.initialize();
  const client = opcua.OPCUAClient.create({
    clientCertificateManager: certificates,
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0 },
    securityMode: asked.secure ? opcua.MessageSecurityMode.SignAndEncrypt : opcua.MessageSecurityMode.None,
    securityPolicy: asked.secure ? opcua.SecurityPolicy.Basic256Sha256 : opcua.SecurityPolicy.None,
  });
  await client.connect(asked.endpoint);
  const session = await client.createSession();
  const seen = {};
  await session.readNamespaceArray();
  const index = session.getNamespaceIndex(asked.uri);
  const id = (identifier) => `ns=${index};${identifier}`;

  const names = Object.keys(asked.nodes);
  const read = async () => {
    const wanted = names.map((name) => ({ nodeId: id(asked.nodes[name]), attributeId: opcua.AttributeIds.Value }));
    const answers = await session.read(wanted);
    return Object.fromEntries(names.map((name, place) => [name, show(answers[place])]));
  };
  seen.before = await read();

  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 50,
    requestedLifetimeCount: 1000,
    requestedMaxKeepAliveCount: 20,
    publishingEnabled: true,
  });
  const told = [];
  const item = await subscription.monitor(
    { nodeId: id(asked.nodes[asked.subscribe]), attributeId: opcua.AttributeIds.Value },
    { samplingInterval: 50, queueSize: 10 },
    opcua.TimestampsToReturn.Both,
  );
  const changed = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no change was told within 8 s; told: ${told}`)), 8000);
    item.on("changed", (data) => {
      told.push(data.value.value);
      if (data.value.value === asked.write.value) {
        clearTimeout(late);
        resolve();
      }
    });
  });

  const write = async (identifier, type, value) =>
    (
      await session.write({
        nodeId: id(identifier),
        attributeId: opcua.AttributeIds.Value,
        value: { value: { dataType: opcua.DataType[type], value } },
      })
    ).name;
  seen.written = await write(asked.write.node, asked.write.type, asked.write.value);
  seen.refused = await write(asked.nodes[asked.refuse], asked.write.type, asked.write.value);
  await changed;
  seen.told = told;
  await subscription.terminate();

  const called = await session.call({
    objectId: id(asked.call.object),
    methodId: id(asked.call.method),
    inputArguments: [{ dataType: opcua.DataType[asked.call.type], value: asked.call.value }],
  });
  seen.called = called.statusCode.name;
  const browsed = await session.browse("ns=1;s=" + asked.browse);
  seen.browsed = browsed.references.map((reference) => reference.browseName.name);
  seen.after = await read();
  await session.close();
  await client.disconnect();
  console.log(JSON.stringify(seen));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
