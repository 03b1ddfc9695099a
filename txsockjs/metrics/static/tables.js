// The tables and the lists: what stands there now.

import { byId, bytes, duration, element, milliseconds, number } from "./dom.js";
import { isThere, sumOf } from "./history.js";

export function nameOf(row) {
  return row.process || "this process";
}

export const rate = (value) => (value === null || value === undefined ? "–" : `${number(value)}/s`);
export const share = (value) => (value === null || value === undefined ? "–" : `${number(value * 100)} %`);
export const lag = (seconds) => (seconds < 1 ? milliseconds(seconds * 1000) : `${number(seconds)} s`);
export const memory = (value) => (value === null ? "not known" : bytes(value));

function cell(text) {
  return element("td", "figure", text);
}

function header(child) {
  const made = element("th");
  made.scope = "row";
  made.append(child);
  return made;
}

function stateCell(row, since) {
  const made = element("td");
  const state = element("span", "state", row.state);
  state.dataset.state = row.state;
  made.append(state);
  return { made, note: row.why ? `${row.why}, for ${duration(since)}` : "" };
}

function nameCell(row, color) {
  const name = element("span", "process");
  const swatch = element("span", "swatch");
  swatch.dataset.color = color;
  name.append(swatch, nameOf(row));
  return header(name);
}

function processRow(row, found, color, since) {
  const made = element("tr");
  made.dataset.process = row.process;
  const { made: state, note } = stateCell(row, since);
  made.append(nameCell(row, color), state);
  if (!found) {
    const why = element("td");
    why.colSpan = 8;
    why.append(element("span", "why", note));
    made.append(why);
    return made;
  }
  made.append(
    cell(number(found.sessions)),
    cell(rate(found.rates.in)),
    cell(rate(found.rates.out)),
    cell(bytes(found.sum.queuedBytes)),
    cell(lag(found.lag)),
    cell(share(found.rates.cpu)),
    cell(memory(found.memory)),
    cell(duration(row.uptime))
  );
  return made;
}

// `colorOf` and `goneFor` tell the colour of a process, and for how many seconds it is gone.
export function showProcesses(rows, point, colorOf, goneFor) {
  byId("process-rows").replaceChildren(
    ...rows.map((row) => processRow(row, point.processes.get(row.process), colorOf(row.process), goneFor(row.process)))
  );
  const sum = element("tr");
  const serving = rows.filter((row) => row.state === "serving").length;
  const worst = Math.max(0, ...Array.from(point.processes.values(), (one) => one.lag));
  const sessions = Object.values(point.sessions).reduce((total, one) => total + one, 0);
  sum.append(
    header(element("span", "", "All")),
    element("td", "", `${serving} of ${rows.length} serve`),
    cell(number(sessions)),
    cell(rate(point.rates.in)),
    cell(rate(point.rates.out)),
    cell(bytes(point.queuedBytes)),
    cell(lag(worst)),
    cell(share(point.rates.cpu)),
    cell(bytes(point.memory)),
    cell("")
  );
  byId("process-sum").hidden = rows.length < 2;
  byId("process-sum").replaceChildren(sum);
}

function showBars(id, counts) {
  const all = Object.entries(counts)
    .filter(([, amount]) => amount)
    .sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0]));
  const most = Math.max(1, ...all.map(([, amount]) => amount));
  byId(`${id}-empty`).hidden = all.length > 0;
  byId(id).replaceChildren(
    ...all.map(([name, amount]) => {
      const row = element("li");
      const track = element("span", "bar-track");
      const bar = element("span", "bar-fill");
      bar.style.width = `${(100 * amount) / most}%`;
      track.append(bar);
      row.append(element("span", "", name), element("span", "amount", number(amount)), track);
      return row;
    })
  );
}

function merged(rows, key) {
  const found = {};
  for (const row of rows) {
    for (const [name, amount] of Object.entries(sumOf(row)[key])) found[name] = (found[name] || 0) + amount;
  }
  return found;
}

function servicesOf(rows) {
  const found = new Map();
  for (const service of rows.flatMap((row) => row.services || [])) {
    const sum = found.get(service.path) || { sessions: 0, in: 0, out: 0 };
    sum.sessions += Object.values(service.sessions).reduce((total, one) => total + one, 0);
    sum.in += service.messages_in;
    sum.out += service.messages_out;
    found.set(service.path, sum);
  }
  return found;
}

export function showSums(rows) {
  const there = rows.filter(isThere);
  showBars("closed", merged(there, "closed"));
  showBars("refused", merged(there, "refused"));
  byId("services").replaceChildren(
    ...Array.from(servicesOf(there), ([path, sum]) => {
      const row = element("tr");
      const figures = [sum.sessions, sum.in, sum.out].map((value) => cell(number(value)));
      row.append(header(element("code", "", path)), ...figures);
      return row;
    })
  );
}

// A process that has no bus, nobody in a channel and nothing published does not use channels.
function usesChannels({ channels }) {
  return channels && (channels.bus.name !== "memory" || channels.joined > 0 || channels.published > 0);
}

function busCell({ name, connected }) {
  const made = element("td");
  if (name === "memory") {
    made.textContent = "none";
    return made;
  }
  const state = element("span", "state", connected ? "connected" : "away");
  state.dataset.state = connected ? "serving" : "gone";
  state.title = name;
  made.append(state);
  return made;
}

export function showChannels(rows, point) {
  const using = rows.filter((row) => isThere(row) && usesChannels(row));
  byId("channels").hidden = byId("channels-link").hidden = using.length === 0;
  byId("channel-rows").replaceChildren(
    ...using.map((row) => {
      const { channels } = row;
      const { rates } = point.processes.get(row.process);
      const made = element("tr");
      made.append(
        header(element("span", "process", nameOf(row))),
        busCell(channels.bus),
        cell(number(channels.channels)),
        cell(number(channels.members)),
        cell(rate(rates.published)),
        cell(rate(rates.delivered)),
        cell(channels.bus.lag === null ? "–" : lag(channels.bus.lag)),
        cell(number(channels.gaps)),
        cell(number(channels.lost)),
        cell(number(channels.bus.disconnects))
      );
      return made;
    })
  );
}
