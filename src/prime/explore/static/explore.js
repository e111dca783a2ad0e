// The page: what is selected, and everything that follows it.
import { COLOURS, OTHER, PatientMap } from "./map.js";
import { slides } from "./slides.js";
import { MissingTable, PatientTable } from "./table.js";

const get = (id) => document.getElementById(id);
const cohort = get("cohort");
const patient = get("patient");
const hasModel = cohort.dataset.model === "yes";
const PICKS = ["pick-type", "pick-site", "pick-pattern", "pick-event", ...(hasModel ? ["pick-risk"] : [])];
const LISTED = 12; // colours of a legend; other levels are grey

let data, map, table, missing;
const selected = { mask: null, rows: [], count: 0 };
let boxed = null; // rows of the last rectangles on the map; null for none
let asked = 0;

function words(row) {
  const level = (name) => data[name].levels[data[name].codes[row]];
  const risk = data.risk[row] === null ? "" : `, risk ${data.risk[row].toFixed(0)} of 100`;
  return `${data.id[row]}, ${level("type") || "no type"}, has ${level("pattern")}${risk}`;
}

// What is selected --------------------------------------------------------------------------------------------

function third(risk) {
  return risk === null ? "" : String(Math.min(2, Math.floor(risk / (100 / 3))));
}

function choose() {
  const code = (id) => (get(id).value === "" ? null : Number(get(id).value));
  const [type, site, pattern] = [code("pick-type"), code("pick-site"), code("pick-pattern")];
  const [event, risk] = [get("pick-event").value, hasModel ? get("pick-risk").value : ""];
  const inBox = boxed === null ? null : new Set(boxed);
  const mask = new Uint8Array(data.id.length);
  const rows = [];
  for (let row = 0; row < mask.length; row++) {
    const own = data.event[row] === null ? "?" : String(data.event[row]);
    if (type !== null && data.type.codes[row] !== type) continue;
    if (site !== null && data.site.codes[row] !== site) continue;
    if (pattern !== null && data.pattern.codes[row] !== pattern) continue;
    if (event !== "" && own !== event) continue;
    if (risk !== "" && third(data.risk[row]) !== risk) continue;
    if (inBox !== null && !inBox.has(row)) continue;
    mask[row] = 1;
    rows.push(row);
  }
  Object.assign(selected, { mask, rows, count: rows.length });
  show();
}

function show() {
  const everybody = selected.count === data.id.length;
  const text = `${selected.count.toLocaleString("en")} of ${data.id.length.toLocaleString("en")} patients selected`;
  get("count").textContent = text;
  get("status").textContent = text;
  get("clear").disabled = everybody;
  recolour();
  table.show(selected.rows.slice());
  missing.show(selected.mask);
  survive();
}

function question() {
  const body = JSON.stringify({ rows: selected.rows, split: get("split").value });
  return { method: "POST", headers: { "Content-Type": "application/json" }, body };
}

async function survive() {
  const mine = ++asked;
  const began = performance.now();
  const answer = await fetch("selection", question());
  if (mine !== asked) return;
  const text = await answer.text();
  get("selection").innerHTML = answer.ok ? text : "<p>The program behind this page has ended.</p>";
  get("selection").dataset.ms = (performance.now() - began).toFixed(0);
}

async function save() {
  const answer = await fetch("selection/file", question());
  if (!answer.ok) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = "selection.html";
  link.click();
  URL.revokeObjectURL(link.href);
}

function everybody() {
  for (const id of PICKS) get(id).value = "";
  boxed = null;
  choose();
}

// Colours -----------------------------------------------------------------------------------------------------

const RISKS = ["#440154", "#414487", "#2a788e", "#22a884", "#a8c523"]; // dark is low

function recolour() {
  const by = get("colour").value;
  const entries = [];
  let colours;
  if (by === "risk") {
    const fifth = (risk) => Math.min(4, Math.floor(risk / 20));
    colours = data.risk.map((risk) => (risk === null ? OTHER : RISKS[fifth(risk)]));
    RISKS.forEach((colour, place) => entries.push([colour, `risk ${20 * place} to ${20 * place + 20}`, null]));
    entries.push([OTHER, "no prediction", null]);
  } else if (by === "event") {
    const look = { 1: COLOURS[1], 0: COLOURS[0] };
    colours = data.event.map((event) => (event === null ? OTHER : look[event]));
    entries.push([COLOURS[1], "event", () => pick("pick-event", "1")], [COLOURS[0], "censored", () => pick("pick-event", "0")], [OTHER, "not known", () => pick("pick-event", "?")]);
  } else {
    const column = data[by];
    colours = column.codes.map((code) => (code < LISTED ? COLOURS[code] : OTHER));
    column.levels.slice(0, LISTED).forEach((level, code) => entries.push([COLOURS[code], level || "not stated", () => pick(`pick-${by}`, String(code))]));
    const more = column.levels.length - LISTED;
    if (more > 0) entries.push([OTHER, `${more} more`, null]);
  }
  map.show(colours, selected);
  const made = entries.map(([colour, name, select]) => {
    const item = document.createElement(select ? "button" : "span");
    if (select) {
      item.type = "button";
      item.addEventListener("click", select);
    }
    const key = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    key.setAttribute("viewBox", "0 0 10 10");
    key.setAttribute("class", "swatch");
    key.setAttribute("aria-hidden", "true");
    const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [attribute, value] of [["width", 10], ["height", 10], ["fill", colour]]) square.setAttribute(attribute, value);
    key.append(square);
    item.append(key, name);
    return item;
  });
  get("legend").replaceChildren(...made);
}

// Lay the map out anew; a rectangle that was drawn on the other one keeps its patients.
function lay() {
  const umap = get("layout").value === "umap";
  get("map-umap").hidden = !umap;
  get("map-principal").hidden = umap;
  map.lay(umap ? data.umap_x : data.x, umap ? data.umap_y : data.y);
}

function pick(id, value) {
  get(id).value = get(id).value === value ? "" : value;
  choose();
}

// One patient -------------------------------------------------------------------------------------------------

let came = null; // what had the focus before a patient was opened
const closers = []; // what ends the viewers of a patient's slides

function open(row) {
  location.hash = `patient-${row}`;
}

async function route() {
  for (const close of closers.splice(0)) close();
  const found = /^#patient-(\d+)$/.exec(location.hash);
  if (!found) {
    patient.hidden = true;
    cohort.hidden = false;
    document.querySelector("header").hidden = false;
    document.title = document.querySelector("h1").textContent;
    if (came && came.isConnected) came.focus();
    came = null;
    map.draw();
    return;
  }
  if (cohort.hidden === false) came = document.activeElement;
  const answer = await fetch(`patient/${found[1]}`);
  patient.innerHTML = answer.ok ? await answer.text() : "<p>No such patient, or the program has ended. <a href='#'>Back</a></p>";
  cohort.hidden = true;
  document.querySelector("header").hidden = true;
  patient.hidden = false;
  const title = patient.querySelector("h1");
  document.title = title ? title.textContent : "PRIME";
  window.scrollTo(0, 0);
  patient.focus();
  await Promise.all([...patient.querySelectorAll("[data-later]")].map(follow));
}

// What takes longer: a part of the page that comes after it.
async function follow(place) {
  const more = await fetch(place.dataset.later);
  const text = more.ok ? await more.text() : "<p class='caption'>This part could not be made; open the patient again.</p>";
  if (!place.isConnected) return;
  place.innerHTML = text;
  if (place.querySelector(".slides")) closers.push(await slides(place, (words) => (get("status").textContent = words)));
  place.dataset.done = "yes";
}

// The beginning -----------------------------------------------------------------------------------------------

function options(id, column) {
  const all = document.createElement("option");
  all.value = "";
  all.textContent = "all";
  const counts = column.levels.map(() => 0);
  for (const code of column.codes) counts[code] += 1;
  const rest = column.levels.map((level, code) => {
    const option = document.createElement("option");
    option.value = String(code);
    option.textContent = `${level || "not stated"} (${counts[code].toLocaleString("en")})`;
    return option;
  });
  get(id).replaceChildren(all, ...rest);
}

async function begin() {
  data = await (await fetch("data.json")).json();
  if (!hasModel) for (const each of document.querySelectorAll(".model-only")) each.remove();
  for (const name of ["type", "site", "pattern"]) options(`pick-${name}`, data[name]);
  get("shares").textContent = data.shares.map((share) => `${(100 * share).toFixed(0)} %`).join(" and ");
  map = new PatientMap(get("map"), data, {
    words,
    open,
    say: (row) => (get("status").textContent = words(row)),
    box: (rows, add) => {
      boxed = add && boxed !== null ? boxed.concat(rows) : rows;
      choose();
    },
  });
  table = new PatientTable(data, cohort.dataset.survival === "yes", hasModel);
  missing = new MissingTable(data, (code) => pick("pick-pattern", String(code)));
  for (const id of PICKS) get(id).addEventListener("change", choose);
  get("colour").addEventListener("change", recolour);
  get("split").addEventListener("change", survive);
  get("layout")?.addEventListener("change", lay);
  get("clear").addEventListener("click", everybody);
  get("keep").addEventListener("click", save);
  window.addEventListener("hashchange", route);
  choose();
  await route();
  document.documentElement.dataset.ready = "yes";
}

begin();
