// The official JavaScript SDK, unchanged but for address and key: makes calls, one after another or at once.
// argv: the address, the key, and a JSON list of [method, argument] (a list of such lists is done at once).
import { Runware } from "@runware/sdk-js";

const [url, apiKey, calls] = process.argv.slice(2);
const client = new Runware({ url, apiKey, shouldReconnect: false });
const call = async ([method, argument]) => {
  const streamed = [];
  const options = method === "modelUpload" ? { ...argument, onUploadStream: (item) => streamed.push(item) } : argument;
  try {
    const result = await client[method](options);
    return { result: result ?? null, streamed };
  } catch (error) {
    return { error: error?.error ?? (error instanceof Error ? { message: error.message } : error), streamed };
  }
};
const told = [];
for (const step of JSON.parse(calls)) told.push(Array.isArray(step[0]) ? await Promise.all(step.map(call)) : await call(step));
process.stdout.write(JSON.stringify(told), () => process.exit(0));
