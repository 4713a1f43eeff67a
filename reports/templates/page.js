"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const views = [...document.querySelectorAll(".view")];
  const tabs = [...document.querySelectorAll("[data-set]")];
  const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const system = matchMedia("(prefers-color-scheme: dark)");

  const theme = () => (["light", "dark"].includes(state.theme) ? state.theme : system.matches ? "dark" : "light");

  // A figure names colours as the style sheet does; give it the colours of the theme in force.
  function coloured(figure) {
    const style = getComputedStyle(root);
    const text = JSON.stringify(figure).replace(/var\((--[a-z-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    return JSON.parse(text);
  }

  // Draw a figure as large as its place.
  function draw(place) {
    const { data, layout } = coloured(figures[place.dataset.figure]);
    layout.width = place.clientWidth;
    layout.height = place.clientHeight;
    if (layout.width && layout.height) Plotly.react(place, data, layout, { displayModeBar: false });
  }

  function drawAll() {
    for (const place of document.querySelectorAll(".plot")) draw(place);
  }

  function show() {
    root.dataset.theme = theme();
    let shown = views.find((v) => v.dataset.design === state.design && v.dataset.dealer === state.dealer);
    shown ??= views.find((v) => v.dataset.design === state.design) ?? views.find((v) => v.dataset.dealer === state.dealer);
    shown ??= views[0];
    for (const view of views) view.hidden = view !== shown;
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(shown.dataset[tab.dataset.set] === tab.value));
    drawAll();
  }

  function remember() {
    history.replaceState(null, "", "#" + new URLSearchParams(state));
    show();
  }

  for (const tab of tabs) tab.addEventListener("click", () => {
    const shown = views.find((view) => !view.hidden);
    Object.assign(state, { design: shown.dataset.design, dealer: shown.dataset.dealer, [tab.dataset.set]: tab.value });
    remember();
  });
  document.getElementById("theme").addEventListener("click", () => {
    state.theme = theme() === "dark" ? "light" : "dark";
    remember();
  });
  system.addEventListener("change", show);

  // Paper is white and has a width of its own.
  addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    root.classList.add("paper");
    drawAll();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("paper");
    show();
  });

  // A figure follows its place: the window, a change of tabs, paper.
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const { width, height } = target.layout ?? {};
      if (width !== target.clientWidth || height !== target.clientHeight) draw(target);
    }
  });
  for (const place of document.querySelectorAll(".plot")) resized.observe(place);

  show();
  root.dataset.ready = "true";
})();
