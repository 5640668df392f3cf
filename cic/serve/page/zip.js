// A zip of files that are stored as they are (APPNOTE 6.3, 4.3): photos do not shrink.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function record(signature, fields) {
  const view = new DataView(new ArrayBuffer(4 + fields.reduce((sum, [size]) => sum + size, 0)));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}

/** A Blob of [{name, blob}], whose names are made distinct. */
export async function zip(files) {
  const parts = [], directory = [], taken = new Set();
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const encoded = new TextEncoder().encode(distinct(name, taken));
    const about = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, checksum(bytes)], [4, bytes.length], [4, bytes.length], [2, encoded.length], [2, 0]];
    const local = record(0x04034b50, about);
    directory.push(record(0x02014b50, [[2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), encoded);
    parts.push(local, encoded, bytes);
    offset += local.byteLength + encoded.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = record(0x06054b50, [[2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function distinct(name, taken) {
  const [, stem, ending] = name.match(/^(.*?)(\.[^.]*)?$/s);
  let found = name;
  for (let number = 2; taken.has(found); number++) found = `${stem}-${number}${ending ?? ""}`;
  taken.add(found);
  return found;
}
