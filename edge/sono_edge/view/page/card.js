// The model card's page: in the theme that was chosen, in the page's language, with Escape as the way back.

import { language, words } from "./strings.js";
import { Theme } from "./theme.js";

const back = document.getElementById("back");
back.textContent = words.back;
back.href = `/?lang=${language}#card`;
document.getElementById("note").textContent = words.note;
document.getElementById("note").lang = language;
back.lang = language;
new Theme(() => {});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") location.assign(back.href);
});
