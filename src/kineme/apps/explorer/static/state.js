// One plain object that everything looks at; who is interested is told by key. What can be shared stands in the address.

export const state = {
  store: null, map: "pca", colour: "", keep: null, filter: {}, clip: null, upload: null, person: null, from: null, to: null,
  plus: [], minus: [], mirror: false, windows: false, where: {}, hits: [], selected: new Set(), pin: null, instep: false,
  overlay: false, tab: "neighbours", view: "map", playing: true, speed: 1,
};
const listeners = [];
const SHARED = { clip: Number, colour: String, map: String, tab: String, view: String, from: Number, to: Number, pin: Number };

export function on(keys, call) { listeners.push([keys.split(" "), call]); }

export function set(patch, push = false) {
  const changed = new Set(Object.keys(patch).filter((key) => state[key] !== patch[key]));
  if (!changed.size) return;
  Object.assign(state, patch);
  for (const [keys, call] of listeners) if (keys.some((key) => changed.has(key))) call(state, changed);
  if ([...changed].some((key) => key in SHARED || key === "selected")) address(push);
}

function address(push) {
  const words = new URLSearchParams();
  for (const key of Object.keys(SHARED)) if (state[key] !== null && state[key] !== "" && state[key] !== undefined) words.set(key, state[key]);
  if (state.selected.size && state.selected.size <= 200) words.set("selected", [...state.selected].join("."));
  const wanted = "#" + words;
  if (wanted !== location.hash) history[push ? "pushState" : "replaceState"](null, "", wanted);
}

export function fromAddress() {
  const words = new URLSearchParams(location.hash.slice(1)), found = {};
  for (const [key, kind] of Object.entries(SHARED)) {
    if (words.has(key)) found[key] = kind(words.get(key));
    else if (kind === Number) found[key] = null;
    if (kind === Number && Number.isNaN(found[key])) found[key] = null;
  }
  if (words.has("selected")) found.selected = new Set(words.get("selected").split(".").map(Number).filter(Number.isInteger));
  return found;
}
