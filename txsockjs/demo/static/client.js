// The SockJS client, and connections by it. Where it cannot be had, the browser's own WebSocket has to do.

const PATIENCE = 8000; // milliseconds until a client that is still loading is given up for now

const watchers = [];

export const client = {
  url: "",
  state: "loading", // loading, ready or missing
  why: "", // why it is missing
};

function become(state, why = "") {
  if (client.state === state) return;
  client.state = state;
  client.why = why;
  for (const tell of watchers) tell();
}

// Calls back whenever it is known better whether there is a client.
export function whenClientChanges(tell) {
  watchers.push(tell);
}

export function loadClient(url) {
  const script = document.createElement("script");
  client.url = new URL(url, document.baseURI).href;
  script.src = url;
  script.addEventListener("load", () => {
    if (typeof window.SockJS === "function") become("ready");
    else become("missing", "What is there is not the SockJS client.");
  });
  script.addEventListener("error", () => become("missing", "It could not be loaded."));
  document.head.append(script);
  setTimeout(() => {
    if (client.state === "loading") become("missing", "It takes too long to load.");
  }, PATIENCE);
}

// Addresses: everything is relative to where this page is.

export function serviceUrl(service) {
  return new URL(service, new URL(".", location.href)).href;
}

export function rawUrl(service) {
  return `${serviceUrl(service).replace(/^http/, "ws")}/websocket`;
}

// Opens a connection: by one transport, by "raw" for a WebSocket without SockJS, or by "" for the best that works.
// Both kinds have onopen, onmessage, onclose, send and close. `patience` is in milliseconds, for a transport to open;
// by default the client derives it from how long its first request took.
export function openSocket(service, kind = "", patience = 0) {
  if (kind === "raw" || client.state !== "ready") {
    const socket = new WebSocket(rawUrl(service));
    socket.binaryType = "arraybuffer";
    return socket;
  }
  const settings = {};
  if (patience) settings.timeout = patience;
  // Clients before 1.0 know the list of transports by another name.
  if (kind) settings[/^0\./.test(window.SockJS.version) ? "protocols_whitelist" : "transports"] = [kind];
  return new window.SockJS(serviceUrl(service), null, settings);
}

export function transportOf(socket, kind = "") {
  if (socket instanceof WebSocket) return "raw WebSocket";
  return socket.transport || socket.protocol || kind || "an unnamed transport";
}

// What the codes mean that a person meets here, in words that help.
const CODES = {
  1002: "The server did not answer as SockJS does, or does not serve this page’s origin. Is it still running?",
  1006: "The connection broke, or was refused.",
  2000: "It did not open. Something on the way blocks it, or this browser or the server has it switched off.",
  2007: "The server took too long to answer.",
  2010: "Another connection to the same session is still open.",
};

export function meaning(code) {
  return CODES[code] || "";
}

export function closeText(event) {
  return `${event.code} ${event.reason || ""}`.trim();
}
