// Files before they are sent: size and kind by their first bytes.

const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];

/** {heic, width, height} as far as the first bytes of a file say it. */
async function head(file) {
  const view = new DataView(await file.slice(0, 1 << 18).arrayBuffer());
  const name = (at) => (at + 4 <= view.byteLength ? String.fromCharCode(...new Uint8Array(view.buffer, at, 4)) : "");
  if (name(4) === "ftyp") return { heic: HEIC.includes(name(8)) };
  if (name(0) === "\x89PNG" && view.byteLength >= 24) return { width: view.getUint32(16), height: view.getUint32(20) };
  if (view.byteLength > 4 && view.getUint16(0) === 0xffd8) return frame(view);
  return {};
}

/** Size of a JPEG, from its frame header (ITU T.81, B.2.2). */
function frame(view) {
  let at = 2;
  while (at + 9 <= view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return {};
}

/** [name of a text, its values] of why the server will not take a file; null if it may. */
export async function refusal(file, info) {
  const { name } = file;
  if (file.size > info.limits.bytes) {
    return ["large", { name, size: Math.ceil(file.size / 1e6), most: Math.floor(info.limits.bytes / 1e6) }];
  }
  const { heic, width, height } = await head(file);
  if (heic && !info.heic) return ["heic", { name }];
  const most = info.limits.pixels ?? Infinity;
  if (width * height > most) {
    return ["pixels", { name, size: Math.ceil((width * height) / 1e6), most: Math.floor(most / 1e6) }];
  }
  return null;
}

/** A name for a photo in colours: old-colorized.jpg of old.jpg, with the ending of its type. */
export function resultName(name, type) {
  const endings = { "image/jpeg": ".jpg", "image/png": ".png", "image/tiff": ".tif", "image/webp": ".webp", "image/bmp": ".bmp" };
  return `${name.replace(/\.[^.]*$/, "")}-colorized${endings[type] ?? ""}`;
}
