// Small helpers: elements, controls, icons. Icons are inline, as no web font may be asked for.

const ICONS = {
  up: "M8 3l5 6H9.5v4h-3V9H3z",
  down: "M8 13L3 7h3.5V3h3v4H13z",
  target: "M8 1v3M8 12v3M1 8h3M12 8h3M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6z",
  measure: "M2 11L11 2l3 3-9 9zM5 8l1.5 1.5M7 6l1.5 1.5M9 4l1.5 1.5",
  save: "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  swipe: "M8 1v14M5 5L2 8l3 3M11 5l3 3-3 3",
  close: "M4 4l8 8M12 4l-8 8",
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function icon(name) {
  const template = document.createElement("template");
  template.innerHTML =
    `<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" ` +
    `stroke="currentColor" stroke-width="1.6"><path d="${ICONS[name]}"/></svg>`;
  return template.content.firstChild;
}

function iconButton(name, label, onclick, attributes = {}) {
  const classes = "geodl-icon";
  return make(
    "button",
    { type: "button", class: classes, title: label, "aria-label": label, onclick, ...attributes },
    icon(name),
  );
}

// A corner's control that keeps clicks, wheels and keys from the map beneath.
function addControl(map, element, position) {
  const L = window.L;
  const Control = L.Control.extend({ onAdd: () => element });
  L.DomEvent.disableClickPropagation(element);
  L.DomEvent.disableScrollPropagation(element);
  element.addEventListener("keydown", (event) => event.stopPropagation());
  return new Control({ position }).addTo(map);
}

function text(buffer) {
  return new TextDecoder().decode(buffer);
}
