// The JavaScript S3 client behind a pipe: one JSON request per line in, one JSON answer per line out.

import { createReadStream } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const settings = JSON.parse(process.argv[2]);
const { bucket: Bucket } = settings;
const s3 = new S3Client({
  endpoint: settings.endpoint,
  region: settings.region,
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY },
});

const verbs = {
  // A file in parts; a small one in a single request with its checksum in a header.
  async put({ key, path, type }) {
    const params = { Bucket, Key: key, Body: createReadStream(path), ContentType: type };
    await new Upload({ client: s3, params }).done();
  },

  // A stream goes in chunks, with its checksum behind them.
  async putStream({ key, path }) {
    const { size } = await stat(path);
    await s3.send(new PutObjectCommand({ Bucket, Key: key, Body: createReadStream(path), ContentLength: size }));
  },

  async get({ key, path, range }) {
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: key, Range: range }));
    await writeFile(path, await got.Body.transformToByteArray());
  },

  async head({ key }) {
    const { $metadata, ...facts } = await s3.send(new HeadObjectCommand({ Bucket, Key: key, ChecksumMode: "ENABLED" }));
    return facts;
  },

  async list({ prefix }) {
    const keys = [];
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket, Prefix: prefix })) {
      keys.push(...(page.Contents ?? []).map((item) => item.Key));
    }
    return keys;
  },

  async copy({ source, key }) {
    const CopySource = `${Bucket}/${source.split("/").map(encodeURIComponent).join("/")}`;
    await s3.send(new CopyObjectCommand({ Bucket, Key: key, CopySource }));
  },

  async remove({ keys }) {
    const done = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
    return done.Errors ?? [];
  },

  async presign({ method, key }) {
    const Command = { GET: GetObjectCommand, PUT: PutObjectCommand }[method];
    return getSignedUrl(s3, new Command({ Bucket, Key: key }), { expiresIn: 600 });
  },

  async form({ key, type, max }) {
    const Conditions = [["content-length-range", 0, max]];
    const Fields = { "Content-Type": type };
    return createPresignedPost(s3, { Bucket, Key: key, Conditions, Fields, Expires: 600 });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { verb, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await verbs[verb](options)) ?? null };
  } catch (error) {
    answer = { error: { name: error.name, status: error.$metadata?.httpStatusCode ?? null, message: error.message } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
s3.destroy();
