// What every subject on Node.js goes through: the file that the benchmark wrote, bytes counted on the socket, the
// client's documents compared with the server's after every sync.
import fs from "node:fs";
import net from "node:net";

// One JSON object a line: {"case": .., "put": [document], "gone": [id]}; a document has `id`, `table` and columns.
export function* course(path) {
  for (const line of fs.readFileSync(path, "utf8").split("\n")) {
    if (line) yield JSON.parse(line);
  }
}

// A port in front of another one that counts what passes.
export async function relay(port) {
  const counted = { up: 0, down: 0 };
  const server = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    client.on("data", (chunk) => { counted.up += chunk.length; upstream.write(chunk); });
    upstream.on("data", (chunk) => { counted.down += chunk.length; client.write(chunk); });
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { counted, port: server.address().port, close: () => server.close() };
}

// Runs `sync` and prints what it took as one line of JSON.
export async function measure(name, counted, requests, sync) {
  const before = { up: counted.up, down: counted.down, requests: requests() };
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await sync();
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({
    case: name,
    bytes: counted.up - before.up + counted.down - before.down,
    round_trips: requests() - before.requests,
    seconds,
    processor_seconds: (used.user + used.system) / 1e6,
  }));
}

// Ends with an error unless both maps hold the same documents.
export function check(name, expected, found) {
  if (expected.size !== found.size) {
    throw new Error(`${name}: ${found.size} documents arrived, expected ${expected.size}`);
  }
  for (const [id, document] of expected) {
    const other = found.get(id);
    for (const key of Object.keys(document)) {
      if (JSON.stringify(document[key]) !== JSON.stringify(other?.[key])) {
        throw new Error(`${name}: ${id} has ${key} ${other?.[key]}, expected ${document[key]}`);
      }
    }
  }
}
