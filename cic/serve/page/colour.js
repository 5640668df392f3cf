// The colours of a photo, as the server makes them (cic/colour/lab.py, cic/colorize/enlarge.py), small.

const KNEE = 6 / 29, SLOPE = 841 / 108, STEPS = 4096, TINY = 1e-6;

export const LINEAR = Float32Array.from({ length: 256 }, (_, code) => {
  const value = code / 255;
  return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
});
const F = LINEAR.map((y) => (y > KNEE ** 3 ? Math.cbrt(y) : SLOPE * y + 16 / 116));
const CODES = Uint8Array.from({ length: STEPS + 1 }, (_, n) => {
  const value = (n + 0.5) / STEPS;
  return Math.round(255 * Math.min(1, value > 0.0031308 ? 1.055 * value ** (1 / 2.4) - 0.055 : 12.92 * value));
});

/** sRGB, 0 to 255, of a linear value. */
export function codeOf(value) {
  return CODES[(Math.min(Math.max(value, 0), 1) * STEPS) | 0];
}

export function inverse(f) {
  return f > KNEE ? f * f * f : (f - 16 / 116) / SLOPE;
}

/** Numbers of one type from base64, little-endian. */
export function numbers(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** [cell before, cell behind, share of the latter] of `count` pixels on a line of cells. */
function between(count, cells, place) {
  return Array.from({ length: count }, (_, n) => {
    const at = Math.min(Math.max(((n + 0.5) * cells) / count - place, 0), cells - 1);
    const before = Math.min(Math.floor(at), Math.max(0, cells - 2));
    return [before, Math.min(before + 1, cells - 1), at - before];
  });
}

/** A gray picture, and how the cells of a grid lie on it. */
export class Picture {
  /** Of an ImageData, a grid [rows, columns, place], and the lightness (h, w, 2) that lines hold for. */
  constructor(gray, [rows, columns, place], range) {
    this.width = gray.width;
    this.height = gray.height;
    this.codes = Uint8Array.from({ length: gray.width * gray.height }, (_, n) => gray.data[4 * n]);
    this.cells = columns;
    this.down = between(gray.height, rows, place);
    this.across = between(gray.width, columns, place);
    this.light = new Float32Array(this.codes.length);
    this.each(range, 2, (n, [low, high]) => {
      this.light[n] = Math.min(Math.max(116 * F[this.codes[n]] - 16, low), high);
    });
  }

  /** Call `use(pixel, values)` with the enlarged values of cells of so many channels. */
  each(cells, channels, use) {
    const length = this.cells * channels, row = new Float32Array(length), values = new Float32Array(channels);
    let n = 0;
    for (const [above, below, part] of this.down) {
      for (let k = 0; k < length; k++) {
        const upper = cells[above * length + k];
        row[k] = upper + (cells[below * length + k] - upper) * part;
      }
      for (const [before, behind, share] of this.across) {
        for (let k = 0; k < channels; k++) {
          const left = row[before * channels + k];
          values[k] = left + (row[behind * channels + k] - left) * share;
        }
        use(n++, values);
      }
    }
  }

  /** Paint lines (h, w, 4) onto a canvas of this size. */
  paint(lines, canvas) {
    canvas.width = this.width;
    canvas.height = this.height;
    const context = canvas.getContext("2d"), out = context.createImageData(this.width, this.height), { data } = out;
    this.each(lines, 4, (n, values) => {
      const code = this.codes[n], y = LINEAR[code], light = this.light[n];
      const a = values[0] * light + values[2], b = values[1] * light + values[3];
      const x = inverse(F[code] + a / 500), z = inverse(F[code] - b / 200);
      let red = 3.07998 * x - 1.537152 * y - 0.542821 * z - y;
      let green = -0.921248 * x + 1.87599 * y + 0.045247 * z - y;
      let blue = 0.05289 * x - 0.204041 * y + 1.151232 * z - y;
      const excess = Math.max(red, green, blue) / Math.max(1 - y, TINY);
      const far = Math.max(excess, -Math.min(red, green, blue) / Math.max(y, TINY), 1);
      red = y + red / far;
      green = y + green / far;
      blue = y + blue / far;
      data[4 * n] = CODES[(red * STEPS) | 0];
      data[4 * n + 1] = CODES[(green * STEPS) | 0];
      data[4 * n + 2] = CODES[(blue * STEPS) | 0];
      data[4 * n + 3] = 255;
    });
    context.putImageData(out, 0, 0);
  }
}

/** The ab at a temperature, between those of [{temperature, ab}] that are nearest. */
export function at(steps, temperature) {
  const behind = steps.findIndex((step) => step.temperature >= temperature);
  if (behind <= 0) return steps.at(behind).ab;
  const low = steps[behind - 1], high = steps[behind];
  const share = (temperature - low.temperature) / (high.temperature - low.temperature);
  return low.ab.map((value, n) => value + (high.ab[n] - value) * share);
}
