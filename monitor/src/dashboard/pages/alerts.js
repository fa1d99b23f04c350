// Alerts: open ones, silences, and what was resolved.

import { address, ask, badge, changed, count, el, fill, follow, heading, named, severity, shown, table, time } from "./common.js";

follow(async () => {
  heading(await ask("overview"));
  const answer = await ask("alerts", { limit: 100 });
  changed("alerts", answer, draw);
});

function draw({ alerts, silences, undelivered, reason }) {
  const open = alerts.filter((alert) => alert.state === "firing");
  const past = alerts.filter((alert) => alert.state !== "firing");
  const many = open.length === 1 ? "1 alert is open." : `${count(open.length)} alerts are open.`;
  const dead = undelivered > 0 ? [" ", badge(`${count(undelivered)} messages undelivered`, "bad")] : [];
  fill("summary", reason ?? many, dead);
  fill("open", list(open, "No alert is open."));
  fill("past", list(past, "None so far."));
  document.getElementById("silenced").hidden = silences.length === 0;
  const pattern = (text) => (text === "" ? "any" : shown(text));
  fill("silences", table("In force", ["By", "Until", "Model", "Class", "Rule", "Column", "Why"],
    silences.map((of) => [shown(of.created_by), time(of.until_ms), pattern(of.model), pattern(of.class),
      pattern(of.rule), pattern(of.subject), shown(of.reason)])));
}

function list(alerts, none) {
  if (alerts.length === 0) return el("p", { class: "note" }, none);
  return el("ul", { class: "alerts" }, alerts.map((alert) => el("li", {},
    el("p", {}, severity(alert.severity), " ",
      el("a", { href: address(`alerts/${encodeURIComponent(alert.id)}`) }, named(alert.summary)),
      alert.silenced ? [" ", badge("silenced")] : null),
    el("p", { class: "note" }, "fired ", time(alert.fired_at_ms),
      alert.resolved_at_ms === null ? null : [", resolved ", time(alert.resolved_at_ms)],
      alert.acknowledged_by ? [", ", named(alert.acknowledged_by), " is on it"] : null))));
}
