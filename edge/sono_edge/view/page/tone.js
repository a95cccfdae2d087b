// One soft tone, once for an alert; silent until somebody switches it on.

const HERTZ = 523;
const LOUD = 0.06;
const SECONDS = 0.35;

// Which alerts are new: each is, once, and those that stood before listening began are not.
export class Once {
  #known = new Set();

  // `alerts` as the scene has them; true when one of them, active and not seen, was not there before.
  fresh(alerts) {
    const news = alerts.filter((line) => !this.#known.has(line.alert));
    news.forEach((line) => this.#known.add(line.alert));
    return news.some((line) => line.active && !line.seen);
  }
}

export class Tone {
  on = false;
  played = 0;
  #once = new Once();
  #audio = null;

  toggle() {
    this.on = !this.on;
    if (this.on) this.#audio ??= new AudioContext(); // only a press may make one
  }

  hear(alerts) {
    if (this.#once.fresh(alerts) && this.on) this.#play();
  }

  #play() {
    this.played += 1;
    const [start, volume] = [this.#audio.currentTime, this.#audio.createGain()];
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(LOUD, start + 0.08);
    volume.gain.linearRampToValueAtTime(0, start + SECONDS);
    const source = new OscillatorNode(this.#audio, { type: "sine", frequency: HERTZ });
    source.connect(volume).connect(this.#audio.destination);
    source.start(start);
    source.stop(start + SECONDS);
  }
}
