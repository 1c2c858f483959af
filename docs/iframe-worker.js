// The site's search without a server. Browsers start no Worker from file://, so there a frame that
// nobody sees takes its place. IFrameWorker is the name that the theme's search asks for; its
// plug-in `offline` would have pages fetch such a script from elsewhere.
"use strict";

if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      this.ready = new Promise((ready) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inside.document.createElement("script");
          script.src = new URL(url, location.href);
          script.onload = () => ready(inside);
          inside.document.body.append(script);
        };
      });
      this.terminate = () => frame.remove();
      frame.hidden = true;
      frame.srcdoc = "<!doctype html>";
      document.body.append(frame);
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
  window.Worker = window.IFrameWorker;
}
