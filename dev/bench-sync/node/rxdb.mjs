// RxDB with its memory storage, pulling by checkpoint over HTTP as its documentation describes.
import nodeHttp from "node:http";
import { createRxDatabase } from "rxdb";
import { replicateRxCollection } from "rxdb/plugins/replication";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { check, course, measure, relay } from "./course.mjs";

// The server: documents in the order in which they were written last.
const documents = new Map();
let order = [];
let clock = 0;
let requests = 0;
const server = nodeHttp.createServer((request, response) => {
  requests += 1;
  const url = new URL(request.url, "http://x");
  const since = Number(url.searchParams.get("since"));
  const limit = Number(url.searchParams.get("limit"));
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order[middle].written > since) high = middle; else low = middle + 1;
  }
  const found = order.slice(low, low + limit);
  const checkpoint = { written: found.at(-1)?.written ?? since };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ documents: found, checkpoint }));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const wire = await relay(server.address().port);

const db = await createRxDatabase({
  name: "phone",
  storage: getRxStorageMemory(),
  multiInstance: false,
});
await db.addCollections({
  rows: {
    schema: {
      version: 0,
      primaryKey: "id",
      type: "object",
      additionalProperties: true,
      properties: { id: { type: "string", maxLength: 200 } },
      required: ["id"],
    },
  },
});
const expected = new Map();

for (const step of course(process.argv[2])) {
  const touched = new Set(step.gone);
  for (const document of step.put) touched.add(document.id);
  order = order.filter((document) => !touched.has(document.id));
  for (const document of step.put) {
    clock += 1;
    documents.set(document.id, { ...document, written: clock, _deleted: false });
    order.push(documents.get(document.id));
    expected.set(document.id, document);
  }
  for (const id of step.gone) {
    clock += 1;
    order.push({ ...documents.get(id), written: clock, _deleted: true });
    expected.delete(id);
  }
  await measure(step.case, wire.counted, () => requests, async () => {
    const replication = replicateRxCollection({
      collection: db.rows,
      replicationIdentifier: "bench",
      live: false,
      pull: {
        batchSize: 1000,
        handler: async (checkpoint, batchSize) => {
          const since = checkpoint?.written ?? 0;
          const response = await fetch(`http://127.0.0.1:${wire.port}/?since=${since}&limit=${batchSize}`);
          return response.json();
        },
      },
    });
    await replication.awaitInitialReplication();
    await replication.cancel();
  });
  const found = new Map();
  for (const document of await db.rows.find().exec()) found.set(document.id, document.toJSON());
  check(step.case, expected, found);
}
process.exit(0);
