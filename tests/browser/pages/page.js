// Makes the page ready for orders, which go to `act`; see talk.js for what they are.
//
// The query of the page says what it is to be: `script` is the name of the sockjs-client to load, `worker` has
// everything happen in a Web Worker of the page instead, and `tell` makes the client say what it thinks of its transports.
"use strict";

(() => {
  const query = new URLSearchParams(location.search);

  function load(source) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = source;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${source} cannot be loaded`));
      document.head.append(element);
    });
  }

  async function inPage() {
    await load("talk.js");
    if (query.has("tell")) self.listen();
    await load(query.get("script"));
    self.act = self.obey;
  }

  function inWorker() {
    const worker = new Worker(`worker.js${location.search}`);
    const waiting = new Map();
    let number = 0;
    worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    worker.onerror = (event) => {
      for (const { reject } of waiting.values()) reject(new Error(event.message));
    };
    self.act = (order) =>
      new Promise((resolve, reject) => {
        number += 1;
        waiting.set(number, { resolve, reject });
        worker.postMessage({ id: number, order });
      });
  }

  self.ready = query.has("worker") ? Promise.resolve().then(inWorker) : inPage();
})();
