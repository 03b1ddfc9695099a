// Visits the demonstration page as a person would, and tells what the page showed.
//
// The orders come as one JSON object on standard input:
//
//   browser     path of the browser
//   url         the page
//   width, height, colorScheme   how the page is looked at; all optional
//   visits      [{service, transport, type, until, keyboard, row}], one after another on the page: choose, connect,
//               type messages, wait for as many answers ("received") or for the server to close ("closed"),
//               disconnect; with `keyboard`, no mouse is used; with `row`, the service is chosen from the list
//   screenshot  path of a picture to take of the whole page at the end; optional
//   patience    seconds for each thing waited for
//
// The answer is one JSON object on standard output; see `look` and `visit` for what is in it.
"use strict";

const { chromium } = require("playwright-core");

// Quiet: this browser shall talk to nobody but the servers of the check.
const ARGUMENTS = [
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function look(page) {
  return page.evaluate(() => {
    const visible = (element) => element !== null && element.checkVisibility();
    const text = (element) => (visible(element) ? element.textContent.trim() : null);
    const find = (selector) => document.querySelector(selector);
    return {
      title: document.title,
      services: Array.from(document.querySelectorAll("#services code"), text),
      choices: Array.from(find("#service").options, (option) => option.textContent),
      transports: Array.from(find("#transport").options, (option) => [option.value, option.disabled]),
      transport: find("#transport").value,
      status: text(find("#status")),
      notice: text(find("#notice")),
      focus: document.activeElement.id,
      width: [document.documentElement.scrollWidth, window.innerWidth],
      unlabelled: Array.from(document.querySelectorAll("select, textarea, input"))
        .filter((field) => field.labels.length === 0 && visible(field))
        .map((field) => field.outerHTML),
    };
  });
}

function readLog(page) {
  return page.evaluate(() =>
    Array.from(document.querySelectorAll("#log .entry"), (entry) => ({
      kind: entry.dataset.kind,
      text: entry.querySelector(".text").textContent,
      markup: entry.querySelector(".text").childElementCount,
      time: entry.querySelector("time").dateTime,
    }))
  );
}

// Goes on with the tabulator key until the wanted element has the focus.
async function tabTo(page, id) {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await page.evaluate((wanted) => document.activeElement.id === wanted, id)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`#${id} cannot be reached by the tabulator key`);
}

async function press(page, id, order) {
  if (!order.keyboard) {
    await page.click(`#${id}`);
    return;
  }
  await tabTo(page, id);
  await page.keyboard.press("Enter");
}

async function visit(page, order) {
  await page.click("#clear");
  if (order.row) {
    await page.click(`[data-service="${order.service}"]`);
  } else {
    await page.selectOption("#service", order.service);
    await page.selectOption("#transport", order.transport);
    if (order.keyboard) await page.evaluate(() => document.activeElement.blur());
    await press(page, "connect", order);
  }
  if (order.until === "received") {
    await page.waitForSelector("#status[data-state=open]");
    const open = await look(page);
    for (const text of order.type) {
      if (order.keyboard) {
        await tabTo(page, "message");
        await page.keyboard.insertText(text);
        await page.keyboard.press("Enter");
      } else {
        await page.fill("#message", text);
        await page.click("#send");
      }
    }
    await page.waitForFunction(
      (count) => document.querySelectorAll("#log [data-kind=received]").length >= count,
      order.type.length || 1
    );
    await press(page, "disconnect", order);
    await page.waitForSelector("#status[data-state=closed]");
    return { open, log: await readLog(page), after: await look(page) };
  }
  await page.waitForSelector("#status[data-state=closed]");
  return { open: null, log: await readLog(page), after: await look(page) };
}

async function main() {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const job = JSON.parse(input);
  const browser = await chromium.launch({
    executablePath: job.browser,
    // The browser refuses to run for the superuser inside its sandbox.
    args: process.getuid() === 0 ? [...ARGUMENTS, "--no-sandbox"] : ARGUMENTS,
  });
  const answer = { errors: [], dialogs: 0, hosts: [], visits: [] };
  const page = await browser.newPage({
    viewport: { width: job.width || 1280, height: job.height || 860 },
    colorScheme: job.colorScheme || "light",
  });
  page.setDefaultTimeout(job.patience * 1000);
  try {
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
    await page.goto(job.url);
    await page.waitForSelector("#connect:enabled");
    answer.start = await look(page);
    for (const order of job.visits) answer.visits.push(await visit(page, order));
    if (job.screenshot) await page.screenshot({ path: job.screenshot, fullPage: true });
    process.stdout.write(JSON.stringify(answer));
  } catch (error) {
    // What the page complained of, and what it showed, mostly say why.
    console.error(JSON.stringify({ errors: answer.errors, shown: await look(page), log: await readLog(page) }, null, 1));
    throw error;
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
