// PouchDB replicating from an Express server with express-pouchdb, both in memory.
import express from "express";
import expressPouch from "express-pouchdb";
import PouchDB from "pouchdb-core";
import http from "pouchdb-adapter-http";
import memory from "pouchdb-adapter-memory";
import mapreduce from "pouchdb-mapreduce";
import find from "pouchdb-find";
import replication from "pouchdb-replication";
import { check, course, measure, relay } from "./course.mjs";

PouchDB.plugin(memory).plugin(http).plugin(mapreduce).plugin(find).plugin(replication);
const Served = PouchDB.defaults({ adapter: "memory" });

let requests = 0;
const app = express();
app.use((_request, _response, next) => { requests += 1; next(); });
app.use("/", expressPouch(Served, { mode: "minimumForPouchDB", inMemoryConfig: true }));
const listening = app.listen(0, "127.0.0.1");
await new Promise((ready) => listening.on("listening", ready));
const wire = await relay(listening.address().port);

const server = new Served("app");
const client = new PouchDB("phone", { adapter: "memory" });
const remote = new PouchDB(`http://127.0.0.1:${wire.port}/app`, { adapter: "http" });
const expected = new Map();
const revisions = new Map();

for (const step of course(process.argv[2])) {
  // Batches, because one of 50,000 documents takes more stack than there is.
  const all = [
    ...step.put.map(({ id, ...columns }) => ({ _id: id, _rev: revisions.get(id), ...columns })),
    ...step.gone.map((id) => ({ _id: id, _rev: revisions.get(id), _deleted: true })),
  ];
  for (let at = 0; at < all.length; at += 1000) {
    for (const result of await server.bulkDocs(all.slice(at, at + 1000))) {
      if (result.error) throw new Error(`${result.id}: ${result.message}`);
      revisions.set(result.id, result.rev);
    }
  }
  for (const document of step.put) expected.set(document.id, document);
  for (const id of step.gone) expected.delete(id);
  await measure(step.case, wire.counted, () => requests, async () => {
    const result = await PouchDB.replicate(remote, client, { batch_size: 1000 });
    if (!result.ok) throw new Error(JSON.stringify(result.errors));
  });
  const found = new Map();
  for (const row of (await client.allDocs({ include_docs: true })).rows) {
    found.set(row.id, { ...row.doc, id: row.id });
  }
  check(step.case, expected, found);
}
process.exit(0);
