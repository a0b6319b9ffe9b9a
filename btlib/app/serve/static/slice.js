// One image and its heat map, faded in by a slider.

export function showSlice(place, found) {
  place.replaceChildren(document.getElementById("slice-template").content.cloneNode(true));
  const overlay = place.querySelector(".overlay");
  place.querySelector(".picture").src = found.picture;
  if (!found.overlay) {
    overlay.remove();
    place.querySelector("figcaption").remove();
    return;
  }
  const slider = place.querySelector("input");
  const fade = () => { overlay.style.opacity = slider.value / 100; };
  overlay.src = found.overlay;
  slider.addEventListener("input", fade);
  fade();
}
