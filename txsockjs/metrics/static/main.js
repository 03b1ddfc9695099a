// The status page: asks for the numbers every second, remembers them for some minutes, and shows both.

import { createChart } from "./charts.js";
import { byId, bytes, count, number, setStatus } from "./dom.js";
import { createFeed } from "./feed.js";
import { createHistory, isThere } from "./history.js";
import { lag, memory, nameOf, rate, share, showChannels, showProcesses, showSums } from "./tables.js";

const COLORS = 7;
const KEPT = 300; // seconds for which a process that nobody tells of any more is shown

const history = createHistory();
const colors = new Map(); // of processes, in the order in which they came
let transports = []; // the names of all, in the order of their colors
const seen = new Map(); // by process: its row, when it was told of last, and since when it is gone

const now = () => performance.now() / 1000;
const colorOf = (name) => colors.get(name);
const bytesRate = (value) => (value === null || value === undefined ? "–" : `${bytes(value)}/s`);

// -- charts ----------------------------------------------------------------------------------------------------------

const values = (points, read) => points.map((point) => (point.isGap ? null : read(point)));
const rates = (name, color, key, dashed = false) => (points) => ({
  name,
  color,
  dashed, // so that a line can be seen where it covers another one
  values: values(points, (point) => point.rates[key] ?? null),
});
const together = (...all) => (points) => all.map((one) => one(points));

function byTransport(points) {
  const last = points.findLast((point) => !point.isGap);
  const names = new Set(points.flatMap((point) => (point.isGap ? [] : Object.keys(point.sessions))));
  const known = [...transports, ...[...names].filter((name) => !transports.includes(name))];
  return known
    .filter((name) => names.has(name) || (last && last.sessions[name]))
    .map((name) => ({
      name,
      color: Math.min(COLORS, known.indexOf(name)),
      values: values(points, (point) => point.sessions[name] || 0),
    }));
}

const byProcess = (read) => (points) =>
  [...colors].map(([name, color]) => ({
    name: name || "this process",
    color,
    values: values(points, (point) => {
      const found = point.processes.get(name);
      return found ? read(found) ?? null : null;
    }),
  }));

const CHARTS = [
  { title: "Sessions", kind: "stack", seriesOf: byTransport, format: number, least: 4 },
  {
    title: "Messages",
    seriesOf: together(rates("in", 0, "in"), rates("out", 1, "out", true)),
    format: rate,
    least: 4,
  },
  {
    title: "Bytes",
    seriesOf: together(rates("in", 0, "bytesIn"), rates("out", 1, "bytesOut", true)),
    format: bytesRate,
    least: 1000,
  },
  {
    title: "Waiting for clients",
    seriesOf: together((points) => ({
      name: "bytes",
      color: 2,
      values: values(points, (point) => point.queuedBytes),
    })),
    format: bytes,
    least: 1000,
  },
  { title: "Loop lag", seriesOf: byProcess((found) => found.lag), format: lag, least: 0.01 },
  { title: "Processor", seriesOf: byProcess((found) => found.rates.cpu), format: share, least: 0.1 },
  { title: "Memory", seriesOf: byProcess((found) => found.memory), format: memory, least: 1e7 },
  {
    title: "Coming and going",
    seriesOf: together(rates("opened", 1, "opened"), rates("ended", 3, "closed", true)),
    format: rate,
    least: 4,
  },
  { title: "Refused", seriesOf: together(rates("refused", 5, "refused")), format: rate, least: 4 },
].map((chart) => createChart(byId("charts"), chart));

function drawCharts() {
  if (!document.hidden) CHARTS.forEach((chart) => chart.show(history.points));
}

// -- what is told ----------------------------------------------------------------------------------------------------

function tile(name, text, more) {
  byId(`tile-${name}`).textContent = text;
  byId(`tile-${name}-more`).textContent = more;
}

function showTiles(rows, point) {
  const there = rows.filter(isThere);
  const sum = (object) => Object.values(object).reduce((total, one) => total + one, 0);
  const total = (key) => sum(there.map((row) => sum((row.services || []).map((service) => service[key]))));
  const counted = (key) => sum(there.map((row) => sum((row.services || []).map((service) => sum(service[key])))));
  const lags = Array.from(point.processes, ([name, found]) => ({ name, ...found }));
  const worst = lags.sort((one, other) => other.mostLag - one.mostLag)[0];
  tile("sessions", number(sum(point.sessions)), `${number(counted("opened"))} were opened`);
  tile("in", rate(point.rates.in), `${bytesRate(point.rates.bytesIn)}; ${number(total("messages_in"))} in all`);
  tile("out", rate(point.rates.out), `${bytesRate(point.rates.bytesOut)}; ${number(total("messages_out"))} in all`);
  const slow = `${number(point.blocked)} blocked, ${number(point.paused)} paused`;
  tile("queued", bytes(point.queuedBytes), `${count(point.queuedMessages, "message")}; ${slow}`);
  const lateness = Math.max(0, ...lags.map((one) => one.lag));
  tile("lag", lag(lateness), worst ? `at most ${lag(worst.mostLag)} in the last minute` : "");
  tile("cpu", share(point.rates.cpu), `of ${count(there.length, "process", "processes")}`);
  tile("memory", bytes(point.memory), there.some((row) => row.memory === null) ? "as far as it is known" : "resident");
  tile("refused", rate(point.rates.refused), `${number(counted("refused"))} in all`);
}

// -- which processes there are ---------------------------------------------------------------------------------------

// Those that are not told of any more are shown as gone, for a while.
function known(rows, time) {
  for (const row of rows) {
    if (!colors.has(row.process)) colors.set(row.process, colors.size % COLORS);
    const last = seen.get(row.process);
    const goneSince = isThere(row) ? null : (last && last.goneSince) ?? time;
    seen.set(row.process, { row, told: time, goneSince });
  }
  for (const [name, one] of seen) {
    if (one.told === time) continue;
    if (time - one.told > KEPT) {
      seen.delete(name);
      colors.delete(name);
      continue;
    }
    one.goneSince ??= time;
    one.row = { process: name, state: "gone", why: "no longer there" };
  }
  return Array.from(seen.values(), (one) => one.row);
}

function goneFor(name) {
  const { goneSince } = seen.get(name);
  return goneSince === null ? 0 : now() - goneSince;
}

// -- how it stands ---------------------------------------------------------------------------------------------------

function namesOf(rows) {
  return rows.map(nameOf).join(", ");
}

function summary(rows) {
  const of = (state) => rows.filter((row) => row.state === state);
  const [draining, gone] = [of("draining"), of("gone")];
  const notes = [];
  if (draining.length) notes.push(`draining: ${namesOf(draining)}`);
  if (gone.length) notes.push(`gone: ${namesOf(gone)}`);
  const serving = of("serving").length;
  if (!notes.length) {
    return { state: "open", text: rows.length === 1 ? "It serves." : `All ${rows.length} processes serve.` };
  }
  const text = rows.length === 1 ? "It does not serve" : `${serving} of ${rows.length} processes serve`;
  return { state: serving ? "warned" : "closed", text: `${text}; ${notes.join("; ")}.` };
}

let shown = "";

// Only when something else is to be said, or a screen reader would never be silent.
function say({ state, text, more = "" }) {
  const all = [state, text, more].join("\n");
  if (all === shown) return;
  shown = all;
  setStatus(byId("feed"), state, text, more);
}

function received(told) {
  const time = now();
  ({ transports } = told);
  const rows = known(told.processes, time);
  const point = history.add(rows, time);
  showTiles(rows, point);
  showProcesses(rows, point, colorOf, goneFor);
  showSums(rows);
  showChannels(rows, point);
  drawCharts();
  const all = summary(rows);
  say(all);
  document.title = all.state === "open" ? "txsockjs: status" : `(!) txsockjs: ${all.text}`;
}

function failed(why, seconds) {
  history.gap(now());
  history.restart();
  drawCharts();
  say({
    state: "closed",
    text: `The metrics port does not tell how things stand. ${why}`,
    more: `The numbers are those of before. Trying again every ${seconds} seconds.`,
  });
  document.title = "(!) txsockjs: no answer";
}

const feed = createFeed(received, failed);
let wanted = true;

byId("pause").addEventListener("click", () => {
  wanted = !wanted;
  byId("pause").textContent = wanted ? "Pause" : "Go on";
  if (wanted) {
    feed.start();
    return;
  }
  feed.stop();
  history.gap(now());
  history.restart();
  say({ state: "idle", text: "Paused. The numbers are those of before." });
});
document.addEventListener("visibilitychange", drawCharts);
feed.start();
