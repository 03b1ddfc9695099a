// Small things that every part of the page needs.

export function byId(id) {
  return document.getElementById(id);
}

// Text goes into the page as text, wherever it comes from.
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

// Marks how things stand, for the eye by a colour and for everybody by words.
export function setStatus(place, state, text, more = "") {
  place.dataset.state = state;
  const words = [element("span", "said", text)];
  if (more) words.push(element("span", "more", more));
  place.replaceChildren(...words);
}

// Never cuts a character in two that takes two units of UTF-16.
export function beginning(text, length) {
  return text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function number(value) {
  return (Math.abs(value) < 10 ? fine : whole).format(value);
}

export function count(value, one, many = `${one}s`) {
  return `${whole.format(value)} ${value === 1 ? one : many}`;
}

export function milliseconds(value) {
  return `${number(value)} ms`;
}

export function bytes(value) {
  if (value < 1000) return `${number(value)} B`;
  if (value < 1e6) return `${number(value / 1e3)} kB`;
  if (value < 1e9) return `${number(value / 1e6)} MB`;
  return `${number(value / 1e9)} GB`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function timeOf(moment, exact = true) {
  const two = (value) => String(value).padStart(2, "0");
  const clock = [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(two).join(":");
  const made = element("time", "", exact ? `${clock}.${String(moment.getMilliseconds()).padStart(3, "0")}` : clock);
  made.dateTime = moment.toISOString();
  return made;
}
