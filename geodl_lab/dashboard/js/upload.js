// A file that is sent in pieces: Python asks for each, so that no more than one is on its way.
export default {
  render({ model, el }) {
    el.classList.add("geoapp-upload");
    const label = document.createElement("label");
    label.className = "geoapp-upload-button";
    label.textContent = "Upload a raster";
    const input = document.createElement("input");
    input.type = "file";
    input.accept = model.get("accept");
    label.append(input);
    const note = document.createElement("span");
    note.setAttribute("role", "status");
    note.className = "geoapp-upload-note";
    el.append(label, note);
    let file = null;

    function begin(chosen) {
      if (!chosen || model.get("busy")) return;
      file = chosen;
      model.send({ begin: file.name, size: file.size });
    }
    async function piece({ start, size }) {
      try {
        const bytes = await file.slice(start, start + size).arrayBuffer();
        model.send({ piece: start }, undefined, [bytes]);
      } catch (error) {
        model.send({ lost: String(error) });
      }
    }
    function words() {
      note.textContent = model.get("words");
      input.disabled = model.get("busy");
      label.classList.toggle("geoapp-busy", model.get("busy"));
    }

    input.addEventListener("change", () => {
      begin(input.files[0]);
      input.value = "";
    });
    el.addEventListener("dragover", (event) => event.preventDefault());
    el.addEventListener("drop", (event) => {
      event.preventDefault();
      begin(event.dataTransfer.files[0]);
    });
    model.on("msg:custom", (message) => {
      if (message.want && file) piece(message.want);
    });
    model.on("change:words", words);
    model.on("change:busy", words);
    words();
  },
};
