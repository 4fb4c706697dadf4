// What a program with the AWS SDK for JavaScript does, against the server that the environment names.
// Every step that is done prints its name; the first one that fails ends the run with its error.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";

import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  NoSuchKey,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const MIB = 1024 * 1024;
const Bucket = process.env.SMOKE_BUCKET;
const options = {
  endpoint: process.env.SMOKE_ENDPOINT,
  region: process.env.SMOKE_REGION,
  credentials: {
    accessKeyId: process.env.SMOKE_ACCESS_KEY,
    secretAccessKey: process.env.SMOKE_SECRET_KEY,
  },
  forcePathStyle: true,
  maxAttempts: 1,
};
const s3 = new S3Client(options);
// What presigns an upload knows no body yet, and by default would sign the checksum of an empty one.
const presigner = new S3Client({ ...options, requestChecksumCalculation: "WHEN_REQUIRED" });

const text = async (Key, more = {}) => {
  const answer = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return answer.Body.transformToString();
};

const steps = {
  async "create a bucket"() {
    await s3.send(new CreateBucketCommand({ Bucket }));
  },

  async "put, head, get"() {
    const Key = "a b/ü+ %41?#😀.txt";
    const put = await s3.send(
      new PutObjectCommand({ Bucket, Key, Body: "body", ContentType: "text/plain", Metadata: { colour: "blue" } }),
    );
    assert.equal(put.ETag, `"${createHash("md5").update("body").digest("hex")}"`);
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    assert.equal(head.ContentLength, 4);
    assert.equal(head.Metadata.colour, "blue");
    assert.equal(head.ContentType, "text/plain");
    assert.equal(head.ChecksumCRC32, put.ChecksumCRC32);
    assert.equal(await text(Key), "body");
    assert.equal(await text(Key, { Range: "bytes=1-2" }), "od");
  },

  async "stream of known length, checksum in a trailer"() {
    const Body = Readable.from([Buffer.alloc(70_000, "a"), Buffer.alloc(30_000, "b")], { objectMode: false });
    await s3.send(
      new PutObjectCommand({ Bucket, Key: "stream", Body, ContentLength: 100_000, ChecksumAlgorithm: "SHA256" }),
    );
    assert.equal((await text("stream")).length, 100_000);
  },

  async "multipart upload of a stream of unknown length"() {
    const pieces = Array.from({ length: 12 }, (_, number) => Buffer.alloc(MIB, String(number % 10)));
    const upload = new Upload({
      client: s3,
      params: { Bucket, Key: "multipart", Body: Readable.from(pieces) },
      partSize: 5 * MIB,
    });
    const done = await upload.done();
    assert.match(done.ETag, /-3"$/);
    assert.ok((await text("multipart")) === pieces.map(String).join(""));
    const ObjectAttributes = ["ETag", "Checksum", "ObjectParts", "ObjectSize"];
    const about = await s3.send(new GetObjectAttributesCommand({ Bucket, Key: "multipart", ObjectAttributes }));
    assert.equal(about.ObjectSize, 12 * MIB);
    assert.equal(about.ObjectParts.TotalPartsCount, 3);
  },

  async "copy, and tags"() {
    await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/stream` }));
    const Tagging = { TagSet: [{ Key: "team", Value: "a b" }] };
    await s3.send(new PutObjectTaggingCommand({ Bucket, Key: "copy", Tagging }));
    const told = await s3.send(new GetObjectTaggingCommand({ Bucket, Key: "copy" }));
    assert.deepEqual(told.TagSet, Tagging.TagSet);
  },

  async "pages of a listing"() {
    await Promise.all(
      Array.from({ length: 25 }, (_, number) =>
        s3.send(new PutObjectCommand({ Bucket, Key: `many/${String(number).padStart(2, "0")}`, Body: Buffer.alloc(0) })),
      ),
    );
    const keys = [];
    for await (const page of paginateListObjectsV2({ client: s3, pageSize: 10 }, { Bucket, Prefix: "many/" })) {
      keys.push(...page.Contents.map((each) => each.Key));
    }
    assert.equal(keys.length, 25);
    assert.deepEqual(keys, [...keys].sort());
  },

  async "errors have their own classes"() {
    await assert.rejects(text("none"), (error) => error instanceof NoSuchKey && error.$metadata.httpStatusCode === 404);
    const late = new PutObjectCommand({ Bucket, Key: "copy", Body: "", IfNoneMatch: "*" });
    await assert.rejects(s3.send(late), { name: "PreconditionFailed" });
  },

  async "presigned URLs"() {
    const down = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: "stream" }), { expiresIn: 60 });
    assert.equal((await (await fetch(down)).text()).length, 100_000);
    const up = await getSignedUrl(presigner, new PutObjectCommand({ Bucket, Key: "presigned" }), { expiresIn: 60 });
    assert.equal((await fetch(up, { method: "PUT", body: "presigned" })).status, 200);
    assert.equal(await text("presigned"), "presigned");
  },

  async "a browser's form"() {
    const { url, fields } = await createPresignedPost(s3, {
      Bucket,
      Key: "form/${filename}",
      Conditions: [["content-length-range", 1, 1000]],
      Expires: 60,
    });
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", new Blob(["from a form"]), "named.txt");
    assert.equal((await fetch(url, { method: "POST", body: form })).status, 204);
    assert.equal(await text("form/named.txt"), "from a form");
  },

  async "versions"() {
    const VersioningConfiguration = { Status: "Enabled" };
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
    const first = await s3.send(new PutObjectCommand({ Bucket, Key: "versioned", Body: "1" }));
    await s3.send(new PutObjectCommand({ Bucket, Key: "versioned", Body: "2" }));
    assert.equal(await text("versioned", { VersionId: first.VersionId }), "1");
    assert.equal(await text("versioned"), "2");
  },

  async "delete everything"() {
    const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
    const Objects = Versions.map(({ Key, VersionId }) => ({ Key, VersionId }));
    const { Deleted, Errors } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.equal(Errors, undefined);
    assert.equal(Deleted.length, Versions.length);
    await s3.send(new DeleteBucketCommand({ Bucket }));
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`done: ${name}`);
}
