// The page: sends files to its own server and shows the answer or the error.

import { showAnswer } from "./answer.js";
import { filesOf } from "./files.js";
import { choose } from "./menu.js";
import { element } from "./words.js";

const upload = document.getElementById("upload");
const drop = document.getElementById("drop");
const input = document.getElementById("files");
const status = document.getElementById("status");
const clock = document.getElementById("clock");
const error = document.getElementById("error");
const answer = document.getElementById("answer");
const menu = document.getElementById("menu");

let limits = { max_bytes: Infinity, max_files: Infinity };

async function describeModels() {
  limits = await (await fetch("api/models")).json();
  document.getElementById("models").append(...limits.notes.map((note) => element("p", note)));
}

// gathered: list of files or a promise of one; chosen: the visitor's assignment of files to modalities, if any
async function send(gathered, chosen) {
  if (input.disabled) return;
  begin();
  const started = performance.now();
  const ticking = setInterval(() => { clock.textContent = `${seconds(started)} s`; }, 100);
  let files = [];
  let proposals = [];
  try {
    files = await gathered;
    const found = await answerOf(files, chosen);
    proposals = found.proposals ?? [];
    status.textContent = "Drawing…";
    await showAnswer(answer, found);
    status.textContent = `Answered in ${seconds(started)} s.`;
    answer.focus();
  } catch (fault) {
    proposals = fault.proposals ?? [];
    answer.hidden = true;
    status.textContent = "";
    error.textContent = `That did not work:\n${fault.message}`;
  } finally {
    clearInterval(ticking);
    end();
  }
  choose(menu, proposals, chosen ?? {}, !answer.hidden, (choice) => send(files, choice));
}

async function answerOf(files, chosen) {
  if (!files.length) throw new Error("No file was dropped.");
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (files.length > limits.max_files) {
    const many = `${files.length} files; at most ${limits.max_files} are accepted.`;
    throw new Error(`${many} Pack a study of many files into one .zip.`);
  }
  if (bytes > limits.max_bytes) {
    throw new Error(`More than ${Math.round(limits.max_bytes / 2 ** 20)} MiB. Send only one case.`);
  }
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  if (chosen) body.append("choice", JSON.stringify(chosen));
  const ticket = crypto.randomUUID().replaceAll("-", "");
  const asking = setInterval(() => showPlace(ticket), 1000);
  try {
    const response = await fetch("api/answer", { method: "POST", body, headers: { "X-Ticket": ticket } });
    const found = await response.json();
    if (!response.ok) throw Object.assign(new Error(found.error), { proposals: found.proposals });
    return found;
  } catch (fault) {
    if (!(fault instanceof TypeError)) throw fault;  // thrown by fetch without a response
    throw new Error("No response. Is btlib serve still running, and are the files still in place?");
  } finally {
    clearInterval(asking);
  }
}

async function showPlace(ticket) {
  const { before } = await (await fetch(`api/queue/${ticket}`)).json();
  if (!input.disabled) return;  // answered meanwhile
  const waiting = before ? `Waiting: ${before} before you…` : "Working…";
  if (status.textContent !== waiting) status.textContent = waiting;  // otherwise a screen reader would repeat it
}

function begin() {
  error.textContent = "";
  status.textContent = "Working…";
  answer.hidden = true;
  answer.replaceChildren();
  menu.hidden = true;
  upload.setAttribute("aria-busy", "true");
  input.disabled = true;
}

function end() {
  clock.textContent = "";
  upload.removeAttribute("aria-busy");
  input.disabled = false;
  input.value = "";  // allows choosing the same file again
}

function seconds(since) {
  return ((performance.now() - since) / 1000).toFixed(1);
}

input.addEventListener("change", () => send([...input.files]));
// a file that misses the box must not replace the page
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  send(filesOf(event.dataTransfer));
});
drop.addEventListener("dragenter", () => drop.classList.add("over"));
drop.addEventListener("dragleave", () => drop.classList.remove("over"));

describeModels();
