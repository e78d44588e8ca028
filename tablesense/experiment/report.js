"use strict";
const plots = [...document.querySelectorAll(".plot")];

/** Plotly's JavaScript lies in the page gzipped, as base64. */
async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function draw(plot) {
  const { data, layout } = JSON.parse(plot.parentElement.querySelector("script").textContent);
  const touched = matchMedia("(pointer: coarse)").matches; // there, dragging scrolls the page
  const base = {
    autosize: true,
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", size: 12 },
    hoverlabel: { bgcolor: "#262c33", bordercolor: "#262c33", font: { color: "#fff" } },
    dragmode: touched ? false : "zoom",
  };
  await Plotly.newPlot(plot, data, { ...base, ...layout }, { displayModeBar: false, responsive: true });
}

async function drawAll() {
  try {
    await unpack(document.getElementById("plotly"));
    for (const plot of plots) {
      await draw(plot);
      await new Promise((next) => setTimeout(next)); // the page stays responsive in between
    }
  } catch (error) {
    document.getElementById("undrawn").hidden = false;
    console.error(error);
  }
}

/** Show and hide a line of one chart. */
for (const key of document.querySelectorAll(".keys button")) {
  key.addEventListener("click", () => {
    const plot = key.closest(".chart").querySelector(".plot");
    const shown = key.getAttribute("aria-pressed") === "false";
    const lines = (plot.data ?? []).flatMap((line, i) => (line.name === key.dataset.name ? [i] : []));
    if (lines.length) Plotly.restyle(plot, { visible: shown }, lines);
    key.setAttribute("aria-pressed", shown);
  });
}

/** Show and hide the lines of a run in all charts. */
for (const box of document.querySelectorAll("[data-run]")) {
  box.addEventListener("change", () => {
    for (const plot of plots) {
      const lines = (plot.data ?? []).flatMap((line, i) => (String(line.meta) === box.dataset.run ? [i] : []));
      if (lines.length) Plotly.restyle(plot, { visible: box.checked }, lines);
    }
  });
}

const slider = document.getElementById("score");
slider?.addEventListener("input", () => {
  slider.nextElementSibling.value = Number(slider.value).toFixed(2);
  for (const find of document.querySelectorAll("[data-score]")) {
    find.toggleAttribute("hidden", Number(find.dataset.score) < Number(slider.value));
  }
});

const dialog = document.querySelector("dialog");
for (const button of document.querySelectorAll(".page button")) {
  button.addEventListener("click", () => {
    dialog.lastElementChild.replaceChildren(button.firstElementChild.cloneNode(true));
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

/** On paper two charts stand side by side. */
function resize(width) {
  for (const plot of plots) {
    if (plot.data) Plotly.relayout(plot, { width, autosize: width === null });
  }
}
addEventListener("beforeprint", () => resize(320));
addEventListener("afterprint", () => resize(null));

drawAll();
