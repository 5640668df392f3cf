// Questions to the server.

import { translated } from "./texts.js";
import { askForToken } from "./token.js";

const AWAY = 0, TOKEN = 401; // statuses that every photo would get
const PASSING = [AWAY, TOKEN, 408, 429, 502, 503, 504]; // 502 and 504 are of a proxy

/** What the server said is wrong: status, a sentence, and a code that the page translates. */
export class Refusal extends Error {
  constructor(status, { detail, code }) {
    super(detail);
    this.status = status;
    this.code = code;
  }

  /** Whether the same may be done another time. */
  get isPassing() {
    return PASSING.includes(this.status);
  }

  /** Whether it is of no use to ask about other photos now. */
  get isForAll() {
    return [AWAY, TOKEN].includes(this.status);
  }
}

/** Why something failed, in the language of now. */
export function reason({ code, message }) {
  return translated("problem", { code, detail: message });
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch {
    throw new Refusal(AWAY, { code: "away" });
  }
  if (answer.ok) return answer;
  if (answer.status === TOKEN) {
    if (token !== sessionStorage.getItem("token")) return ask(path, options); // it was given meanwhile
    const given = await askForToken(Boolean(token));
    if (given) {
      sessionStorage.setItem("token", given);
      return ask(path, options);
    }
  }
  const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
  throw new Refusal(answer.status, problem);
}

/** POST a file, or a form; while the server is busy, `busy()` and again. */
async function send(path, body, busy) {
  const headers = body instanceof FormData ? {} : { "Content-Type": "application/octet-stream" };
  for (;;) {
    try {
      return await ask(path, { method: "POST", body, headers });
    } catch (error) {
      if (error.status !== 429) throw error;
      busy();
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

/** Limits and settings of the server. */
export async function info() {
  return (await ask("api/info")).json();
}

/** What is needed to show a photo in its colours. */
export async function preview(file, busy) {
  return (await send("api/preview", file, busy)).json();
}

/** [{color, probability}] that are likely at a pixel. */
export async function choices(file, { x, y }, busy) {
  return (await (await send(`api/choices?${new URLSearchParams({ x, y })}`, file, busy)).json()).choices;
}

/** The photo in colours, a Blob, with these parameters and Hints. */
export async function colorize(file, parameters, hints, busy) {
  let body = file;
  if (hints.list.length) {
    body = new FormData();
    body.append("hints", hints.json);
    body.append("photo", file);
  }
  return (await send(`api/colorize?${new URLSearchParams(parameters)}`, body, busy)).blob();
}
