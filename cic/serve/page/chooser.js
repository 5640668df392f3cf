// Colours that a person knows: a place of the photo, the likely colours there, and any other.

import { Plane, cartesian, hexOf, labOf, nameOf, polar, reach } from "./gamut.js";
import { hintOf, parse } from "./hints.js";
import { choices, reason } from "./server.js";
import { text } from "./texts.js";

const STEP = 0.02, FINE = 0.004; // shares of a side that a key moves the cursor by
const NEAR = 14; // CSS pixels within which a hint is touched
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const $ = (id) => document.getElementById(id);

function element(tag, className, attributes = {}) {
  const made = Object.assign(document.createElement(tag), { className });
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Where a pointer is, as shares of the sides of an element. */
function shares(event, target) {
  const box = target.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function put(mark, [across, down]) {
  mark.style.left = `${100 * across}%`;
  mark.style.top = `${100 * down}%`;
}

export class Chooser {
  /** `changed(stays)` is told of each change, `tell` says a text, `save` saves {name, blob}. */
  constructor({ changed, tell, save }) {
    Object.assign(this, { changed, tell, save, photo: null, place: null, chosen: null, cursor: [0.5, 0.5], question: 0 });
    $("after").getContext("2d", { willReadFrequently: true }); // `shown` does
    for (const input of document.querySelectorAll("[name=mode]")) input.addEventListener("change", () => this.draw());
    this.listenToPlaces();
    this.listenToColours();
    $("undo").addEventListener("click", () => this.go(-1));
    $("redo").addEventListener("click", () => this.go(1));
    document.addEventListener("keydown", (event) => this.shortcut(event));
    $("save-hints").addEventListener("click", () => {
      const name = `${this.photo.name.replace(/\.[^.]*$/, "")}-hints.json`;
      this.save({ name, blob: new Blob([this.photo.hints.json], { type: "application/json" }) });
    });
    $("load-hints").addEventListener("click", () => $("hints-file").click());
    $("hints-file").addEventListener("change", () => this.load($("hints-file").files[0]));
  }

  get isOn() {
    return Boolean(this.photo?.found) && $("mode-hint").checked;
  }

  /** Show the hints of a photo, if it is in colour already. */
  show(photo) {
    if (photo !== this.photo) this.place = null;
    this.photo = photo;
    this.draw();
  }

  listenToPlaces() {
    const places = $("places");
    places.addEventListener("click", (event) => {
      this.cursor = shares(event, places);
      this.open();
    });
    places.addEventListener("keydown", (event) => {
      if (event.key in ARROWS) {
        const step = event.shiftKey ? FINE : STEP;
        this.cursor = this.cursor.map((at, n) => Math.min(Math.max(at + step * ARROWS[event.key][n], 0), 0.9999));
        this.place = null;
        this.draw();
      } else if (event.key === "Enter" || event.key === " ") this.open(true);
      else if (event.key === "Delete" && this.near() >= 0) this.remove(this.near());
      else return;
      event.preventDefault();
    });
  }

  listenToColours() {
    const slide = (stays) => this.choose(hexOf(this.light, ...this.slid()), stays);
    for (const name of ["hue", "strength"]) {
      $(name).addEventListener("input", () => slide(false));
      $(name).addEventListener("change", () => slide(true));
    }
    const gamut = $("gamut"), point = (event) => {
      this.aim(this.plane.ab(shares(event, gamut)));
      slide(event.type === "pointerup");
    };
    gamut.addEventListener("pointerdown", (event) => {
      gamut.setPointerCapture(event.pointerId);
      point(event);
    });
    gamut.addEventListener("pointermove", (event) => gamut.hasPointerCapture(event.pointerId) && point(event));
    gamut.addEventListener("pointerup", point);
    $("colours").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.close();
      $("places").focus();
    });
  }

  shortcut(event) {
    if (!this.isOn || !(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase(), steps = key === "y" || (key === "z" && event.shiftKey) ? 1 : key === "z" ? -1 : 0;
    if (!steps) return;
    event.preventDefault();
    this.go(steps);
  }

  /** Where a hint lies, as shares of the sides. */
  spot({ x, y }) {
    return [(x + 0.5) / this.photo.found.width, (y + 0.5) / this.photo.found.height];
  }

  /** The number of the hint at the cursor, -1 for none. */
  near() {
    const box = $("places").getBoundingClientRect(), { hints } = this.photo;
    return hints.list.findLastIndex((hint) => {
      const [across, down] = this.spot(hint);
      return Math.hypot((across - this.cursor[0]) * box.width, (down - this.cursor[1]) * box.height) <= NEAR;
    });
  }

  /** Offer the colours of the place at the cursor, or of the hint that is there. */
  async open(isByKey = false) {
    const { found, cells, hints } = this.photo, near = this.near();
    this.chosen = near < 0 ? null : near;
    const [across, down] = this.cursor.map((at) => Math.min(Math.max(at, 0), 0.9999));
    this.place = near < 0 ? { x: Math.floor(across * found.width), y: Math.floor(down * found.height) } : hints.list[near];
    this.cursor = this.spot(this.place);
    this.light = cells.light[cells.at(this.place)];
    this.plane = new Plane($("gamut"), this.light);
    this.aim(labOf(near < 0 ? this.shown() : hints.list[near].color).slice(1));
    $("swatches").replaceChildren();
    this.draw();
    $("chooser").scrollIntoView({ block: "nearest" });
    if (this.photo.levels) await this.offer();
    if (isByKey) ($("swatches").firstChild ?? $("hue")).focus();
  }

  close() {
    this.place = null;
    this.draw();
  }

  /** Ask for the likely colours of the place, and show them. */
  async offer() {
    const question = ++this.question, { photo, place } = this, { gray, found } = photo;
    $("swatches").setAttribute("aria-busy", "true");
    const small = { x: (place.x * gray.width) / found.width, y: (place.y * gray.height) / found.height };
    let likely = [];
    try {
      likely = await choices(photo.smallGray, small, () => this.tell("busy", { name: photo.name }));
    } catch (error) {
      this.tell("failed", { name: photo.name, detail: () => reason(error) }, true);
    }
    if (question !== this.question || this.photo !== photo) return;
    $("swatches").setAttribute("aria-busy", "false");
    $("swatches").replaceChildren(...likely.map((one) => this.swatch(one)));
    this.draw();
    $("chooser").scrollIntoView({ block: "nearest" }); // the swatches take more room than was there
  }

  swatch({ color, probability }) {
    const button = element("button", "swatch", { type: "button", "data-color": color }), patch = element("span", "patch");
    patch.style.background = color;
    const share = new Intl.NumberFormat(document.documentElement.lang, { style: "percent" }).format(probability);
    button.append(patch, share);
    button.addEventListener("click", () => {
      this.aim(labOf(color).slice(1));
      this.choose(color, true);
    });
    return button;
  }

  /** Set the sliders to [a, b]. */
  aim(ab) {
    const { hue, chroma } = polar(ab);
    $("hue").value = hue;
    $("strength").value = Math.min(100, (100 * chroma) / Math.max(reach(this.light, hue), 1));
  }

  /** [a, b] of the sliders. */
  slid() {
    const hue = Number($("hue").value);
    return cartesian(hue, (Number($("strength").value) / 100) * reach(this.light, hue));
  }

  /** "#rrggbb" that is seen at the cursor. */
  shown() {
    const canvas = $("after"), at = [this.cursor[0] * canvas.width, this.cursor[1] * canvas.height].map(Math.floor);
    const [red, green, blue] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
    return `#${[red, green, blue].map((code) => code.toString(16).padStart(2, "0")).join("")}`;
  }

  /** Let the place have a colour: for a while, or so that it `stays` and can be undone. */
  choose(color, stays) {
    const { hints } = this.photo, { x, y, radius } = this.place, hint = hintOf(x, y, color, radius);
    const before = hints.states[hints.now];
    const list = this.chosen === null ? [...before, hint] : before.with(this.chosen, hint);
    if (!stays) hints.draft = list;
    else {
      hints.set(list);
      this.chosen ??= list.length - 1;
      this.tell("hinted", { number: this.chosen + 1, color: () => text(nameOf(hint.color)) });
    }
    this.changed(stays);
    this.draw();
  }

  remove(number) {
    this.photo.hints.set(this.photo.hints.list.toSpliced(number, 1));
    this.tell("removed", { number: number + 1 });
    this.after();
  }

  go(steps) {
    this.photo.hints.go(steps);
    this.tell(steps < 0 ? "undone" : "redone", { count: this.photo.hints.list.length });
    this.after();
  }

  after() {
    this.place = null;
    this.changed(true);
    this.draw();
  }

  async load(file) {
    $("hints-file").value = "";
    const { photo } = this, list = parse(await file.text(), photo.found);
    if (!list) return this.tell("no-hints", { name: file.name }, true);
    photo.hints.set(list);
    this.tell("loaded", { name: file.name, count: list.length });
    this.after();
  }

  draw() {
    const { photo, isOn } = this;
    $("mode").hidden = !photo?.found;
    for (const name of ["split", "line", "before"]) $(name).hidden = isOn;
    $("places").hidden = $("colours").hidden = !isOn;
    if (!isOn) return;
    const { hints } = photo;
    put($("cursor"), this.cursor);
    $("cursor").classList.toggle("open", this.place !== null);
    $("undo").disabled = !hints.canUndo;
    $("redo").disabled = !hints.canRedo;
    $("save-hints").disabled = !hints.list.length;
    $("marks").replaceChildren(...hints.list.map((hint) => {
      const mark = element("span", "mark");
      mark.style.background = hint.color;
      put(mark, this.spot(hint));
      return mark;
    }));
    $("hint-list").replaceChildren(...hints.list.map((hint, number) => this.entry(hint, number)));
    this.drawPlace();
  }

  /** Say where the cursor is, and what is seen there. */
  tellPlace() {
    const [x, y] = this.cursor.map((at) => Math.round(100 * at));
    $("place").textContent = text(this.place ? "place" : "place-help", { x, y, color: text(nameOf(this.shown())) });
  }

  drawPlace() {
    this.tellPlace();
    $("chooser").hidden = !this.place;
    if (!this.place) return;
    const ab = this.slid(), chosen = this.chosen === null ? null : this.photo.hints.list[this.chosen].color;
    put($("picked"), this.plane.place(ab));
    $("hue").setAttribute("aria-valuetext", text(nameOf(hexOf(this.light, ...ab))));
    for (const swatch of $("swatches").children) {
      const { color } = swatch.dataset;
      swatch.setAttribute("aria-pressed", String(color === chosen));
      swatch.setAttribute("aria-label", `${text(nameOf(color))}, ${swatch.textContent}`);
    }
  }

  /** A line of the list: a button to change a hint, another to remove it. */
  entry(hint, number) {
    const line = element("li", ""), change = element("button", "", { type: "button" }), remove = element("button", "", { type: "button" });
    const patch = element("span", "patch"), color = text(nameOf(hint.color));
    patch.style.background = hint.color;
    change.append(patch, text("hint", { number: number + 1, color }));
    change.setAttribute("aria-current", String(this.place !== null && number === this.chosen));
    change.addEventListener("click", () => {
      this.cursor = this.spot(hint);
      this.open(true);
    });
    remove.textContent = "×";
    remove.setAttribute("aria-label", text("remove", { number: number + 1, color }));
    remove.addEventListener("click", () => {
      this.remove(number);
      $("places").focus();
    });
    line.append(change, remove);
    return line;
  }
}
