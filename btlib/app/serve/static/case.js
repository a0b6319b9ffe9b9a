// A 3D case: tumour volumes, and niivue's slices with overlays.

import { MODALITIES, element } from "./words.js";

const VIEWS = { MULTIPLANAR: "three planes", AXIAL: "axial", CORONAL: "coronal", SAGITTAL: "sagittal" };
const AXES = ["left–right", "back–front", "low–high"];
// labels 0 … 3; colour-blind safe palette of Okabe and Ito
const LABELS = {
  R: [0, 0, 86, 230], G: [0, 114, 180, 159], B: [0, 178, 233, 0], A: [0, 255, 255, 255],
  labels: ["", "necrotic or non-enhancing core", "oedema", "enhancing tumour"],
};
const GREY = { colormap: "gray", cal_min: 0, opacity: 1 };
const OVERLAYS = {
  segmentation: { name: "tumour", opacity: 0.6, colormap: "gray", cal_min: 1 },
  uncertainty: { name: "uncertainty", opacity: 0, colormap: "plasma", cal_min: 100 },
  heat: { name: "heat map", opacity: 0, colormap: "jet", cal_min: 200 },
};
const FADING = 1;  // niivue's colormapType in which values below cal_min fade to transparent

let open = null;  // browsers keep only a few WebGL contexts

export async function showCase(place, volumes, sources, found) {
  if (found.volumes.length) {
    volumes.append(element("h3", "Volumes"), table(found.volumes.map(({ name, ml }) => [name, `${ml.toFixed(1)} ml`])));
  }
  sources.append(element("h3", "Scans used"));
  const rows = found.sources.map(({ modality, file, why }) => [MODALITIES[modality], file, why]);
  sources.append(table(rows), ...found.unused.map((reason) => element("p", `Not used: ${reason}`)));
  place.replaceChildren(document.getElementById("case-template").content.cloneNode(true));
  try {
    await view(place, found);
  } catch (fault) {
    const why = `The viewer needs WebGL 2, which this browser does not provide (${fault.message}).`;
    place.replaceChildren(element("p", `${why} The numbers are complete.`));
  }
}

async function view(place, found) {
  const { NVImage, Niivue, SLICE_TYPE } = await library();
  open?.gl.getExtension("WEBGL_lose_context")?.loseContext();
  open?.cleanup();
  const viewer = open = new Niivue({
    logLevel: "error", dragAndDropEnabled: false, isRadiologicalConvention: true, multiplanarShowRender: 0,
    crosshairColor: [1, 1, 1, 0.6], crosshairWidth: 0.8, crosshairWidthUnit: "mm", crosshairGap: 6,
  });
  await viewer.attachToCanvas(place.querySelector("canvas"));

  const load = (name, base64, { colormap, cal_min, opacity }) =>
    NVImage.loadFromBase64({ name: `${name}.nii.gz`, base64, colormap, cal_min, cal_max: 255, opacity });
  const scans = {};
  for (const name in found.scans) scans[name] = await load(name, found.scans[name], GREY);
  const names = Object.keys(OVERLAYS).filter((name) => found.overlays[name]);
  const overlays = [];
  for (const name of names) {
    const image = await load(name, found.overlays[name], OVERLAYS[name]);
    if (name === "segmentation") image.setColormapLabel(LABELS);
    else image.colormapType = FADING;
    overlays.push(image);
  }
  const show = (name) => {
    viewer.volumes = [scans[name], ...overlays];
    viewer.setVolume(scans[name], 0);  // redraws them all
  };
  const first = scans.t1ce ? "t1ce" : Object.keys(scans)[0];
  show(first);
  if (found.centre) viewer.scene.crosshairPos = viewer.mm2frac(found.centre);

  const controls = (name) => place.querySelector(`[data-is="${name}"]`);
  choice(controls("scans"), pick(MODALITIES, scans), first, show);
  choice(controls("views"), VIEWS, "MULTIPLANAR", (name) => viewer.setSliceType(SLICE_TYPE[name]));
  names.forEach((name, number) => slider(controls("overlays"), OVERLAYS[name].name, 100, 100 * OVERLAYS[name].opacity,
    (percent) => viewer.setOpacity(number + 1, percent / 100)));
  if (found.overlays.segmentation) controls("overlays").append(legend());
  followCrosshair(viewer, controls("slices"));
  viewer.drawScene();
}

// keyboard-accessible sliders: each moves one coordinate of the crosshair
function followCrosshair(viewer, fieldset) {
  const sizes = viewer.volumes[0].dimsRAS.slice(1, 4);
  const at = (axis) => Math.floor(viewer.scene.crosshairPos[axis] * sizes[axis]);
  const sliders = AXES.map((name, axis) => slider(fieldset, name, sizes[axis] - 1, at(axis), (voxel) => {
    viewer.scene.crosshairPos[axis] = (voxel + 0.5) / sizes[axis];
    viewer.drawScene();
  }));
  viewer.onLocationChange = () => sliders.forEach((input, axis) => { input.value = at(axis); });
}

// rows: arrays whose first cell is the row's heading
function table(rows) {
  const made = document.createElement("table");
  for (const [name, ...cells] of rows) {
    const head = element("th", name);
    head.scope = "row";
    made.insertRow().append(head, ...cells.map((cell) => element("td", cell)));
  }
  return made;
}

function choice(fieldset, options, chosen, change) {
  for (const [value, name] of Object.entries(options)) {
    const label = element("label", "");
    const input = Object.assign(document.createElement("input"), { type: "radio", value, checked: value === chosen });
    input.name = fieldset.dataset.is;
    input.addEventListener("change", () => change(value));
    label.append(input, element("span", name));
    fieldset.append(label);
  }
}

function slider(fieldset, name, max, value, change) {
  const label = element("label", "");
  label.className = "slider";
  const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max, value });
  input.addEventListener("input", () => change(Number(input.value)));
  label.append(element("span", name), input);
  fieldset.append(label);
  return input;
}

function legend() {
  const list = document.createElement("ul");
  list.className = "legend";
  LABELS.labels.forEach((name, label) => {
    const item = element("li", name);
    item.style.setProperty("--colour", `rgb(${LABELS.R[label]} ${LABELS.G[label]} ${LABELS.B[label]})`);
    if (name) list.append(item);
  });
  return list;
}

function pick(names, present) {
  return Object.fromEntries(Object.entries(names).filter(([key]) => key in present));
}

// niivue (2 MB) is fetched with the first case
function library() {
  if (globalThis.niivue) return globalThis.niivue;
  return new Promise((loaded, failed) => {
    const script = document.createElement("script");
    script.src = "vendor/niivue/niivue.umd.js";
    script.onload = () => loaded(globalThis.niivue);
    script.onerror = () => failed(new Error("its code did not load"));
    document.head.append(script);
  });
}
