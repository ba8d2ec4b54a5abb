// Fetching, the reader of containers, and small makers of elements. Text from outside only ever becomes textContent.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array, float16: Uint16Array };
let token = null;

export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1));
  if (found.has("token")) {
    sessionStorage.setItem("kineme-token", found.get("token"));
    found.delete("token");
    history.replaceState(null, "", found.size ? "#" + found : location.pathname);
  }
  token = sessionStorage.getItem("kineme-token");
}

export class Problem extends Error {
  constructor(status, said) {
    super([said.where && said.where + ":", said.what + ".", said.expected && "Expected " + said.expected + ".", said.fix && said.fix + "."].filter(Boolean).join(" "));
    this.status = status; this.code = said.code; this.said = said;
  }
}

export async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = token ? { "X-Kineme-Token": token } : {};
  if (body !== undefined) headers["Content-Type"] = body instanceof Blob ? "application/octet-stream" : "application/json";
  let answer;
  try {
    answer = await fetch("/api/" + path, { method, headers, signal, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "gone", what: "The server does not answer. Start it again with kineme explore; this page goes on then" });
  }
  const kind = answer.headers.get("content-type") || "";
  if (!answer.ok) {
    const said = kind.includes("json") ? (await answer.json()).error : null;
    throw new Problem(answer.status, said || { code: "internal", what: "Status " + answer.status });
  }
  if (kind.includes("x-kineme")) return container(await answer.arrayBuffer());
  return kind.includes("json") ? answer.json() : answer.blob();
}

export function container(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x4b4e4231) throw new Error("no container");
  const begin = 8 + view.getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, begin - 8)));
  for (const { name, dtype, shape, at } of head.arrays) {
    const size = shape.reduce((a, b) => a * b, 1);
    const raw = new TYPES[dtype](buffer, begin + at, size);
    head[name] = dtype === "float16" ? halves(raw) : raw;
    head[name].shape = shape;
  }
  return head;
}

let table = null;
function halves(raw) {  // to float32, by a table of all 65,536
  if (!table) {
    table = new Float32Array(65536);
    for (let i = 0; i < 65536; i++) {
      const e = (i >> 10) & 31, m = i & 1023, s = i >> 15 ? -1 : 1;
      table[i] = e === 31 ? (m ? NaN : s * Infinity) : s * (e ? 2 ** (e - 15) * (1 + m / 1024) : 2 ** -14 * (m / 1024));
    }
  }
  const out = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = table[raw[i]];
  return out;
}

export const $ = (id) => document.getElementById(id);

export function make(tag, facts = {}, ...inside) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || (value === false && !name.startsWith("aria"))) continue;
    if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (name in found && name !== "list" && name !== "role" && !name.startsWith("aria")) found[name] = value;
    else found.setAttribute(name, name.startsWith("aria") ? String(value) : value === true ? "" : value);
  }
  found.append(...inside.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return found;
}

export function refill(box, ...inside) {  // other children; the one that has the focus keeps it in what stands in its place
  const name = (each) => each.id || each.getAttribute("aria-label") || each.title || each.textContent;
  const old = box.contains(document.activeElement) && document.activeElement !== box ? document.activeElement : null;
  const alike = () => [...box.querySelectorAll(old.tagName)].filter((each) => name(each) === name(old)), place = old ? alike().indexOf(old) : 0;
  box.replaceChildren(...inside.filter((each) => each !== null && each !== undefined && each !== false));
  if (old && !old.isConnected) { const found = alike(); (found[place] || found.at(-1) || box).focus({ preventScroll: true }); }
}

export function save(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function csv(rows) {  // cells that a spreadsheet would take for a formula begin with an apostrophe
  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return new Blob([rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
}

export const seconds = (value) => (value === null || value === undefined ? "" : value.toFixed(2) + " s");
