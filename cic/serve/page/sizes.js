// The size of a picture in a file, read from its headers.

const SEGMENTS = 10000; // of a JPEG: more are not followed
const ENTRIES = 4096; // of a TIFF's directory

/** A DataView of up to `count` bytes of a file from `at` on. */
async function bytes(file, at, count) {
  return new DataView(await file.slice(at, at + count).arrayBuffer());
}

function name(view, at) {
  return String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
}

function png(view) {
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** Of a JPEG: its frame header, behind any number of segments (ITU T.81, B.2.2). */
async function jpeg(file) {
  for (let at = 2, count = 0; count < SEGMENTS; count++) {
    const view = await bytes(file, at, 9), marker = view.getUint8(1);
    if (view.getUint8(0) !== 0xff) return {};
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(7), height: view.getUint16(5) };
    }
    at += marker === 0xff ? 1 : 2 + view.getUint16(2); // 0xff: a byte that fills
  }
  return {};
}

/** Of a TIFF or BigTIFF: ImageWidth and ImageLength of its first directory. */
async function tiff(file, start) {
  const little = start.getUint8(0) === 0x49, big = start.getUint16(2, little) === 43;
  const wide = (view, at) => (big ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const [head, long, value] = big ? [8, 20, 12] : [2, 12, 8]; // bytes: of the count, of an entry, before its value
  const view = await bytes(file, wide(start, big ? 8 : 4), head + ENTRIES * long), found = {};
  const count = big ? wide(view, 0) : view.getUint16(0, little);
  for (let n = 0, at = head; n < count && at + long <= view.byteLength; n++, at += long) {
    const side = { 256: "width", 257: "height" }[view.getUint16(at, little)], type = view.getUint16(at + 2, little);
    if (side && type === 3) found[side] = view.getUint16(at + value, little);
    else if (side) found[side] = type === 4 ? view.getUint32(at + value, little) : wide(view, at + value);
  }
  return found;
}

/** Of a WebP: lossy, lossless or extended (RFC 9649). */
function webp(view) {
  const kind = name(view, 12), three = (at) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  if (kind === "VP8X") return { width: 1 + three(24), height: 1 + three(27) };
  if (kind === "VP8 ") return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  const bits = view.getUint32(21, true); // VP8L
  return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff) };
}

function bmp(view) {
  if (view.getUint32(14, true) === 12) return { width: view.getUint16(18, true), height: view.getUint16(20, true) };
  return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) }; // below 0: from the top
}

/** {width, height} of a photo in pixels; {} if its headers do not say it. */
export async function sizeOf(file) {
  try {
    const view = await bytes(file, 0, 32), start = name(view, 0);
    if (start === "\x89PNG") return png(view);
    if (start.startsWith("\xff\xd8")) return await jpeg(file);
    if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(start)) return await tiff(file, view);
    if (start === "RIFF" && name(view, 8) === "WEBP") return webp(view);
    if (start.startsWith("BM")) return bmp(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends too early
  }
  return {};
}
