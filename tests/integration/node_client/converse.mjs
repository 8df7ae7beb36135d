// Holds a streamed conversation: node converse.mjs ADDRESS FLOW LINE…
// Prints each event as one line of JSON, and exits with 1 when a call fails.
import { fileURLToPath } from "node:url";
import { randomUUID } from "node:crypto";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, flow, ...lines] = process.argv.slice(2);
const protos = fileURLToPath(new URL("../../../protos", import.meta.url));
const definition = loadSync("clawdbot/dialogue/v1/dialogue_service.proto", {
  includeDirs: [protos],
  enums: String,
  longs: Number,
  oneofs: true,
});
const { DialogueService } = grpc.loadPackageDefinition(definition).clawdbot.dialogue.v1;
const client = new DialogueService(address, grpc.credentials.createInsecure());

const createSession = () =>
  new Promise((resolve, reject) =>
    client.CreateSession({ flow, requestId: randomUUID() }, (error, answer) =>
      error ? reject(error) : resolve(answer.session),
    ),
  );

try {
  const session = await createSession();
  for (const text of lines) {
    const events = client.StreamTurn({ sessionId: session.id, requestId: randomUUID(), text });
    for await (const event of events) console.log(JSON.stringify(event));
  }
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "ERROR"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}
