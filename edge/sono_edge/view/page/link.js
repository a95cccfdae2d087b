// The stream from the device: records of [u32 length][JSON][u32 length][JPEG], for as long as the page is open.

const HEAD_MOST = 1 << 20;
const JPEG_MOST = 1 << 25;
const SILENT_MS = 4000; // the device speaks twice a second; after this the line is dead
const BACK_OFF_MS = [250, 500, 1000, 2000];

export const OWN_HEADER = { "X-Sono-View": "1" };

// Cuts a stream of bytes into records.
export class Splitter {
  #rest = new Uint8Array(0);

  push(chunk) {
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    const records = [];
    let at = 0;
    for (let next = cut(bytes, at); next !== null; next = cut(bytes, at)) {
      records.push(next.record);
      at = next.end;
    }
    this.#rest = bytes.subarray(at);
    return records;
  }
}

function cut(bytes, at) {
  const head = part(bytes, at, HEAD_MOST);
  const jpeg = head && part(bytes, head.end, JPEG_MOST);
  if (!jpeg) return null;
  const values = JSON.parse(new TextDecoder().decode(head.bytes));
  return { record: { values, jpeg: jpeg.bytes.slice() }, end: jpeg.end };
}

function part(bytes, at, most) {
  if (bytes.length < at + 4) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
  if (length > most) throw new RangeError("not a stream of records");
  const end = at + 4 + length;
  return bytes.length < end ? null : { bytes: bytes.subarray(at + 4, end), end };
}

// Calls onRecord for each record, and comes back by itself for ever; onBroken(status) tells of each loss.
export async function follow(onRecord, onBroken) {
  for (let failures = 0; ; failures += 1) {
    let status = 0;
    try {
      status = await readOnce((record) => {
        failures = 0;
        onRecord(record);
      });
    } catch {
      // The network's own words help nobody here; the page says what it means.
    }
    onBroken(status);
    await new Promise((done) => setTimeout(done, BACK_OFF_MS[Math.min(failures, BACK_OFF_MS.length - 1)]));
  }
}

async function readOnce(onRecord) {
  const cutter = new AbortController();
  let silence = setTimeout(() => cutter.abort(), SILENT_MS);
  try {
    const response = await fetch("/live", { headers: OWN_HEADER, cache: "no-store", signal: cutter.signal });
    if (!response.ok) return response.status;
    const reader = response.body.getReader();
    const splitter = new Splitter();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return response.status;
      clearTimeout(silence);
      silence = setTimeout(() => cutter.abort(), SILENT_MS);
      splitter.push(value).forEach(onRecord);
    }
  } finally {
    clearTimeout(silence);
    cutter.abort();
  }
}

// Sends a press; the answer's status, 0 when it did not arrive.
export async function press(path, body) {
  try {
    const headers = { ...OWN_HEADER, "Content-Type": "application/json" };
    return (await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })).status;
  } catch {
    return 0;
  }
}
