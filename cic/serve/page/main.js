// The page: photos come in, are shown gray at once, then in colour, and go out.

import { copy, dataOf, fill, shrunk } from "./canvas.js";
import { Cells } from "./cells.js";
import { Chooser } from "./chooser.js";
import { Picture, at, numbers } from "./colour.js";
import { refusal, resultName } from "./files.js";
import { Hints } from "./hints.js";
import { Refusal, colorize, info, preview, reason } from "./server.js";
import { change, text, translate, translated } from "./texts.js";
import { zip } from "./zip.js";

const LONG = 1000, SMALL = 160; // pixels of a longer side: of the picture, of an alternative's
const $ = (id) => document.getElementById(id);
const photos = [];
const chooser = new Chooser({ changed: adjust, tell, save });
let limits = null, current = null, told = null, isBusy = false;

function tell(name, values, isBad = false) {
  told = [name, values];
  $("status").textContent = text(name, values);
  $("status").classList.toggle("bad", isBad);
}

/** Refuse a photo, and if it is of no use to ask about others now, those that wait. */
function fail(photo, error) {
  if (!(error instanceof Refusal)) console.error(error);
  const others = error.isForAll ? photos.filter((one) => one !== photo && isWaiting(one)) : [];
  for (const one of [...others, photo]) {
    one.error = error;
    one.failed = [error.isPassing ? "passing" : "failed", { name: one.name, detail: () => reason(error) }];
    refuse(one);
  }
}

function isWaiting(photo) {
  return !photo.found && !photo.failed;
}

function refuse(photo) {
  mark(photo);
  tell(...photo.failed, true);
}

/** Show on a photo's button whether it failed, and may be tried again. */
function mark({ button, failed, error }) {
  button.parentElement.classList.toggle("failed", Boolean(failed));
  button.title = failed ? text(...failed) : "";
  button.querySelector(".again").hidden = !(failed && error?.isPassing);
}

/** Try a photo again, and with it those that failed for what was wrong with none of them. */
function retry(photo) {
  for (const one of photos.filter((other) => other === photo || other.error?.isForAll)) {
    one.failed = one.error = null;
    mark(one);
  }
  show(photo);
  work();
}

/** Add files, show them gray, and ask for their colours. */
async function add(files) {
  for (const file of files) {
    const photo = { file, name: file.name || "photo.png", tilt: 0, hints: new Hints() };
    photo.button = entry(photo);
    photo.failed = await refusal(file, limits);
    if (!photo.failed) await showGray(photo);
    photos.push(photo); // from now on it may be sent
    if (photo.failed) refuse(photo);
    else if (!current || current.failed) show(photo);
  }
  work();
}

async function showGray(photo) {
  try {
    photo.gray = shrunk(await createImageBitmap(photo.file, { imageOrientation: "from-image" }), LONG);
    copy(photo.gray, photo.thumbnail);
  } catch {
    // this browser does not show it; the server may
  }
}

function entry(photo) {
  const item = document.createElement("li"), button = document.createElement("button");
  const name = document.createElement("span"), again = document.createElement("span");
  photo.thumbnail = document.createElement("canvas");
  photo.thumbnail.setAttribute("aria-hidden", "true");
  button.type = "button";
  name.textContent = photo.name;
  Object.assign(again, { className: "again", hidden: true, textContent: text("again") });
  again.dataset.text = "again";
  button.append(photo.thumbnail, name, again);
  button.addEventListener("click", () => {
    if (photo.error?.isPassing) retry(photo);
    else if (photo.failed) refuse(photo);
    else show(photo);
  });
  item.append(button);
  $("photos").append(item);
  return button;
}

/** Ask for colours, a photo at a time, in the order in which they came. */
async function work() {
  if (isBusy) return;
  isBusy = true;
  for (let photo; (photo = photos.find(isWaiting)); ) {
    tell("waiting", { name: photo.name });
    try {
      await understand(photo, await preview(photo.file, () => tell("busy", { name: photo.name })));
      tell("coloured", { name: photo.name });
    } catch (error) {
      fail(photo, error);
    }
    if (!photo.failed && (photo === current || current.failed)) show(photo);
  }
  isBusy = false;
}

/** Keep what the server found, with pictures to paint on. */
async function understand(photo, found) {
  const floats = (values) => numbers(values, Float32Array), light = floats(found.light);
  photo.cells = new Cells(found, light, found.unsure ? floats(found.unsure) : light.map(() => 1));
  photo.smallGray = new Blob([numbers(found.gray, Uint8Array)], { type: "image/jpeg" });
  photo.gray = shrunk(await createImageBitmap(photo.smallGray), LONG);
  photo.picture = new Picture(dataOf(photo.gray), found.grid, photo.cells.range);
  photo.small = new Picture(dataOf(shrunk(photo.gray, SMALL)), found.grid, photo.cells.range);
  photo.steps = found.colours.map((step) => ({ ...step, ab: floats(step.ab) }));
  photo.alternatives = found.alternatives.map((one) => ({ ...one, ab: floats(one.ab) }));
  photo.levels = found.uncertainty && numbers(found.uncertainty, Uint8Array);
  photo.saturation = found.saturation;
  photo.temperature = found.temperature;
  photo.found = found;
  photo.small.paint(lines(photo), photo.thumbnail);
  $("download-all").hidden = photos.filter((one) => one.found).length < 2;
}

/** The lines of a photo's cells as it is chosen now, or of another alternative. */
function lines(photo, tilt = photo.tilt) {
  const { cells, steps, temperature, saturation } = photo;
  const ab = tilt ? photo.alternatives[tilt].ab : temperature === null ? steps[0].ab : at(steps, temperature);
  return cells.lines(cells.follow(ab.map((value) => value * saturation), photo.hints.list));
}

/** Show a photo, in colour as far as it is. */
function show(photo) {
  current = photo;
  for (const one of photos) one.button.setAttribute("aria-current", String(one === photo));
  $("work").hidden = !photo.gray;
  $("panel").inert = !photo.found;
  chooser.show(photo);
  $("name").textContent = photo.name;
  if (!photo.gray) return;
  copy(photo.gray, $("before"));
  if (!photo.found) {
    copy(photo.gray, $("after"));
    $("note").textContent = "";
    return;
  }
  const { found } = photo;
  $("note").textContent = [text("size", found), ...found.notes.map((note) => translated("note", note))].join(text("and"));
  $("temperature-field").hidden = $("choices").hidden = $("doubt-field").hidden = found.temperature === null;
  if (found.temperature !== null) {
    $("temperature").min = photo.steps[0].temperature;
    $("temperature").max = photo.steps.at(-1).temperature;
    const [rows, columns] = found.grid; // the brighter, the less sure
    fill($("doubt"), columns, rows, (n) => [photo.levels[n], photo.levels[n] * 0.8, 40 + photo.levels[n] * 0.2, 255]);
    offer(photo);
  }
  adjust();
}

/** Show the alternatives, to choose from. */
function offer(photo) {
  $("alternatives").replaceChildren(
    ...photo.alternatives.map((_, number) => {
      const label = document.createElement("label"), input = document.createElement("input");
      const canvas = document.createElement("canvas"), name = document.createElement("span");
      Object.assign(input, { type: "radio", name: "alternative", value: number, checked: number === photo.tilt });
      canvas.setAttribute("aria-hidden", "true");
      name.textContent = text("alternative", { number: number + 1 });
      input.addEventListener("change", () => {
        photo.tilt = number;
        adjust();
      });
      label.append(input, canvas, name);
      return label;
    }),
  );
  paintAlternatives(photo);
}

function paintAlternatives(photo) {
  [...$("alternatives").querySelectorAll("canvas")].forEach((canvas, number) => {
    photo.small.paint(lines(photo, number), canvas);
  });
}

let planned = 0;

/** Paint the current photo as its settings are, at the next frame; once they stay, all of it. */
function adjust(stays = false) {
  const photo = current;
  $("saturation").value = photo.saturation;
  $("saturation-value").value = photo.saturation.toFixed(2);
  if (photo.temperature !== null) {
    $("temperature").value = photo.temperature;
    $("temperature").disabled = photo.tilt > 0;
    $("temperature-value").value = photo.temperature.toFixed(2);
  }
  cancelAnimationFrame(planned);
  planned = requestAnimationFrame(() => {
    const found = lines(photo);
    photo.picture.paint(found, $("after"));
    photo.small.paint(found, photo.thumbnail);
    chooser.tellPlace();
    if (stays && photo.levels) paintAlternatives(photo);
  });
}

/** What the server is to be asked for the full size of a photo. */
function parameters(photo) {
  const { found, saturation, temperature, tilt } = photo, asked = {};
  if (saturation !== found.saturation) asked.saturation = saturation;
  if (tilt) asked.tilt = photo.alternatives[tilt].tilt.join(",");
  else if (temperature !== found.temperature) asked.temperature = temperature;
  return asked;
}

/** Make photos at their full size, and save them: one as it is, several as a zip. */
async function download(chosen) {
  const buttons = [$("download"), $("download-all")], made = [];
  for (const button of buttons) button.disabled = true;
  for (const [number, photo] of chosen.entries()) {
    tell("making", { name: photo.name, done: number + 1, count: chosen.length });
    try {
      const blob = await colorize(photo.file, parameters(photo), photo.hints, () => tell("busy", { name: photo.name }));
      made.push({ name: resultName(photo.name, blob.type), blob });
    } catch (error) {
      tell("failed", { name: photo.name, detail: () => reason(error) }, true);
      if (error.isForAll) break;
    }
  }
  if (made.length) save(chosen.length > 1 ? { name: "colorized.zip", blob: await zip(made) } : made[0]);
  if (made.length === chosen.length) tell("made", { count: made.length });
  for (const button of buttons) button.disabled = false;
}

function save({ name, blob }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function listen() {
  $("choose").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") add([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
  $("split").addEventListener("input", () => $("compare").style.setProperty("--split", `${$("split").value}%`));
  $("saturation").addEventListener("input", () => {
    current.saturation = Number($("saturation").value);
    adjust();
  });
  $("saturation").addEventListener("change", () => adjust(true));
  $("temperature").addEventListener("input", () => {
    current.temperature = Number($("temperature").value);
    adjust();
  });
  $("show-doubt").addEventListener("change", () => ($("doubt").hidden = !$("show-doubt").checked));
  $("download").addEventListener("click", () => download([current]));
  $("download-all").addEventListener("click", () => download(photos.filter((photo) => photo.found)));
  $("reset").addEventListener("click", () => {
    Object.assign(current, { saturation: current.found.saturation, temperature: current.found.temperature, tilt: 0 });
    if (current.hints.list.length) current.hints.set([]);
    show(current);
  });
  $("panel").addEventListener("submit", (event) => event.preventDefault());
  $("language").addEventListener("click", () => {
    change();
    if (told) $("status").textContent = text(...told);
    photos.forEach(mark);
    if (current && !current.failed) show(current);
  });
}

translate();
try {
  limits = await info();
  listen();
  $("choose").dataset.ready = "true";
} catch (error) {
  tell("failed", { name: "cic", detail: () => reason(error) }, true);
}
