// A chat on /broadcast, whose messages go to everybody who is connected there.
//
// Others may send whatever they like to /broadcast, so what comes is looked at closely, shown as text, and kept short.

import { closeText, meaning, openSocket } from "./client.js";
import { byId, count, element, setStatus, timeOf } from "./dom.js";

const SERVICE = "broadcast";
const FORMAT = "txsockjs-chat"; // tells our messages from others
const NAME_LIMIT = 32; // characters
const TEXT_LIMIT = 1000;
const SIZE_LIMIT = 8000; // of a whole message
const LINES_LIMIT = 200;
const KINDS = ["says", "joins", "leaves"];

// One line without control characters, and without those that change the direction of what stands beside it.
function tidy(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
}

function writeLine(kind, name, text, id) {
  return JSON.stringify({ format: FORMAT, kind, name, text, id });
}

// What somebody has written, or null when it is none of ours.
export function readLine(data) {
  if (typeof data !== "string" || data.length > SIZE_LIMIT) return null;
  let said;
  try {
    said = JSON.parse(data);
  } catch {
    return null;
  }
  if (said === null || typeof said !== "object" || said.format !== FORMAT || !KINDS.includes(said.kind)) return null;
  if (![said.name, said.text, said.id].every((part) => typeof part === "string")) return null;
  const name = tidy(said.name);
  if (!name || name.length > NAME_LIMIT || said.text.length > TEXT_LIMIT) return null;
  if (said.kind === "says" && !said.text.trim()) return null;
  return { kind: said.kind, name, text: said.text, id: said.id };
}

export function createChat() {
  const status = byId("chat-status");
  const nameField = byId("chat-name");
  const joinButton = byId("chat-join");
  const textField = byId("chat-text");
  const sendButton = byId("chat-send");
  const place = byId("chat-lines");
  const mine = new Set(); // what of our own has not come back yet
  let socket = null;
  let isOpen = false;
  let name = "";
  let waiting = [];
  let scheduled = false;
  let strange = 0; // messages that are none of ours

  function show() {
    scheduled = false;
    const follows = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    const added = waiting;
    waiting = [];
    place.append(...added);
    while (place.childElementCount > LINES_LIMIT) place.firstElementChild.remove();
    if (follows) place.scrollTop = place.scrollHeight;
    byId("chat-empty").hidden = place.childElementCount > 0;
    byId("chat-strange").hidden = strange === 0;
    byId("chat-strange").textContent = `${count(strange, "message")} on /broadcast from elsewhere, not shown here.`;
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    if (document.hidden) setTimeout(show, 250);
    else requestAnimationFrame(show);
  }

  function lineOf(said, isMine) {
    const line = element("div", "line");
    line.dataset.kind = said.kind;
    if (isMine) line.dataset.mine = "";
    const who = element("bdi", "who", said.name);
    if (said.kind === "says") line.append(who, timeOf(new Date(), false), element("p", "said", said.text));
    else line.append(who, element("span", "", said.kind === "joins" ? " is here" : " has left"));
    return line;
  }

  function received(data) {
    const said = readLine(data);
    if (said === null) {
      strange += 1;
    } else {
      waiting.push(lineOf(said, mine.delete(said.id)));
      if (waiting.length > LINES_LIMIT) waiting.shift();
    }
    schedule();
  }

  function say(kind, text = "") {
    const id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(16)).join("");
    mine.add(id);
    socket.send(writeLine(kind, name, text, id));
  }

  function showState() {
    const held = document.activeElement;
    nameField.disabled = socket !== null;
    textField.disabled = sendButton.disabled = !isOpen;
    joinButton.textContent = socket === null ? "Join" : "Leave";
    const mayType = isOpen && matchMedia("(pointer: fine)").matches; // or a keyboard would cover half of the screen
    if (mayType && held === joinButton) textField.focus({ preventScroll: true });
    if (socket === null && (held === textField || held === sendButton)) joinButton.focus({ preventScroll: true });
  }

  function closed(event, wasOpen) {
    socket = null;
    isOpen = false;
    mine.clear();
    showState();
    if (event === null) {
      setStatus(status, "idle", "You have left.");
      return;
    }
    const what = `${wasOpen ? "Closed" : "Could not join"}: ${closeText(event)}`;
    setStatus(status, "closed", what, meaning(event.code));
  }

  function join() {
    name = tidy(nameField.value).slice(0, NAME_LIMIT);
    if (!name) {
      setStatus(status, "closed", "A name, please.");
      nameField.focus();
      return;
    }
    nameField.value = name;
    setStatus(status, "connecting", "Joining…");
    try {
      socket = openSocket(SERVICE);
    } catch (error) {
      closed({ code: 1006, reason: String(error) }, false);
      return;
    }
    const own = socket;
    own.onopen = () => {
      isOpen = true;
      setStatus(status, "open", `You are here as ${name}.`);
      say("joins");
      showState();
    };
    own.onmessage = (event) => received(event.data);
    own.onclose = (event) => {
      if (own === socket) closed(event, isOpen);
    };
    showState();
  }

  function leave() {
    const own = socket;
    if (isOpen) say("leaves");
    own.onmessage = null;
    closed(null);
    own.close();
  }

  byId("chat-join-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket === null) join();
    else leave();
  });
  byId("chat-send-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = textField.value.slice(0, TEXT_LIMIT).trim();
    if (!isOpen || !text) return;
    say("says", text);
    textField.value = "";
  });

  addEventListener("pagehide", () => {
    if (socket !== null) leave();
  });

  nameField.maxLength = NAME_LIMIT;
  textField.maxLength = TEXT_LIMIT;
  nameField.value = `Guest ${100 + (crypto.getRandomValues(new Uint16Array(1))[0] % 900)}`;
}
