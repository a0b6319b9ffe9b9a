// One image, its heat map, faded in by a slider, and the outline of the lesion, which stays when the heat is faded out.

import { percent } from "./words.js";

export function showSlice(place, found) {
  place.replaceChildren(document.getElementById("slice-template").content.cloneNode(true));
  place.querySelector(".picture").src = found.picture;
  if (found.overlay) showHeat(place, found.overlay);
  else for (const part of place.querySelectorAll(".of-heat")) part.remove();
  if (found.outline) showOutline(place, found);
  else for (const part of place.querySelectorAll(".of-lesion")) part.remove();
}

function showHeat(place, address) {
  const overlay = place.querySelector(".overlay");
  const slider = place.querySelector("input[type=range]");
  const fade = () => { overlay.style.opacity = slider.value / 100; };
  overlay.src = address;
  slider.addEventListener("input", fade);
  fade();
}

function showOutline(place, found) {
  const outline = place.querySelector(".outline");
  const box = place.querySelector("input[type=checkbox]");
  outline.src = found.outline;
  if (!found.lesion_share) box.remove();
  box.addEventListener("change", () => { outline.hidden = !box.checked; });
  place.querySelector(".share").textContent = `Outlined: ${area(found.lesion_share)}`;
}

function area(share) {
  if (!share) return "nothing";
  return `${share < 0.001 ? "less than 0.1%" : percent(share)} of the image`;
}
