// Tries every transport, one after another so that none disturbs the other, and fills the table.

import { client, closeText, meaning, openSocket, serviceUrl } from "./client.js";
import { byId, count, element, median, milliseconds } from "./dom.js";

const SERVICE = "echo";
const MESSAGES = 5; // round trips for each transport
const OPEN_PATIENCE = 5000; // milliseconds
const PATIENCE = 12000; // for all that one transport has to do

// What the server calls the transports that it can switch off.
const SERVER_NAMES = {
  raw: "websocket",
  "iframe-eventsource": "eventsource",
  "iframe-htmlfile": "htmlfile",
  "iframe-xhr-polling": "xhr-polling",
};

async function askInfo() {
  try {
    const answer = await fetch(`${serviceUrl(SERVICE)}/info`, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

// Why there is no point in trying a transport, or "".
function obstacle(kind, info) {
  if (kind !== "raw" && client.state !== "ready") return "It needs the SockJS client, which is missing.";
  const name = SERVER_NAMES[kind] || kind;
  const isOff =
    info !== null &&
    ((name === "websocket" && info.websocket === false) || (info.transports && !info.transports.includes(name)));
  return isOff ? "It is switched off on this server." : "";
}

// Settles for good or bad, and never later than its patience; `stop` ends it before.
function tryOne(kind, stop) {
  return new Promise((resolve) => {
    const started = performance.now();
    const trips = [];
    let opened = 0;
    let sent = 0;
    let socket;

    const settle = (result) => {
      clearTimeout(late);
      stop.removeEventListener("abort", stopped);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      resolve(result);
    };
    const stopped = () => settle({ stopped: true });
    const late = setTimeout(() => {
      const what = opened ? "It opened, but messages did not come back in time." : "It did not open in time.";
      settle({ reason: what });
    }, PATIENCE);
    const ask = () => {
      sent = performance.now();
      socket.send(`round trip ${trips.length + 1}`);
    };

    try {
      socket = openSocket(SERVICE, kind, OPEN_PATIENCE);
    } catch (error) {
      clearTimeout(late);
      resolve({ reason: String(error) });
      return;
    }
    stop.addEventListener("abort", stopped);
    socket.onopen = () => {
      opened = performance.now() - started;
      ask();
    };
    socket.onmessage = (event) => {
      if (event.data !== `round trip ${trips.length + 1}`) return;
      trips.push(performance.now() - sent);
      if (trips.length < MESSAGES) ask();
      else settle({ opened, trip: median(trips) });
    };
    socket.onclose = (event) => settle({ reason: `${closeText(event)}. ${meaning(event.code)}`.trim() });
  });
}

export function createTransports() {
  const button = byId("try-all");
  const status = byId("try-status");
  const rows = Array.from(byId("transports").querySelectorAll("tbody tr"));
  let stop = null;

  function show(row, state, word, opened = "–", trip = "–", reason = "") {
    const [result, open, round] = row.querySelectorAll("td");
    row.dataset.state = state;
    // A reason takes the place of the times that there are not.
    result.colSpan = reason ? 3 : 1;
    open.hidden = round.hidden = reason !== "";
    result.replaceChildren(element("span", "verdict", word));
    if (reason) result.append(element("span", "more", reason));
    open.textContent = opened;
    round.textContent = trip;
  }

  function showResult(row, result) {
    if (result.stopped) show(row, "idle", "Stopped");
    else if (result.off) show(row, "off", "Not possible", "–", "–", result.off);
    else if (result.reason) show(row, "failed", "Failed", "–", "–", result.reason);
    else show(row, "worked", "Works", milliseconds(result.opened), milliseconds(result.trip));
  }

  function summary(results) {
    const worked = results.filter(([, result]) => result.trip !== undefined);
    if (!worked.length) return "None of them works from here.";
    const fastest = (what) => worked.reduce((one, other) => (other[1][what] < one[1][what] ? other : one));
    const [quick, trip] = [fastest("opened"), fastest("trip")];
    return (
      `${worked.length} of ${results.length} work in this browser. Opened first: ${quick[0]}, after ` +
      `${milliseconds(quick[1].opened)}. Shortest round trip: ${trip[0]}, ${milliseconds(trip[1].trip)}.`
    );
  }

  async function tryAll() {
    stop = new AbortController();
    const { signal } = stop;
    button.textContent = "Stop";
    for (const row of rows) show(row, "idle", "Waiting");
    const info = await askInfo();
    const results = [];
    for (const [at, row] of rows.entries()) {
      if (signal.aborted) {
        show(row, "idle", "Not tried");
        continue;
      }
      const kind = row.dataset.transport;
      const off = obstacle(kind, info);
      if (!off) {
        show(row, "trying", "Trying…");
        status.textContent = `Trying ${row.dataset.name || kind}, ${at + 1} of ${rows.length}.`;
      }
      const result = off ? { off } : await tryOne(kind, signal);
      showResult(row, result);
      results.push([row.dataset.name || kind, result]);
    }
    status.textContent = signal.aborted ? `Stopped after ${count(results.length, "transport")}.` : summary(results);
    status.dataset.state = signal.aborted ? "stopped" : "done";
    button.textContent = "Try all again";
    stop = null;
  }

  button.addEventListener("click", () => {
    if (stop) stop.abort();
    else tryAll();
  });
}
