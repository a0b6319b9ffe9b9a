// Helpers shared by several parts of the page.

export const MODALITIES = { t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR" };

export function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}
