// The connection that a person makes by hand: choose, connect, type, see what comes back and how long that took.

import { client, closeText, meaning, openSocket, transportOf, whenClientChanges } from "./client.js";
import { byId, milliseconds, setStatus } from "./dom.js";
import { createLog } from "./log.js";

const START = "Nothing yet. Connect and say something, or choose /ticker and just watch.";

const UNANSWERED_LIMIT = 500; // messages whose answers are waited for, to time them

// What a service answers to a message, as far as that can be known.
const ANSWERS = {
  same: (text) => (data) => data === text,
  amplified: (text) => {
    const power = /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : 1;
    const length = 2 ** (power >= 1 && power <= 18 ? power : 1);
    return (data) => data.length === length;
  },
};

export function createTrial(series, changed) {
  const choices = Array.from(document.querySelectorAll("input[name=service]"));
  const transport = byId("transport");
  const connectButton = byId("connect");
  const disconnectButton = byId("disconnect");
  const message = byId("message");
  const sendButton = byId("send");
  const repeat = byId("repeat");
  const status = byId("status");
  const empty = byId("empty");
  const counts = { sent: 0, received: 0 };
  const log = createLog(byId("log"), (entries) => {
    empty.hidden = entries > 0;
    byId("count").textContent = `${counts.sent} sent, ${counts.received} received`;
  });

  let current = null; // the connection that the buttons act on
  let repeating = 0; // the timer that sends again and again
  let wasMissing = false; // the client

  const chosen = () => choices.find((choice) => choice.checked);
  const isChosen = (link) => link.service === chosen().value && link.kind === transport.value;

  // -- what the page shows

  function showButtons() {
    const isOpen = current !== null && current.open;
    const isOther = current !== null && !isChosen(current);
    connectButton.disabled = client.state === "loading" || (current !== null && !isOther);
    connectButton.textContent = isOther ? "Switch" : "Connect";
    disconnectButton.disabled = current === null;
    sendButton.disabled = !isOpen;
    sendButton.textContent = repeating ? "Stop" : "Send";
    message.placeholder = chosen().dataset.placeholder || "This one needs no message";
    empty.textContent = isOpen ? current.hint : START;
  }

  // A button that becomes disabled hands on the focus that it has, and nothing else loses it. Fields take it only where
  // this brings up no keyboard on the screen.
  function showButtonsAndPassFocus(...heirs) {
    const held = document.activeElement;
    showButtons();
    if (held !== connectButton && held !== disconnectButton && held !== sendButton) return;
    if (!held.disabled && heirs[0] !== message) return;
    const heir = heirs.find((one) => !one.disabled && (one !== message || matchMedia("(pointer: fine)").matches));
    if (heir) heir.focus({ preventScroll: true });
  }

  function choose() {
    showButtons();
    changed({ service: chosen().value, kind: transport.value });
  }

  // -- the connection

  function connect() {
    if (current !== null) disconnect();
    const choice = chosen();
    const link = {
      service: choice.value,
      kind: transport.value,
      hint: choice.dataset.empty || "Connected. Type a message.",
      takesText: "placeholder" in choice.dataset,
      answer: ANSWERS[choice.dataset.answers],
      unanswered: [],
      open: false,
      started: performance.now(),
    };
    current = link;
    setStatus(status, "connecting", `Connecting to /${link.service}…`);
    showButtonsAndPassFocus(disconnectButton);
    try {
      link.socket = openSocket(link.service, link.kind);
    } catch (error) {
      current = null;
      setStatus(status, "closed", "Could not connect", String(error));
      log.add("failed", String(error));
      showButtonsAndPassFocus(connectButton);
      return;
    }
    link.socket.onopen = () => opened(link);
    link.socket.onmessage = (event) => received(link, event.data);
    link.socket.onheartbeat = () => {
      // What a stream begins with looks like one.
      if (link.open) log.add("heartbeat", "The server is there, and the way to it is open.");
    };
    link.socket.onclose = (event) => closed(link, event);
  }

  function opened(link) {
    link.open = true;
    const way = transportOf(link.socket, link.kind);
    const time = milliseconds(Math.round(performance.now() - link.started));
    log.add("opened", `/${link.service} over ${way}`, `after ${time}`);
    if (current !== link) return;
    setStatus(status, "open", `Connected to /${link.service} over ${way}`);
    if (link.takesText) showButtonsAndPassFocus(message, disconnectButton);
    else showButtons();
  }

  function received(link, data) {
    const text = typeof data === "string" ? data : `[${data.byteLength} bytes]`;
    const at = link.unanswered.findIndex((one) => one.isAnswer(text));
    let trip = "";
    if (at >= 0) {
      const took = performance.now() - link.unanswered[at].sent;
      link.unanswered.splice(at, 1);
      series.trip(took);
      trip = `after ${milliseconds(took)}`;
    }
    series.received();
    counts.received += 1;
    log.add("received", text, trip);
  }

  function closed(link, event) {
    const what = closeText(event);
    log.add(link.open ? "closed" : "failed", what, meaning(event.code));
    const wasOpen = link.open;
    link.open = false;
    if (current !== link) return;
    current = null;
    stopRepeating();
    setStatus(status, "closed", `${wasOpen ? "Closed" : "Could not connect"}: ${what}`, meaning(event.code));
    showButtonsAndPassFocus(connectButton);
  }

  function disconnect() {
    if (current === null) return;
    setStatus(status, "connecting", "Closing…");
    stopRepeating();
    current.socket.close();
  }

  // -- messages

  function sendOne(text) {
    const link = current;
    if (link === null || !link.open) return;
    if (link.answer) {
      link.unanswered.push({ isAnswer: link.answer(text), sent: performance.now() });
      if (link.unanswered.length > UNANSWERED_LIMIT) link.unanswered.shift();
    }
    try {
      link.socket.send(text);
    } catch (error) {
      log.add("failed", String(error));
      return;
    }
    series.sent();
    counts.sent += 1;
    log.add("sent", text);
  }

  function stopRepeating() {
    clearInterval(repeating);
    repeating = 0;
    // What comes many times a second is not read out.
    byId("log").setAttribute("aria-live", "polite");
    showButtons();
  }

  function send() {
    if (repeating) {
      stopRepeating();
      return;
    }
    if (current === null || !current.open) {
      setStatus(status, status.dataset.state, "Not connected yet", "Connect first, then send.");
      return;
    }
    const often = Number(repeat.value);
    const text = message.value || (often ? "hello" : "");
    if (text === "") return;
    log.follow();
    sendOne(text);
    if (!often) {
      message.value = "";
      return;
    }
    byId("log").setAttribute("aria-live", "off");
    repeating = setInterval(() => sendOne(text), 1000 / often);
    showButtons();
  }

  // -- the client

  function showClient() {
    const missing = client.state === "missing";
    for (const option of transport.options) option.disabled = missing && option.value !== "raw";
    const notice = byId("notice");
    notice.hidden = !missing;
    if (missing) {
      transport.value = "raw";
      byId("notice-text").textContent =
        `There is no SockJS client at ${client.url}. ${client.why} This page uses the browser’s own WebSocket ` +
        "instead, so only the raw WebSocket of each service can be tried.";
    } else if (wasMissing && current === null) {
      transport.value = ""; // it came late
    }
    wasMissing = missing;
    if (current === null) setStatus(status, "idle", "Not connected");
    choose();
  }

  // -- what a person does

  byId("connect-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!connectButton.disabled) connect();
  });
  disconnectButton.addEventListener("click", disconnect);
  byId("send-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  byId("clear").addEventListener("click", () => {
    counts.sent = counts.received = 0;
    log.clear();
    showButtons();
  });
  repeat.addEventListener("change", () => {
    if (repeating) stopRepeating();
  });
  for (const field of [...choices, transport]) field.addEventListener("change", choose);

  whenClientChanges(showClient);
  choose();
}
