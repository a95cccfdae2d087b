// Dark or light: as the system has it, until somebody chooses; the choice is kept on this screen.

const KEPT = "sono-theme";
const light = matchMedia("(prefers-color-scheme: light)");

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
}

export class Theme {
  #tell;

  // `tell` hears of each change, and of the first.
  constructor(tell) {
    this.#tell = tell;
    light.addEventListener("change", () => this.#show());
    this.#show();
  }

  get now() {
    const chosen = kept();
    return chosen === "light" || chosen === "dark" ? chosen : light.matches ? "light" : "dark";
  }

  toggle() {
    const other = this.now === "light" ? "dark" : "light";
    try {
      localStorage.setItem(KEPT, other);
    } catch {
      // it holds until the system's theme changes, then follows that
    }
    this.#show(other);
  }

  #show(theme = this.now) {
    document.documentElement.dataset.theme = theme;
    this.#tell(theme);
  }
}
