// Uses the demonstration page, or the status page, as a person would, and tells what the page showed.
//
// The orders come as one JSON object on standard input:
//
//   browser     path of the browser
//   url         the page
//   width, height, colorScheme, reducedMotion, touch   how the page is looked at; all optional
//   windows     how many windows show the page; 1 by default
//   ready       what is there when the page is ready, and
//   first       how it is read then; those of the demonstration page by default
//   steps       [{do, window, …}], one after another; see `actions`. `window` is the number of the window, 0 by default
//   patience    seconds for each thing waited for
//
// The answer is one JSON object on standard output: `read`, what the steps have read, in order; `start`, what the first
// window showed at first; `errors`, every complaint of the browser, violations of the Content-Security-Policy among
// them; `dialogs`, how many there were; `hosts`, who was asked for anything.
"use strict";

const launch = require("./launch.js");

// Runs in each frame before anything else there.
function watch() {
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`violation: ${event.violatedDirective} of ${event.blockedURI} at ${event.documentURI}`)
  );
}

// -- what is on the page; these run there ---------------------------------------------------------------------------

const readers = {
  look() {
    const visible = (element) => element !== null && element.checkVisibility();
    const text = (element) => (visible(element) ? element.textContent.trim().replace(/\s+/g, " ") : null);
    const find = (selector) => document.querySelector(selector);
    return {
      title: document.title,
      services: Array.from(document.querySelectorAll("input[name=service]"), (choice) => choice.value),
      service: find("input[name=service]:checked").value,
      transports: Array.from(find("#transport").options, (option) => [option.value, option.disabled]),
      transport: find("#transport").value,
      status: text(find("#status .said") || find("#status")),
      more: text(find("#status .more")),
      notice: text(find("#notice-text")),
      empty: text(find("#empty")),
      connect: text(find("#connect")),
      code: find("#client-code").textContent,
      focus: document.activeElement.id,
      width: [document.documentElement.scrollWidth, window.innerWidth],
      // What reaches beyond the part of the page that it belongs to.
      outside: Array.from(document.querySelectorAll("section :is(table, form, ul, dl, svg, p, button)"))
        .filter((element) => {
          const section = element.closest("section");
          const edge = section.getBoundingClientRect().right - parseFloat(getComputedStyle(section).paddingRight);
          return visible(element) && !element.closest(".scroll") && element.getBoundingClientRect().right > edge + 1;
        })
        .map((element) => element.outerHTML.slice(0, 100)),
      unlabelled: Array.from(document.querySelectorAll("select, textarea, input"))
        .filter((field) => field.labels.length === 0 && visible(field))
        .map((field) => field.outerHTML),
    };
  },

  log() {
    return Array.from(document.querySelectorAll("#log .entry"), (entry) => ({
      kind: entry.dataset.kind,
      text: entry.querySelector(".text").textContent,
      more: (entry.querySelector(".more") || { textContent: "" }).textContent,
      markup: entry.querySelector(".text").childElementCount,
      time: entry.querySelector("time").dateTime,
    }));
  },

  table() {
    return {
      status: document.querySelector("#try-status").textContent,
      button: document.querySelector("#try-all").textContent,
      rows: Array.from(document.querySelectorAll("#transports tbody tr"), (row) => ({
        transport: row.dataset.transport,
        state: row.dataset.state || null,
        cells: Array.from(row.querySelectorAll("td"))
          .filter((cell) => !cell.hidden)
          .map((cell) => Array.from(cell.childNodes, (part) => part.textContent).join(": ")),
      })),
    };
  },

  charts() {
    const text = (id) => document.getElementById(id).textContent;
    const all = (selector) => Array.from(document.querySelectorAll(selector));
    const hidden = (id) => document.getElementById(id).hidden;
    return {
      trips: {
        empty: !hidden("trips-empty"),
        label: document.getElementById("trips-chart").getAttribute("aria-label"),
        figures: [text("trip-last"), text("trip-median"), text("trip-slowest")],
        // Each run of seconds is one line; its points are in its path.
        lines: all("#trips-chart .trips").map((line) => [Number(line.dataset.seconds), line.getAttribute("d")]),
        bands: all("#trips-chart .band").length,
        scale: all("#trips-chart text").slice(0, 3).map((one) => one.textContent),
      },
      rates: {
        empty: !hidden("rates-empty"),
        label: document.getElementById("rates-chart").getAttribute("aria-label"),
        figures: [text("rate-sent"), text("rate-received")],
        sent: all("#rates-chart .sent").map((bar) => [Number(bar.dataset.value), Number(bar.getAttribute("height"))]),
        received: all("#rates-chart .received").map((bar) => [
          Number(bar.dataset.value),
          Number(bar.getAttribute("height")),
        ]),
      },
    };
  },

  numbers() {
    const text = (id) => document.getElementById(id).textContent;
    const ids = ["sessions", "opened", "in", "in-all", "out", "out-all", "memory", "uptime"];
    return {
      status: text("numbers-status"),
      state: document.querySelector("#numbers-status").dataset.state,
      tiles: Object.fromEntries(ids.map((id) => [id, text(`number-${id}`)])),
      transports: Array.from(document.querySelectorAll("#by-transport li"), (row) => [
        row.querySelector("code").textContent,
        row.querySelector(".amount").textContent,
      ]),
      services: Array.from(document.querySelectorAll("#by-service tr"), (row) =>
        Array.from(row.children, (cell) => cell.textContent)
      ),
    };
  },

  chat() {
    const strange = document.querySelector("#chat-strange");
    return {
      status: document.querySelector("#chat-status").textContent,
      lines: Array.from(document.querySelectorAll("#chat-lines .line"), (line) => ({
        kind: line.dataset.kind,
        who: line.querySelector(".who").textContent,
        said: line.querySelector(".said") ? line.querySelector(".said").textContent : null,
        mine: "mine" in line.dataset,
        markup: line.querySelectorAll("*:not(.who, .said, time, span)").length,
      })),
      strange: strange.hidden ? null : strange.textContent,
      focus: document.activeElement.id,
    };
  },

  status() {
    const text = (element) => (element.checkVisibility() ? element.textContent.trim().replace(/\s+/g, " ") : null);
    const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
    const texts = (selector, within) => all(selector, within).map(text);
    return {
      title: document.title,
      state: document.querySelector("#feed").dataset.state,
      status: text(document.querySelector("#feed .said") || document.querySelector("#feed")),
      more: texts("#feed .more").join(),
      tiles: Object.fromEntries(all(".tiles > div").map((tile) => [texts("dt", tile)[0], texts("dd", tile)])),
      rows: all("#process-rows tr").map((row) => texts("th, td", row)),
      sum: texts("#process-sum :is(th, td)"),
      charts: Object.fromEntries(
        all(".chart").map((chart) => [
          text(chart.querySelector("h2")),
          {
            moment: texts(".moment", chart)[0],
            figures: texts(".figures div", chart),
            label: chart.querySelector("svg").getAttribute("aria-label"),
            drawn: all(":is(.curve, .area, .dot)", chart).length,
          },
        ])
      ),
      closed: texts("#closed li"),
      refused: texts("#refused li"),
      services: all("#services tr").map((row) => texts("th, td", row)),
      channels: all("#channel-rows tr").map((row) => texts("th, td", row)),
      width: [document.documentElement.scrollWidth, window.innerWidth],
      outside: all("section :is(table, ul, dl, svg, p, button)")
        .filter((element) => {
          const edge = (element.closest(".chart") || element.closest("section")).getBoundingClientRect().right;
          return element.checkVisibility() && !element.closest(".wide") && element.getBoundingClientRect().right > edge + 1;
        })
        .map((element) => element.outerHTML.slice(0, 100)),
    };
  },

  // Texts that are too faint against what is behind them (WCAG 2, 4.5 to 1). What can't be used may be faint.
  faint() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const channels = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = ([red, green, blue]) => {
      const [r, g, b] = [red, green, blue]
        .map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = channels(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return channels("Canvas");
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
      const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
      if (!own || !element.checkVisibility() || element.closest("[disabled], option, script, noscript")) continue;
      const style = getComputedStyle(element);
      const color = channels(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
      const [light, dark] = [luminance(color), luminance(behind(element))].sort((one, other) => other - one);
      const contrast = (light + 0.05) / (dark + 0.05);
      if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.tagName} ${element.textContent.trim()}`);
    }
    return found;
  },

  motion() {
    return {
      scroll: getComputedStyle(document.documentElement).scrollBehavior,
      running: document.getAnimations().map((animation) => animation.animationName || animation.transitionProperty),
    };
  },
};

// -- what can be done -----------------------------------------------------------------------------------------------

// Goes on with the tabulator key until the wanted element has the focus.
async function tabTo(page, id) {
  for (let presses = 0; presses < 80; presses += 1) {
    if (await page.evaluate((wanted) => document.activeElement.id === wanted, id)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`#${id} cannot be reached by the tabulator key`);
}

// Chooses, connects, types, waits for as many answers ("received") or for the server to close ("closed"), disconnects.
async function visit(page, order) {
  await page.click("#clear");
  await page.check(`input[name=service][value=${order.service}]`);
  await page.selectOption("#transport", order.transport);
  await page.click("#connect");
  let open = null;
  if (order.until === "received") {
    await page.waitForSelector("#status[data-state=open]");
    open = await page.evaluate(readers.look);
    for (const text of order.type) {
      await page.fill("#message", text);
      await page.click("#send");
    }
    await page.waitForFunction(
      (count) => document.querySelectorAll("#log [data-kind=received]").length >= count,
      order.type.length || 1
    );
    await page.click("#disconnect");
  }
  await page.waitForSelector("#status[data-state=closed]");
  await page.waitForSelector("#log :is([data-kind=closed], [data-kind=failed])");
  return { open, log: await page.evaluate(readers.log), after: await page.evaluate(readers.look) };
}

const actions = {
  visit,

  async click(page, { on }) {
    await page.click(on);
  },

  async check(page, { on }) {
    await page.check(on);
  },

  async fill(page, { on, text }) {
    await page.fill(on, text);
  },

  async choose(page, { on, value }) {
    await page.selectOption(on, value);
  },

  // Waits until something is there, and matches a pattern if one is given.
  async wait(page, { for: selector, matches = "" }) {
    await page.waitForFunction(
      ([wanted, pattern]) => {
        const element = document.querySelector(wanted);
        return element !== null && new RegExp(pattern).test(element.textContent);
      },
      [selector, matches]
    );
  },

  async sleep(page, { milliseconds }) {
    await page.waitForTimeout(milliseconds);
  },

  async read(page, { what }) {
    return page.evaluate(readers[what]);
  },

  async tab(page, { to }) {
    await tabTo(page, to);
  },

  async press(page, { keys }) {
    for (const key of keys) await page.keyboard.press(key);
  },

  async type(page, { text }) {
    await page.keyboard.insertText(text);
  },

  // Every place that the tabulator key comes by, from the start of the page, and whether one sees that it is there.
  async tour(page) {
    const places = [];
    await page.evaluate(() => {
      document.activeElement.blur();
      window.scrollTo(0, 0);
    });
    for (let presses = 0; presses < 80; presses += 1) {
      await page.keyboard.press("Tab");
      const place = await page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return null;
        const style = getComputedStyle(element);
        const name = element.id || element.getAttribute("href") || element.getAttribute("aria-labelledby");
        const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
        return { name: name || element.name, seen, top: element.getBoundingClientRect().top + window.scrollY };
      });
      if (place === null) return places;
      places.push(place);
    }
    throw new Error("the tabulator key never comes to the end of the page");
  },

  // Sends to a service without SockJS, from the page, and waits until all of it has come back.
  async send(page, { service, texts }) {
    await page.evaluate(
      ([name, all]) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(`${location.origin.replace("http", "ws")}/${name}/websocket`);
          let left = all.length;
          socket.onopen = () => all.forEach((text) => socket.send(text));
          socket.onmessage = () => {
            left -= 1;
            if (left) return;
            socket.close();
            resolve();
          };
          socket.onerror = () => reject(new Error(`/${name} cannot be reached`));
        }),
      [service, texts]
    );
  },

  // Runs a function that stands in a text, as a module of the page would.
  async run(page, { code }) {
    return page.evaluate(code);
  },

  // Tells the one who gave the orders that it is his turn.
  async say(page, { text }) {
    console.error(text);
  },

  async screenshot(page, { path, height }) {
    await page.evaluate(() => document.activeElement.blur());
    if (!height) {
      await page.screenshot({ path, fullPage: true });
      return;
    }
    await page.evaluate(() => window.scrollTo(0, 0));
    const { width } = page.viewportSize();
    await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width, height } });
  },
};

// -- the whole ------------------------------------------------------------------------------------------------------

function listen(page, answer) {
  page.on("console", (message) => {
    if (message.type() === "error") answer.errors.push({ text: message.text(), url: message.location().url });
  });
  page.on("pageerror", (error) => answer.errors.push({ text: String(error), url: "" }));
  page.on("dialog", (dialog) => {
    answer.dialogs += 1;
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "data:" && !answer.hosts.includes(host)) answer.hosts.push(host);
  });
}

async function main() {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const job = JSON.parse(input);
  const { ready = "#connect:enabled", first = "look" } = job;
  const browser = await launch(job.browser);
  const answer = { errors: [], dialogs: 0, hosts: [], read: [] };
  const pages = [];
  try {
    for (let window = 0; window < (job.windows || 1); window += 1) {
      const page = await browser.newPage({
        viewport: { width: job.width || 1280, height: job.height || 860 },
        colorScheme: job.colorScheme || "light",
        reducedMotion: job.reducedMotion ? "reduce" : "no-preference",
        hasTouch: Boolean(job.touch),
        isMobile: Boolean(job.touch),
      });
      page.setDefaultTimeout(job.patience * 1000);
      listen(page, answer);
      await page.addInitScript(watch);
      pages.push(page);
      await page.goto(job.url);
      await page.waitForSelector(ready);
    }
    answer.start = await pages[0].evaluate(readers[first]);
    for (const step of job.steps) {
      const found = await actions[step.do](pages[step.window || 0], step);
      if (found !== undefined) answer.read.push(found);
    }
    process.stdout.write(JSON.stringify(answer));
  } catch (error) {
    // What the page complained of, and what it showed, mostly say why.
    const shown = await Promise.all(pages.map((page) => page.evaluate(readers[first]).catch(String)));
    console.error(JSON.stringify({ errors: answer.errors, shown }, null, 1));
    throw error;
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
