// Single colours: what sRGB can show at a lightness.

import { LINEAR, codeOf, inverse } from "./colour.js";
import { fill } from "./canvas.js";

const NAMES = [[5, "pink"], [35, "red"], [62, "orange"], [90, "yellow"], [132, "green"], [205, "turquoise"], [270, "blue"], [310, "violet"], [340, "pink"]];
const GRAY = 6, DARK = 60; // chroma below which a colour has no name; L below which orange is brown

/** Linear sRGB of a colour, which may lie outside of 0 to 1. */
function linear(light, a, b) {
  const f = (light + 16) / 116, x = inverse(f + a / 500), y = inverse(f), z = inverse(f - b / 200);
  return [
    3.07998 * x - 1.537152 * y - 0.542821 * z,
    -0.921248 * x + 1.87599 * y + 0.045247 * z,
    0.05289 * x - 0.204041 * y + 1.151232 * z,
  ];
}

function isShown(light, a, b) {
  return linear(light, a, b).every((value) => value > -0.002 && value < 1.002);
}

/** "#rrggbb" of a colour. */
export function hexOf(light, a, b) {
  return `#${linear(light, a, b).map((value) => codeOf(value).toString(16).padStart(2, "0")).join("")}`;
}

/** [L, a, b] of "#rrggbb". */
export function labOf(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => LINEAR[parseInt(hex.slice(at, at + 2), 16)]);
  const f = (value) => (value > (6 / 29) ** 3 ? Math.cbrt(value) : (841 / 108) * value + 16 / 116);
  const x = f((0.412453 * red + 0.35758 * green + 0.180423 * blue) / 0.95047);
  const y = f(0.212671 * red + 0.71516 * green + 0.072169 * blue);
  const z = f((0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** The most chroma that sRGB shows at a lightness and a hue, degrees. */
export function reach(light, hue) {
  const [a, b] = cartesian(hue, 1);
  let low = 0, high = 140;
  while (high - low > 0.25) {
    const middle = (low + high) / 2;
    if (isShown(light, a * middle, b * middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** Hue, degrees from 0 to 360, and chroma of [a, b]. */
export function polar([a, b]) {
  return { hue: ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360, chroma: Math.hypot(a, b) };
}

/** [a, b] of them. */
export function cartesian(hue, chroma) {
  return [chroma * Math.cos((hue * Math.PI) / 180), chroma * Math.sin((hue * Math.PI) / 180)];
}

/** The name of a text for "#rrggbb". */
export function nameOf(hex) {
  const [light, ...ab] = labOf(hex), { hue, chroma } = polar(ab);
  if (chroma < GRAY) return "gray";
  const apart = ([middle]) => Math.abs(((hue - middle + 540) % 360) - 180);
  const [, name] = NAMES.reduce((best, one) => (apart(one) < apart(best) ? one : best));
  return name === "orange" && light < DARK ? "brown" : name;
}

/** The colours of a lightness on a square: painted on a canvas, and where they lie there. */
export class Plane {
  constructor(canvas, light) {
    const border = Array.from({ length: 60 }, (_, n) => cartesian(6 * n, reach(light, 6 * n)));
    const ends = [0, 1].map((channel) => border.map((ab) => ab[channel])).map((all) => [Math.min(...all), Math.max(...all)]);
    this.middle = ends.map(([low, high]) => (low + high) / 2);
    this.half = 1.02 * Math.max(0.5, ...ends.map(([low, high]) => (high - low) / 2));
    const side = canvas.width;
    fill(canvas, side, side, (n) => {
      const [a, b] = this.ab([((n % side) + 0.5) / side, (Math.floor(n / side) + 0.5) / side]);
      return isShown(light, a, b) ? [...linear(light, a, b).map(codeOf), 255] : [0, 0, 0, 0];
    });
  }

  /** [a, b] at a place, shares of the sides from the top left corner. */
  ab([across, down]) {
    return [this.middle[0] + (2 * across - 1) * this.half, this.middle[1] + (1 - 2 * down) * this.half];
  }

  /** The place of [a, b]. */
  place([a, b]) {
    return [0.5 + (a - this.middle[0]) / this.half / 2, 0.5 - (b - this.middle[1]) / this.half / 2];
  }
}
