// What was taken for what: rows are true, columns predicted; a cell opens its clips.

import { ask, csv, make, save } from "./wire.js";
import { contrast, rgb, theme } from "./colours.js";
import { on, set } from "./state.js";
import { table } from "./panels.js";

const LARGE = 30, WORST = 30;
const doubted = new Map();  // clips whose own label looks wrong to a person
let group = "", order = "name", cells = [];

function dress() {  // cells follow light and dark by themselves no more than canvases do
  const page = rgb(theme.page), ink = rgb(theme.ink);
  for (const [button, share, right] of cells) {
    const a = 0.12 + 0.75 * share, ground = rgb(right ? theme.left : theme.right).map((v, c) => Math.round(a * v + (1 - a) * page[c]));
    button.style.backgroundColor = `rgb(${ground})`; button.style.color = contrast(page, ground) > contrast(ink, ground) ? theme.page : theme.ink;
  }
}
on("theme", dress);

function alike(counts) {  // classes that are taken for each other side by side: each next one is the most confused with the last
  const left = new Set(counts.keys()), between = (i, j) => counts[i][j] + counts[j][i], sorted = [];
  while (left.size) {
    const last = sorted.at(-1), score = (j) => (last === undefined ? Math.max(0, ...counts.map((_, i) => (i === j ? 0 : between(i, j)))) : between(last, j));
    const next = [...left].reduce((best, j) => (score(j) > score(best) ? j : best));
    sorted.push(next); left.delete(next);
  }
  return sorted;
}

export async function matrix(box, open) {
  const said = await ask("matrix?group=" + encodeURIComponent(group));
  const sorted = order === "name" ? said.classes.map((_, i) => i) : alike(said.counts);
  const classes = sorted.map((i) => said.classes[i]), counts = sorted.map((i) => sorted.map((j) => said.counts[i][j])), sums = counts.map((row) => row.reduce((a, b) => a + b, 0)), list = make("div", { id: "cell" });
  const choice = make("select", { "aria-label": "Protocol", onchange: () => { group = choice.value; matrix(box, open); } }, ...said.groups.map((each) => make("option", { value: each, selected: each === said.group }, each)));
  const sort = make("select", { "aria-label": "Order of classes", onchange: () => { order = sort.value; matrix(box, open); } }, ...[["name", "by name"], ["alike", "by likeness"]].map(([value, text]) => make("option", { value, selected: value === order }, text)));
  const review = make("button", { onclick: () => save("review.csv", csv([["name", "class", "called"], ...doubted.values()])) });
  const marked = () => { review.textContent = `export ${doubted.size} to review (CSV)`; review.hidden = !doubted.size; };
  const doubt = (name, i, j) => {
    const button = make("button", { "aria-pressed": doubted.has(name), onclick: () => { doubted.has(name) ? doubted.delete(name) : doubted.set(name, [name, classes[i], classes[j]]); button.setAttribute("aria-pressed", doubted.has(name)); marked(); } }, "label looks wrong");
    return button;
  };
  const show = async (i, j) => {
    const { rows } = await ask(`matrix/cell?true=${encodeURIComponent(classes[i])}&predicted=${encodeURIComponent(classes[j])}&group=${encodeURIComponent(said.group)}`);
    set({ selected: new Set(rows.map((each) => each.row)) });
    const facts = rows.length ? (await ask("table?rows=" + rows.slice(0, 200).map((each) => each.row).join(","))).rows : [];
    list.replaceChildren(make("h2", {}, `${classes[i]} called ${classes[j]}: ${rows.length} ${rows.length === 1 ? "clip" : "clips"}`), table(facts, open, (row) => doubt(row.name, i, j)));
    if (facts.length) open(facts[0].row);
  };
  cells = [];
  const cell = (i, j) => {
    const n = counts[i][j], share = sums[i] ? n / sums[i] : 0;
    const button = make("button", { "data-cell": `${i},${j}`, disabled: !n, "aria-label": `${classes[i]} called ${classes[j]}, ${n} of ${sums[i]}`, title: `${classes[i]} called ${classes[j]}: ${n} of ${sums[i]}`, onclick: () => show(i, j) }, n || "");
    if (n) cells.push([button, share, i === j]);
    return make("td", {}, button);
  };
  const worst = classes.flatMap((a, i) => classes.map((b, j) => [counts[i][j], i, j])).filter(([n, i, j]) => n && i !== j).sort((x, y) => y[0] - x[0]).slice(0, WORST);
  const grid = classes.length > LARGE
    ? make("table", {}, make("tbody", {}, ...worst.map(([n, i, j]) => make("tr", {}, make("td", {}, make("button", { onclick: () => show(i, j) }, `${classes[i]} called ${classes[j]}`)), make("td", {}, `${n} of ${sums[i]}`)))))
    : make("table", { className: "matrix" }, make("thead", {}, make("tr", {}, make("th", {}, "true \\ called"), ...classes.map((each) => make("th", { scope: "col", className: "across", title: each }, each)))), make("tbody", {}, ...classes.map((each, i) => make("tr", {}, make("th", { scope: "row", title: each }, each), ...classes.map((_, j) => cell(i, j))))));
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key], at = event.target.dataset.cell?.split(",").map(Number);
    if (!step || !at) return;
    let [i, j] = at, other = null;
    do { i += step[0]; j += step[1]; other = grid.querySelector(`[data-cell="${i},${j}"]`); } while (other && other.disabled);
    if (other) other.focus();
    event.preventDefault(); event.stopPropagation();
  });
  const right = counts.reduce((sum, row, i) => sum + row[i], 0), all = sums.reduce((a, b) => a + b, 0);
  marked();
  box.replaceChildren(make("div", { className: "row" }, choice, sort, review), make("p", { className: "note" }, `${right} of ${all} right.${said.missing ? ` ${said.missing} predictions are of clips that are not here: was the file made with another store?` : ""}${classes.length > LARGE ? " The largest confusions:" : " Rows are what it is, columns what it was called."}`), make("div", { className: "wide" }, grid), list);
  dress();
}
