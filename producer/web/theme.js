// Light or dark, before the first picture: this one runs while the head is read.
"use strict";
(() => {
  const stored = localStorage.getItem("dubline-theme");
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
})();
