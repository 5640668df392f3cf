// The question for the token of a server that has one.

const $ = (id) => document.getElementById(id);
let asking = null, given = "";

$("ask-token").firstElementChild.addEventListener("submit", (event) => {
  event.preventDefault();
  given = $("token").value.trim();
  $("ask-token").close();
});
$("no-token").addEventListener("click", () => $("ask-token").close());

function asked(isWrong) {
  given = $("token").value = "";
  $("wrong-token").hidden = !isWrong;
  $("ask-token").showModal();
  return new Promise((done) => $("ask-token").addEventListener("close", () => done(given), { once: true }));
}

/** Ask for the token, once for all who want it meanwhile; "" if none is given. */
export function askForToken(isWrong) {
  asking ??= asked(isWrong).finally(() => (asking = null));
  return asking;
}
