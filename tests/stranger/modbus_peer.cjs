// Modbus servers on jsmodbus and modbus-serial, for tests: three ports, one set of registers, asked for its own truth.
//
// It prints `jsmodbus PORT jsmodbus-rtu PORT modbus-serial PORT` once it listens: Modbus TCP, frames of a serial line in
// TCP, Modbus TCP. Then each line on standard input is answered by one line on standard output:
//   put TABLE TYPE ORDER ADDRESS VALUE    sets registers (holding, input) or a bit (coil, discrete)
//   get TABLE TYPE ORDER ADDRESS          prints what lies there
//   writes                                prints how many write requests were answered
// Orders are ABCD and CDAB. It ends when standard input does.
"use strict";
const net = require("net");
const readline = require("readline");
const { server: jsmodbus } = require("jsmodbus");
const ModbusSerialServer = require("modbus-serial/servers/servertcp");

const SIZE = 2000;
const registers = { holding: Buffer.alloc(2 * SIZE), input: Buffer.alloc(2 * SIZE) };
const bits = { coil: Buffer.alloc(SIZE / 8), discrete: Buffer.alloc(SIZE / 8) };
let writes = 0;

const LAYOUTS = {
  int16: [2, "Int16BE", Number],
  uint16: [2, "UInt16BE", Number],
  int32: [4, "Int32BE", Number],
  uint32: [4, "UInt32BE", Number],
  float32: [4, "FloatBE", Number],
  int64: [8, "BigInt64BE", BigInt],
  uint64: [8, "BigUInt64BE", BigInt],
  float64: [8, "DoubleBE", Number],
};

function inOrder(bytes, order) {
  if (order === "ABCD") return bytes;
  if (order !== "CDAB") throw new Error(`no order ${order}`);
  const words = [];
  for (let at = 0; at < bytes.length; at += 2) words.unshift(bytes.subarray(at, at + 2));
  return Buffer.concat(words);
}

const bit = (table, address) => (bits[table][address >> 3] >> (address & 7)) & 1;

function setBit(table, address, on) {
  const mask = 1 << (address & 7);
  if (on) bits[table][address >> 3] |= mask;
  else bits[table][address >> 3] &= ~mask;
}

function put(table, type, order, address, value) {
  if (bits[table]) return setBit(table, address, Number(value));
  const [size, name, parsed] = LAYOUTS[type];
  const bytes = Buffer.alloc(size);
  bytes["write" + name](parsed(value));
  inOrder(bytes, order).copy(registers[table], 2 * address);
}

function get(table, type, order, address) {
  if (bits[table]) return bit(table, address);
  const [size, name] = LAYOUTS[type];
  return inOrder(registers[table].subarray(2 * address, 2 * address + size), order)["read" + name]();
}

const memory = { coils: bits.coil, discrete: bits.discrete, holding: registers.holding, input: registers.input };
const WRITTEN = ["postWriteSingleCoil", "postWriteSingleRegister"];
const WRITTEN_SEVERAL = ["postWriteMultipleCoils", "postWriteMultipleRegisters"];

function counted(server) {
  for (const name of WRITTEN) server.on(name, () => writes++);
  // These are told twice: once with the memory, once with the request.
  for (const name of WRITTEN_SEVERAL) server.on(name, (what) => (writes += Buffer.isBuffer(what) ? 0 : 1));
  return server;
}

// A client that is gone while its answer is on the way is no reason to end.
const quietly = (socket) => socket.on("error", () => socket.destroy());

const tcp = net.createServer(quietly);
counted(new jsmodbus.TCP(tcp, memory));
const rtu = net.createServer((socket) => {
  quietly(socket);
  counted(new jsmodbus.RTU(socket, memory));
});

function within(address) {
  if (address >= SIZE) throw Object.assign(new Error("no such address"), { modbusErrorCode: 2 });
  return address;
}

const vector = {
  getCoil: (address, unit) => bit("coil", within(address)),
  getDiscreteInput: (address, unit) => bit("discrete", within(address)),
  getHoldingRegister: (address, unit) => registers.holding.readUInt16BE(2 * within(address)),
  getInputRegister: (address, unit) => registers.input.readUInt16BE(2 * within(address)),
  setCoil: (address, value, unit) => {
    setBit("coil", within(address), value);
    writes++;
  },
  setRegister: (address, value, unit) => {
    registers.holding.writeUInt16BE(value, 2 * within(address));
    writes++;
  },
  setRegisterArray: (address, values, unit) => {
    within(address + values.length - 1);
    values.forEach((value, place) => registers.holding.writeUInt16BE(value, 2 * (address + place)));
    writes++;
  },
};

function free(then) {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => then(port));
  });
}

tcp.listen(0, "127.0.0.1", () =>
  rtu.listen(0, "127.0.0.1", () =>
    free((port) => {
      const other = new ModbusSerialServer(vector, { host: "127.0.0.1", port, unitID: 1 });
      other.on("socketError", () => {});
      other.on("initialized", () =>
        console.log(`jsmodbus ${tcp.address().port} jsmodbus-rtu ${rtu.address().port} modbus-serial ${port}`),
      );
    }),
  ),
);

const input = readline.createInterface({ input: process.stdin });
input.on("line", (line) => {
  const [word, table, type, order, address, value] = line.split(" ");
  if (word === "put") {
    put(table, type, order, Number(address), value);
    console.log("ok");
  } else if (word === "get") {
    console.log(String(get(table, type, order, Number(address))));
  } else if (word === "writes") {
    console.log(String(writes));
  } else {
    console.log("what?");
  }
});
input.on("close", () => process.exit(0));
