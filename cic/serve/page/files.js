// Files before they are sent: size and kind by their headers.

import { sizeOf } from "./sizes.js";

const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];

async function isHeic(file) {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(4, 12).arrayBuffer()));
  return start.startsWith("ftyp") && HEIC.includes(start.slice(4));
}

/** [name of a text, its values] of why the server will not take a file; null if it may. */
export async function refusal(file, info) {
  const { name } = file;
  if (file.size > info.limits.bytes) {
    return ["large", { name, size: Math.ceil(file.size / 1e6), most: Math.floor(info.limits.bytes / 1e6) }];
  }
  if (!info.heic && (await isHeic(file))) return ["heic", { name }];
  const { width, height } = await sizeOf(file);
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
