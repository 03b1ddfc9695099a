// The frames that came and went, with their times. What comes fast is shown once for each picture of the screen, and
// only the last of it is kept, so that nobody can fill this page.

import { beginning, element, timeOf } from "./dom.js";

const LIMIT = 500; // entries
const TEXT_LIMIT = 400; // characters of one message that are shown at first
const KEPT_LIMIT = 4_000_000; // characters of long messages that are kept to be shown in full

const NAMES = {
  opened: "Opened",
  sent: "Sent",
  received: "Received",
  heartbeat: "Heartbeat",
  closed: "Closed",
  failed: "Failed",
};

export function createLog(place, shown) {
  let waiting = [];
  let kept = 0;
  let scheduled = false;

  function longText(body, text) {
    const visible = element("span", "text", `${beginning(text, TEXT_LIMIT)}…`);
    const size = `${text.length.toLocaleString("en")} characters`;
    body.append(visible);
    if (kept + text.length > KEPT_LIMIT) {
      body.append(element("span", "more", size));
      return 0;
    }
    const all = element("button", "quiet", `Show all ${size}`);
    all.type = "button";
    all.addEventListener("click", () => {
      visible.textContent = text;
      all.remove();
      place.focus({ preventScroll: true });
    });
    body.append(all);
    return text.length;
  }

  function entryOf({ kind, text, more, when }) {
    const entry = element("div", "entry");
    const body = element("div", "body");
    entry.dataset.kind = kind;
    if (text.length > TEXT_LIMIT) {
      entry.kept = longText(body, text);
      kept += entry.kept;
    } else {
      body.append(element("span", "text", text));
    }
    if (more) body.append(element("span", "more", more));
    entry.append(timeOf(when), element("span", "kind", NAMES[kind]), body);
    return entry;
  }

  function drop(entry) {
    kept -= entry.kept || 0;
    entry.remove();
  }

  function show() {
    scheduled = false;
    const follows = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    const added = waiting;
    waiting = [];
    while (place.childElementCount && place.childElementCount + added.length > LIMIT) drop(place.firstElementChild);
    place.append(...added.map(entryOf));
    if (follows) place.scrollTop = place.scrollHeight;
    shown(place.childElementCount);
  }

  return {
    add(kind, text, more = "") {
      waiting.push({ kind, text, more, when: new Date() });
      if (waiting.length > LIMIT) waiting.shift();
      if (scheduled) return;
      scheduled = true;
      if (document.hidden) setTimeout(show, 250);
      else requestAnimationFrame(show);
    },
    clear() {
      waiting = [];
      kept = 0;
      place.replaceChildren();
      shown(0);
    },
    follow() {
      place.scrollTop = place.scrollHeight;
    },
  };
}
