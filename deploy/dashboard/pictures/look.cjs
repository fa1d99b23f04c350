// Looks at every page as a person would: `look.cjs ADDRESS FOLDER`, light and dark, wide and on a phone.
// Writes the pictures that the README shows to FOLDER (all of them to PICTURES, where that is set), and holds
// each page against axe, the width of its window, the keyboard and the console.

const fs = require("node:fs");
const path = require("node:path");
const puppeteer = require("puppeteer-core");

const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [base, folder] = process.argv.slice(2);
const SIZES = { wide: 1200, phone: 390 };
/** What the README shows: page, colours, size. */
const SHOWN = {
  "overview-light-wide": "overview", "overview-dark-phone": "overview-phone-dark", "performance-light-wide": "performance",
  "performance-dark-phone": "performance-phone-dark", "column-light-wide": "column", "alerts-dark-wide": "alerts",
  "alert-light-wide": "alert",
};
const SOON_MS = 120_000;
let found = 0;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const api = async (resource) => (await fetch(`${base}/api/v1/${resource}`)).json();

/** Asks until the answer is as wanted. */
async function until(resource, wanted) {
  for (const end = Date.now() + SOON_MS; ; await sleep(1000)) {
    const answer = await api(resource).catch(() => null);
    if (answer && wanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`${resource}: ${JSON.stringify(answer)}`);
  }
}

function wrong(where, what) {
  found += 1;
  console.log(`${where}: ${what}`);
}

/** Everything that takes the focus must get it by Tab, in the order of the document. */
async function keyboard(page, where) {
  const all = await page.evaluate(() => {
    const seen = (it) => it.offsetParent !== null || it.getClientRects().length > 0;
    const take = "a[href], button, select, summary, [tabindex='0']";
    const every = [...document.querySelectorAll(take)].filter(seen);
    every.forEach((it, at) => it.setAttribute("data-place", at));
    document.activeElement?.blur();
    return every.length;
  });
  const reached = new Set();
  for (let turn = 0; turn < all + 2; turn += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement?.getAttribute("data-place")));
  }
  reached.delete(null);
  if (reached.size !== all) wrong(where, `Tab reaches ${reached.size} of ${all}`);
}

async function look(browser, name, at, scheme, size) {
  const where = `${name}-${scheme}-${size}`;
  const page = await browser.newPage();
  page.on("console", (message) => wrong(where, `console: ${message.text()}`));
  page.on("pageerror", (error) => wrong(where, `error: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith("data:")) wrong(where, `asks ${request.url()}`);
  });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setViewport({ width: SIZES[size], height: 850, deviceScaleFactor: 1 });
  await page.goto(base + at, { waitUntil: "networkidle0" });
  const part = name === "performance" ? await page.$("section[aria-labelledby=performance-title]") : page;
  const targets = [SHOWN[where] && path.join(folder, `${SHOWN[where]}.png`), process.env.PICTURES && path.join(process.env.PICTURES, `${where}.png`)];
  for (const target of targets.filter(Boolean)) {
    await part.screenshot(name === "performance" ? { path: target } : { path: target, fullPage: true });
  }
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) wrong(where, `${over} px wider than the window`);
  // By the debugger: the pages' policy lets no script of a stranger in.
  const session = await page.createCDPSession();
  await session.send("Runtime.evaluate", { expression: axe });
  const { violations, incomplete } = await page.evaluate(() => axe.run(document));
  // What axe cannot judge is the contrast of text in drawings and under a table's edge: the sheet's colours
  // are the same there as elsewhere.
  const open = incomplete.filter(({ id }) => id !== "color-contrast");
  for (const { id, nodes } of [...violations, ...open]) wrong(where, `axe: ${id}: ${nodes[0].html.slice(0, 160)}: ${nodes[0].failureSummary}`);
  await keyboard(page, where);
  await page.close();
}

(async () => {
  const overview = await until("overview", (it) => it.models.length > 0 && it.alerts?.open > 0 && it.alerts.undelivered === 0);
  const { model, version, arm } = overview.models[0];
  const whose = new URLSearchParams({ model, version, arm });
  await until(`performance?${whose}`, (it) => it.points.filter((point) => point.realised).length > 40);
  const { alerts } = await api("alerts");
  const told = alerts.find((one) => one.summary.includes("accuracy")) ?? alerts[0];
  const pages = {
    overview: "/", performance: "/", column: `/column?${whose}&column=dep_delay`, category: `/column?${whose}&column=carrier`,
    alerts: "/alerts", alert: `/alerts/${told.id}`,
  };
  const browser = await puppeteer.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"], headless: true });
  for (const scheme of ["light", "dark"]) {
    for (const size of Object.keys(SIZES)) {
      for (const [name, at] of Object.entries(pages)) await look(browser, name, at, scheme, size);
    }
  }
  await browser.close();
  console.log(found === 0 ? "nothing found" : `${found} things found`);
  process.exit(found === 0 ? 0 : 1);
})();
