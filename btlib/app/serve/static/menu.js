// Assignment of files to the four scans, for the visitor to correct.

import { MODALITIES, element } from "./words.js";

// proposals: { file, modality, why } of each volume found; before: the previous choice, { t1: file, … };
// chosen: callback for the new choice
export function choose(place, proposals, before, answered, chosen) {
  place.hidden = proposals.length < Object.keys(MODALITIES).length;
  if (place.hidden) return;
  place.replaceChildren(document.getElementById("menu-template").content.cloneNode(true));
  place.querySelector("details").open = !answered;
  for (const { file, why } of proposals) place.querySelector(".found").append(element("li", `${file}: ${why}`));
  for (const [modality, name] of Object.entries(MODALITIES)) {
    const proposed = proposals.filter((one) => one.modality === modality);
    const first = before[modality] ?? (proposed.length === 1 ? proposed[0].file : "");
    place.querySelector("fieldset").append(box(modality, name, proposals, first));
  }
  place.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    chosen(Object.fromEntries(new FormData(event.target)));
  });
}

function box(modality, name, proposals, proposed) {
  const label = element("label", "");
  const select = Object.assign(document.createElement("select"), { name: modality, required: true });
  const options = [["", "choose…"], ...proposals.map(({ file }) => [file, file])];
  select.append(...options.map(([value, text]) => new Option(text, value, false, value === proposed)));
  label.append(element("span", name), select);
  return label;
}
