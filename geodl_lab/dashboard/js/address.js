// The page's address: which job it is about. In JupyterLab the address is the notebook's own.
function inVoila() {
  return document.body.dataset.voila !== undefined;
}

function show(job) {
  if (!inVoila()) return;
  const address = new URL(window.location.href);
  if (job) address.searchParams.set("job", job);
  else address.searchParams.delete("job");
  window.history.replaceState(window.history.state, "", address);
}

export default {
  initialize({ model }) {
    const asked = inVoila() ? new URL(window.location.href).searchParams.get("job") || "" : "";
    model.on("change:job", () => show(model.get("job")));
    model.set({ asked, seen: true });
    model.save_changes();
  },
  render({ el }) {
    el.style.display = "none";
  },
};
