// The list: names the units of which this browser holds grades that the server has not.
"use strict";

const told = document.getElementById("unsent");
const codes = new Set(Object.keys(localStorage)
  .filter((key) => key.startsWith(told.dataset.prefix))
  .map((key) => key.slice(told.dataset.prefix.length).split(":")[0]));
told.hidden = !codes.size;
for (const code of codes) {
  const link = document.createElement("a");
  link.href = `/units/${code}`;
  link.textContent = code;
  told.append(" ", link);
}
