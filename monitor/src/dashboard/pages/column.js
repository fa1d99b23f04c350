// One column of a model: how far it is over time, and its distribution beside the reference.

import { histogram, line } from "./charts.js";
import { address, ask, chance, changed, choice, count, el, facts, fill, follow, heading, minute, named, number, onWidth, percent,
  redraw, remember, shown, span, state, table, whose } from "./common.js";

const form = document.getElementById("choice");
const windows = document.getElementById("window");
const column = new URLSearchParams(location.search).get("column") ?? "";
/** What is drawn now, for another width. */
let points = [];
let thresholds = {};
let bars = null;

const again = follow(async () => {
  changed("title", column, title);
  heading(await ask("overview"));
  const group = whose();
  const answer = await ask("column", { ...group, column, ...choice(form) });
  points = answer.points;
  thresholds = answer.thresholds;
  changed("points", answer, () => {
    newest(points[points.length - 1]);
    pickable(points);
    series();
    numbers(points);
  });
  const wanted = { ...group, column, window: windows.value };
  // What is counted of a judged window hardly changes: asked for once.
  if (windows.value && bars?.asked !== windows.value) {
    bars = { asked: windows.value, answer: await ask("histogram", wanted) };
    distribution();
  }
});
remember(form, again);
windows.form.addEventListener("submit", (event) => event.preventDefault());
windows.addEventListener("change", () => again());
onWidth(() => {
  redraw("points");
  series();
  distribution();
});

function title() {
  const { model, version, arm } = whose();
  document.title = `${shown(column, 60)} · Tidegate`;
  fill("title", named(column));
  const back = address("", { model, version, arm });
  fill("whose", "of ", el("a", { href: back }, named(model), " ", named(version), arm ? [" · ", named(arm)] : null));
}

function newest(point) {
  if (!point) return fill("newest", el("p", { class: "note" }, "No window is judged."));
  const q = [point.q, point.ks_q].filter((value) => value !== null);
  fill("newest", el("p", {}, state(point.state), " ", span(point.window_start, point.window_end),
    point.reason ? ` · ${shown(point.reason)}` : ""),
  facts([
    ["PSI, bias taken off", number(point.psi_corrected)],
    ["D", point.ks_d === null ? null : number(point.ks_d)],
    ["q", q.length > 0 ? chance(Math.min(...q)) : null],
    ["Jensen-Shannon", number(point.jensen_shannon)],
    ["W1 / spread", point.wasserstein === null ? null : number(point.wasserstein)],
    ["Nulls", `${percent(point.null_share)} (${percent(point.reference_null_share)})`],
    ["New categories", point.new_share === null ? null : percent(point.new_share)],
    ["Out of range", point.out_of_range_share === null ? null : percent(point.out_of_range_share)],
    ["Rows", `${count(point.n)} (${count(point.reference_n)})`],
    ["Mean", point.mean === null ? null : number(point.mean)],
    ["Smallest", point.min === null ? null : number(point.min)],
    ["Largest", point.max === null ? null : number(point.max)],
  ], "wide"), el("p", { class: "note" }, "In brackets: the reference."));
}

/** The windows to choose from; the choice stays, and the newest is followed until somebody chooses. */
function pickable(all) {
  const followed = windows.selectedIndex <= 0;
  const before = windows.value || new URLSearchParams(location.search).get("window");
  const options = [...all].reverse().map((point) => {
    const drifted = point.state === "drift" || point.state === "missing" ? ", drift" : "";
    return el("option", { value: point.window_start }, `${minute(point.window_start)}${drifted}`);
  });
  windows.replaceChildren(...options);
  const kept = all.some((point) => point.window_start === before);
  if (kept && (!followed || new URLSearchParams(location.search).has("window"))) windows.value = before;
}

const width = (id) => Math.max(260, document.getElementById(id).clientWidth);

function series() {
  // Two beside each other where there is room for it.
  const room = width("series");
  const each = room >= 848 ? (room - 16) / 2 : room;
  const of = (name) => (point) => point[name];
  const drawn = [
    line(points, each, { title: "PSI, bias taken off", of: of("psi_corrected"), limit: thresholds.psi }),
    points.some((point) => point.ks_d !== null)
      ? line(points, each, { title: "Kolmogorov-Smirnov D", of: of("ks_d"), limit: thresholds.ks }) : null,
    line(points, each, { title: "Share of nulls", of: of("null_share"), other: of("reference_null_share"), form: percent }),
    line(points, each, { title: "Rows", of: of("n"), form: count }),
    points.some((point) => point.mean !== null) ? line(points, each, { title: "Mean", of: of("mean") }) : null,
    points.some((point) => point.new_share !== null)
      ? line(points, each, { title: "Share of new categories", of: of("new_share"), limit: thresholds.new_share, form: percent }) : null,
  ];
  fill("series", drawn.filter((figure) => figure !== null));
}

function distribution() {
  if (bars) fill("histogram", histogram(bars.answer, width("histogram")));
}

function numbers(all) {
  const rows = [...all].reverse().map((point) => [
    minute(point.window_start), state(point.state), count(point.n), number(point.psi_corrected), number(point.ks_d),
    chance(point.q), number(point.jensen_shannon), number(point.wasserstein), percent(point.null_share), number(point.mean),
  ]);
  const heads = ["Window", "State", "#Rows", "#PSI", "#D", "#q", "#JS", "#W1", "#Nulls", "#Mean"];
  const made = table("Newest first", heads, rows);
  document.getElementById("table").replaceChildren(...made.children);
}
