// A browser with many pages, which do what they are told.
//
// Orders come as lines of JSON on standard input, and are carried out at the same time: {id, verb, ...}. Each is answered
// by a line on standard output, {id, answer} or {id, error}. The first order is `launch`; the browser ends when there
// are no more.
//
//   launch {browser, trust}   trust: the hash of the key of a certificate that is to be trusted
//   open {url, patience, beside, info}  opens a page, in a profile of its own or in that of another page, and answers with
//                             its number; what /info is asked for is answered by the browser itself, if `info` is given
//   go {page, url}            has it go to another URL
//   act {page, order}         gives the order, a text, to the page, and answers with what that answers; see talk.js
//   cookies {page}            the cookies of the profile, as [name, value]
//   setCookie {page, cookie}  puts one there
//   clearCookies {page}       takes all away
//   complaints {page}         what the browser has complained of
//   leave {page}              closes the page and its profile, with whatever is in that
"use strict";

const readline = require("readline");
const launch = require("./launch.js");

let browser = null;
const pages = [];

async function go(page, url) {
  await page.goto(url);
  await page.evaluate(() => self.ready);
}

async function enter(context, complaints, url) {
  const page = await context.newPage();
  await go(page, url);
  return pages.push({ context, page, complaints }) - 1;
}

const verbs = {
  async launch({ browser: path, trust }) {
    browser = await launch(path, `--ignore-certificate-errors-spki-list=${trust}`);
    return browser.version();
  },

  async open({ url, patience, beside, info }) {
    if (beside !== undefined) return enter(pages[beside].context, pages[beside].complaints, url);
    const context = await browser.newContext();
    context.setDefaultTimeout(patience * 1000);
    const complaints = [];
    context.on("console", (message) => {
      if (message.type() === "error") complaints.push(`${message.text()} (${message.location().url})`);
    });
    context.on("weberror", (error) => complaints.push(String(error.error())));
    if (info) {
      await context.route(/\/info(\?|$)/, (route) =>
        route.fulfill({
          json: info,
          headers: {
            "Access-Control-Allow-Origin": new URL(url).origin,
            "Access-Control-Allow-Credentials": "true",
          },
        })
      );
    }
    return enter(context, complaints, url);
  },

  go: ({ page, url }) => go(pages[page].page, url),

  act: ({ page, order }) => pages[page].page.evaluate((text) => self.act(text), order),

  async cookies({ page }) {
    const cookies = await pages[page].context.cookies();
    return cookies.map(({ name, value }) => [name, value]);
  },

  setCookie: ({ page, cookie }) => pages[page].context.addCookies([cookie]),

  clearCookies: ({ page }) => pages[page].context.clearCookies(),

  complaints: async ({ page }) => pages[page].complaints,

  leave: ({ page }) => pages[page].context.close(),
};

async function obey(line) {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = { id: order.id, answer: (await verbs[order.verb](order)) ?? null };
  } catch (error) {
    answer = { id: order.id, error: String(error.stack || error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const input = readline.createInterface({ input: process.stdin });
input.on("line", obey);
input.on("close", () => {
  if (browser !== null) browser.close();
});
