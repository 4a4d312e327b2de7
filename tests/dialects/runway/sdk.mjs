// The official JavaScript SDK, unchanged but for address and key: every form of a file, then runs to their end.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import RunwayML, { toFile } from "@runwayml/sdk";

// The SDK waits six seconds before each look at a task; its requests end after sixty.
const later = globalThis.setTimeout;
globalThis.setTimeout = (act, ms, ...rest) => later(act, ms > 4000 && ms < 8000 ? 50 : ms, ...rest);

const client = new RunwayML(); // RUNWAYML_BASE_URL, RUNWAYML_API_SECRET
const picture = process.argv[2];
const bytes = await readFile(picture);
const page = new Response(bytes, { headers: { "content-type": "image/png" } });
Object.defineProperty(page, "url", { value: "https://example.com/from/page.png" });
async function* pieces() {
  yield bytes.subarray(0, 100);
  yield bytes.subarray(100);
}

const forms = {
  stream: createReadStream(picture),
  file: new File([bytes], "a file é.png", { type: "image/png" }),
  blob: await toFile(new Blob([bytes]), "blob.png"),
  buffer: await toFile(bytes, "buffer.png"),
  arrayBuffer: await toFile(new Uint8Array(bytes).buffer, "array-buffer.png"),
  typedArray: await toFile(new Uint8Array(bytes), "typed-array.png"),
  response: page,
  iterable: await toFile(pieces(), "iterable.png"),
};
const uris = {};
for (const [name, file] of Object.entries(forms)) uris[name] = (await client.uploads.createEphemeral({ file })).uri;
const withMetadata = await client.uploads.createEphemeral({ file: new File([bytes], "m.png"), fileMetadata: "{}" });
uris.metadata = withMetadata.uri;

const run = (promptImage) =>
  client.imageToVideo.create({ model: "gen4.5", promptImage, promptText: "a", ratio: "1280:720", duration: 5 });
const tasks = [];
for (const uri of Object.values(uris)) {
  tasks.push(run(uri)); // a promise that can wait for more than its own answer
  await tasks.at(-1);
}
console.log("queued");
const ended = await Promise.all(tasks.map((task) => task.waitForTaskOutput({ timeout: 60_000 })));

const refused = {};
const refusal = async (name, act) => (refused[name] = await act().then(() => null, (error) => error.status ?? String(error)));
await refusal("extension", () => client.uploads.createEphemeral({ file: new File([bytes], "a.txt") }));
await refusal("small", () => client.uploads.createEphemeral({ file: new File([bytes.subarray(0, 9)], "a.png") }));
await refusal("task", () => client.tasks.retrieve("5f0c4a52-8f0e-4d0a-9a0b-0c1d2e3f4a5b"));
const { id } = await tasks[0];
await client.tasks.delete(id);
await refusal("deleted", () => client.tasks.retrieve(id));
const { creditBalance } = await client.organization.retrieve();
const { models } = await client.organization.retrieveUsage();
console.log(JSON.stringify({ uris, ended, refused, creditBalance, models }));
