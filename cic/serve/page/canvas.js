// Pictures on canvases.

/** A canvas of an image at no more than `long` pixels, in gray. */
export function shrunk(image, long) {
  const scale = Math.min(1, long / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const pixels = dataOf(canvas);
  for (let n = 0; n < pixels.data.length; n += 4) {
    const [red, green, blue] = pixels.data.subarray(n, n + 3);
    pixels.data.fill(Math.round(0.2126 * red + 0.7152 * green + 0.0722 * blue), n, n + 3);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

export function dataOf(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}

export function copy(from, to) {
  to.width = from.width;
  to.height = from.height;
  to.getContext("2d").drawImage(from, 0, 0);
}

/** Paint pixels (h, w, 4) of 0 to 255, told by `colour(n)`, onto a canvas of this size. */
export function fill(canvas, width, height, colour) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), out = context.createImageData(width, height);
  for (let n = 0; n < width * height; n++) out.data.set(colour(n), 4 * n);
  context.putImageData(out, 0, 0);
}
