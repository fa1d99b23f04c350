// The part of the first page that says how good the answers are: what came true beside what the scores
// promised, and where nobody has said yet.

import { line } from "./charts.js";
import { badge, count, day, el, fill, minute, number, percent, shown, table } from "./common.js";

/** Figures by their names in the answer: how they are called and written. */
const FIGURES = {
  accuracy: ["Accuracy", percent], f1: ["F1", number], auc: ["AUC", number], precision: ["Precision", percent],
  recall: ["Recall", percent], log_loss: ["Log loss", number], brier: ["Brier score", number],
  mae: ["Mean absolute error", number], rmse: ["Root mean squared error", number], bias: ["Mean error", number],
};
/** Figures that are drawn; the tables have all. */
const DRAWN = 3;
/** Two drawings stand beside each other from this width on. */
const WIDE = 848;

const of = (kind, name) => (point) => point[kind]?.[name] ?? null;

/** Why a window has no realised figure; `null` where it has, or none could be computed from its labels. */
function missing(point) {
  if (point.realised === null) return "labels are not complete yet";
  return point.labelled === 0 ? "no label came" : null;
}

/** Draws the answer of the API; `null` where no labels are configured. */
export function draw(answer) {
  const note = (said) => fill("performance", el("p", { class: "note" }, said));
  if (answer === null) return note("No labels are configured: [labels] names the topic that tells what turned out to be true.");
  const { points, positive_class: positive } = answer;
  if (points.length === 0) return note("No window is joined with labels yet, and no score was there to expect anything of.");
  const known = (kind, name) => points.some((point) => of(kind, name)(point) !== null);
  const names = Object.keys(FIGURES).filter((name) => known("realised", name) || known("estimated", name));
  const room = Math.max(260, document.getElementById("performance").clientWidth);
  const width = room >= WIDE ? (room - 16) / 2 : room;
  const drawn = names.slice(0, DRAWN).map((name) => {
    const [title, form] = FIGURES[name];
    const other = known("estimated", name) ? of("estimated", name) : undefined;
    return line(points, width, { title, of: of("realised", name), form, other, others: "estimated", fit: true, missing });
  });
  if (points.some((point) => point.coverage !== null)) {
    drawn.push(line(points, width, { title: "Share of results with a label", of: (point) => point.coverage, form: percent, missing }));
  }
  fill("performance", labels(points), newest(points, names), legend(names.some((name) => known("estimated", name))),
    el("div", { class: "multiples" }, drawn), el("p", { class: "note" }, explained(positive)), all(points, names, known));
}

/** How far the labels have come, in words. */
function labels(points) {
  const waiting = points.filter((point) => point.realised === null).length;
  const without = points.filter((point) => point.realised !== null && point.labelled === 0).length;
  const windows = (many) => (many === 1 ? "1 window" : `${count(many)} windows`);
  const said = [];
  if (without > 0) said.push(badge("no labels", "bad"), ` Of ${windows(without)} no label came in time. `);
  if (waiting > 0) said.push(badge("waiting", "warn"), ` ${windows(waiting)}: labels are not complete yet, there is only the estimate.`);
  const late = points.reduce((sum, point) => sum + (point.too_late ?? 0), 0);
  if (late > 0) {
    const results = late === 1 ? "1 result has a label" : `${count(late)} results have a label`;
    said.push(" ", badge("too late", "warn"), ` ${results} that came after its time-to-live and counts nowhere.`);
  }
  return said.length === 0 ? "" : el("p", {}, said);
}

/** The newest figures: of the last window with labels, and what is expected of the last one. */
function newest(points, names) {
  const realised = points.findLast((point) => point.realised !== null && point.labelled > 0);
  const last = points[points.length - 1];
  const ahead = last !== realised && last.estimated !== null;
  if (realised === undefined && !ahead) return "";
  const heads = ["Figure"];
  if (realised) heads.push("#Realised", "#Estimated", "#Off by");
  if (ahead) heads.push("#Ahead");
  const rows = names.map((name) => {
    const [title, form] = FIGURES[name];
    const cells = [title];
    if (realised) {
      const [came, promised] = [of("realised", name)(realised), of("estimated", name)(realised)];
      cells.push(el("strong", {}, form(came)), form(promised), off(form, came, promised));
    }
    if (ahead) cells.push(form(of("estimated", name)(last)));
    return cells;
  });
  const said = [
    realised ? `Realised: window of ${day(realised.window_start)}, labels for ${percent(realised.coverage)} of ${count(realised.n)} rows` : "",
    ahead ? `Ahead: estimate of the window of ${day(last.window_start)}` : "",
    calibrated(ahead ? last : realised),
  ];
  return el("div", { class: "scroll newest", tabindex: "0", role: "region", "aria-label": "Newest figures of performance" },
    table(`${said.filter((one) => one !== "").join(". ")}.`, heads, rows));
}

/** The error of an estimate, with its sign. */
function off(form, came, promised) {
  if (came === null || promised === null) return form(null);
  return `${promised < came ? "−" : "+"}${form(Math.abs(promised - came))}`;
}

/** What an estimate takes its scores for. */
function calibrated(point) {
  if (point.estimated === null) return "";
  if (point.calibration_rows === null) return "Scores are taken for probabilities: too few labels were complete to calibrate them";
  return `Scores are calibrated by ${count(point.calibration_rows)} labelled rows`;
}

function legend(estimated) {
  const keys = [["stroke", "realised: what the labels say"]];
  if (estimated) keys.push(["stroke other", "estimated: what the scores promise, without its labels"]);
  keys.push(["gap", "no labels, or not complete yet"]);
  return el("ul", { class: "legend", "aria-label": "Lines of the drawings" },
    keys.map(([kind, said]) => el("li", {}, el("span", { class: `key ${kind}` }), said)));
}

function explained(positive) {
  const whose = positive === null ? "" : ` Precision, recall, F1 and AUC are of the class ${shown(positive)}.`;
  return `A window is realised once, when no label that counts can be missing.${whose}`;
}

function all(points, names, known) {
  const heads = ["Window", "#Rows", "#Labelled", "#Too late", ...names.flatMap((name) => {
    const [title] = FIGURES[name];
    return known("estimated", name) ? [`#${title}`, "#estimated"] : [`#${title}`];
  })];
  const rows = [...points].reverse().map((point) => [
    minute(point.window_start), count(point.n), missing(point) === null ? count(point.labelled) : missing(point),
    count(point.too_late),
    ...names.flatMap((name) => {
      const [, form] = FIGURES[name];
      const realised = form(of("realised", name)(point));
      return known("estimated", name) ? [realised, form(of("estimated", name)(point))] : [realised];
    }),
  ]);
  return el("details", {}, el("summary", {}, "As a table"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures of performance" },
      table("Newest first", heads, rows)));
}
