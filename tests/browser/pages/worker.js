// The Web Worker of the page: does what page.js hands on.
"use strict";

const query = new URLSearchParams(location.search);
importScripts("talk.js");
if (query.has("tell")) self.listen();
importScripts(query.get("script"));

self.onmessage = async ({ data: { id, order } }) => {
  try {
    self.postMessage({ id, answer: await self.obey(order) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
};
