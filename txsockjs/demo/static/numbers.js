// The server's own numbers, which it sends every second by its service /stats.

import { client, closeText, meaning, openSocket, whenClientChanges } from "./client.js";
import { byId, bytes, count, duration, element, number, setStatus } from "./dom.js";

const SERVICE = "stats";
const FIRST_PAUSE = 1000; // milliseconds before another attempt
const LONGEST_PAUSE = 30000;

function sum(services, key) {
  return services.reduce((total, service) => total + service[key], 0);
}

function sessionsByTransport(services) {
  const found = new Map();
  for (const { sessions } of services) {
    for (const [name, amount] of Object.entries(sessions)) found.set(name, (found.get(name) || 0) + amount);
  }
  return [...found].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0]));
}

function showBars(transports) {
  const place = byId("by-transport");
  const most = Math.max(...transports.map(([, amount]) => amount));
  byId("by-transport-empty").hidden = transports.length > 0;
  place.replaceChildren(
    ...transports.map(([name, amount]) => {
      const row = element("li");
      const bar = element("span", "bar-fill");
      const track = element("span", "bar-track");
      bar.style.width = `${(100 * amount) / most}%`;
      track.append(bar);
      row.append(element("code", "", name), track, element("span", "amount", number(amount)));
      return row;
    })
  );
}

function showServices(services) {
  byId("by-service").replaceChildren(
    ...services.map((service) => {
      const row = element("tr");
      const name = element("th");
      name.scope = "row";
      name.append(element("code", "", service.path));
      const sessions = Object.values(service.sessions).reduce((total, amount) => total + amount, 0);
      const values = [sessions, service.messages_in, service.messages_out];
      row.append(name, ...values.map((value) => element("td", "", number(value))));
      return row;
    })
  );
}

export function createNumbers() {
  const status = byId("numbers-status");
  const button = byId("numbers-pause");
  let socket = null;
  let last = null; // the numbers before
  let wanted = true;
  let pause = FIRST_PAUSE;
  let retry = 0;

  function show(now) {
    const all = now.services;
    const messages = { in: sum(all, "messages_in"), out: sum(all, "messages_out") };
    const seconds = last ? now.uptime - last.uptime : 0;
    const rate = (way) => (seconds > 0 ? `${number(Math.max(0, messages[way] - last[way]) / seconds)}/s` : "–");
    const transports = sessionsByTransport(all);
    byId("number-sessions").textContent = number(transports.reduce((total, [, amount]) => total + amount, 0));
    byId("number-opened").textContent = `${number(sum(all, "opened"))} since the start`;
    byId("number-in").textContent = rate("in");
    byId("number-in-all").textContent = `${number(messages.in)} in all, ${bytes(sum(all, "bytes_in"))}`;
    byId("number-out").textContent = rate("out");
    byId("number-out-all").textContent = `${number(messages.out)} in all, ${bytes(sum(all, "bytes_out"))}`;
    byId("number-memory").textContent = now.memory === null ? "not known here" : bytes(now.memory);
    byId("number-uptime").textContent = `up for ${duration(now.uptime)}`;
    showBars(transports);
    showServices(all);
    setStatus(status, "open", `Live, every second. ${count(now.watching, "page watches", "pages watch")}.`);
    last = { uptime: now.uptime, ...messages };
  }

  function received(data) {
    try {
      show(JSON.parse(data));
    } catch (error) {
      setStatus(status, "closed", "The numbers cannot be read.", String(error));
    }
  }

  function closed(event) {
    socket = null;
    last = null;
    if (!wanted) return;
    setStatus(status, "closed", `Closed: ${closeText(event)}`, `${meaning(event.code)} Trying again.`.trim());
    retry = setTimeout(connect, pause);
    pause = Math.min(LONGEST_PAUSE, pause * 2);
  }

  function connect() {
    if (socket || !wanted) return;
    setStatus(status, "connecting", "Connecting to /stats…");
    try {
      socket = openSocket(SERVICE);
    } catch (error) {
      closed({ code: 1006, reason: String(error) });
      return;
    }
    const mine = socket;
    mine.onopen = () => {
      pause = FIRST_PAUSE;
    };
    mine.onmessage = (event) => {
      if (mine === socket) received(event.data);
    };
    mine.onclose = (event) => {
      if (mine === socket) closed(event);
    };
  }

  button.addEventListener("click", () => {
    wanted = !wanted;
    button.textContent = wanted ? "Pause" : "Go on";
    if (wanted) {
      pause = FIRST_PAUSE;
      connect();
      return;
    }
    clearTimeout(retry);
    const mine = socket;
    socket = last = null;
    if (mine) mine.close();
    setStatus(status, "idle", "Paused. The numbers are those of before.");
  });

  whenClientChanges(() => {
    if (client.state !== "loading") connect();
  });
}
