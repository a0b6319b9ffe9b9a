// Parts shared by both kinds of answers: decision, doubts, probabilities. Text is set as text, never as HTML.

import { showCase } from "./case.js";
import { showSlice } from "./slice.js";
import { capital, element, percent } from "./words.js";

export async function showAnswer(section, found) {
  section.replaceChildren(document.getElementById("answer-template").content.cloneNode(true));
  section.querySelector(".name").textContent = found.name;
  section.querySelector("h2").textContent = capital(headline(found));
  section.dataset.kind = found.kind;
  section.classList.toggle("doubtful", found.doubts.length > 0);
  for (const doubt of found.doubts) section.querySelector(".doubts").append(element("li", doubt));
  section.querySelector(".bars").append(...found.probabilities.flatMap(bar));
  if (!found.probabilities.length) section.querySelector(".bars").parentElement.remove();
  section.hidden = false;  // before the viewer measures its canvas
  const shown = section.querySelector(".shown");
  if (found.kind === "slice") showSlice(shown, found);
  else await showCase(shown, section.querySelector(".volumes"), section.querySelector(".sources"), found);
}

function headline(found) {
  if (!found.said) return "Segmented";
  const share = percent(found.confidence);
  if (found.unfamiliar) return `Unfamiliar; the model would say ${found.said} (${share})`;
  if (found.unsure) return `Unsure; most likely ${found.said} (${share})`;
  return `${found.said}, ${share}`;
}

function bar({ name, p }) {
  const value = element("dd", percent(p));
  value.style.setProperty("--p", p);
  return [element("dt", name), value];
}
