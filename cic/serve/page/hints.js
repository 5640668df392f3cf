// The hints of a photo: what was chosen, undone and done again, and their form as a file.

import { labOf } from "./gamut.js";

const MOST = 1000; // of cic/colorize/hints.py
const KEYS = ["x", "y", "color", "radius"];

export class Hints {
  constructor() {
    this.states = [[]];
    this.now = 0;
    this.draft = null;
  }

  /** [{x, y, color, ab, radius}] as they are, also in the middle of a choice. */
  get list() {
    return this.draft ?? this.states[this.now];
  }

  /** Change them, so that it can be undone. */
  set(list) {
    this.draft = null;
    this.states.splice(++this.now, Infinity, list);
  }

  get canUndo() {
    return this.now > 0;
  }

  get canRedo() {
    return this.now < this.states.length - 1;
  }

  go(steps) {
    this.draft = null;
    this.now = Math.min(Math.max(this.now + steps, 0), this.states.length - 1);
  }

  /** The form that `cic colorize --hints` reads. */
  get json() {
    const lines = this.list.map(({ x, y, color, radius }) => JSON.stringify({ x, y, color, ...(radius && { radius }) }));
    return `[\n  ${lines.join(",\n  ")}\n]\n`;
  }
}

export function hintOf(x, y, color, radius = 0) {
  return { x, y, color, radius, ab: labOf(color).slice(1) };
}

/** The hints of a file, null if they are none of a photo of this size. */
export function parse(text, { width, height }) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return null;
  }
  const fits = (value, most) => typeof value === "number" && value >= 0 && value < most;
  const isHint = (one) =>
    one !== null && typeof one === "object" && Object.keys(one).every((key) => KEYS.includes(key)) &&
    fits(one.x, width) && fits(one.y, height) && fits(one.radius ?? 0, Infinity) && /^#[0-9a-f]{6}$/i.test(one.color);
  if (!Array.isArray(found) || found.length > MOST || !found.every(isHint)) return null;
  return found.map(({ x, y, color, radius }) => hintOf(x, y, color, radius));
}
