// Files that come in pieces over the comm, so that they need no address of their own.
const PIECE = 4 * 1024 * 1024;

export default {
  render({ model, el }) {
    el.classList.add("geoapp-downloads");
    let parts = [];
    let busy = null;

    function draw() {
      el.replaceChildren(
        ...model.get("formats").map(({ ending, label, title }) => {
          const button = document.createElement("button");
          button.type = "button";
          button.className = "geoapp-download";
          button.dataset.ending = ending;
          button.textContent = label;
          button.title = title;
          button.addEventListener("click", () => ask(button, ending));
          return button;
        }),
      );
    }
    function ask(button, ending) {
      if (busy) return;
      busy = { button, label: button.textContent };
      parts = [];
      button.textContent = "preparing";
      button.setAttribute("aria-busy", "true");
      model.send({ open: ending });
    }
    function end(words) {
      if (!busy) return;
      busy.button.textContent = busy.label;
      busy.button.removeAttribute("aria-busy");
      if (words) busy.button.title = words;
      busy = null;
      parts = [];
    }
    function save(name) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts));
      link.download = name;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      end();
    }
    model.on("msg:custom", (message, buffers) => {
      if (!busy) return;
      if (message.failed) return end(message.failed);
      if (buffers && buffers.length) parts.push(new Blob([buffers[0]]));
      if (message.next >= message.size) return save(message.name);
      const done = message.size ? Math.floor((100 * message.next) / message.size) : 0;
      busy.button.textContent = `${done} %`;
      model.send({ piece: message.next, size: PIECE });
    });
    model.on("change:formats", draw);
    draw();
  },
};
