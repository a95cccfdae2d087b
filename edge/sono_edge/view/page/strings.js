// Every word the page says itself. The words of a state come with the scene.

export const words = {
  notRunning: "AI not running",
  starting: "The page is starting",
  attention: "Attention",
  paused: "paused",
  off: "not running",
  ago10: "10 s ago",
  now: "now",
  points: "To look at again",
  noPoints: "None yet",
  seen: "Seen",
  seenNote: "space bar",
  nothingToSee: "nothing new",
  turnOff: "Turn AI off",
  turnOn: "Turn AI on",
  note: "Research prototype, not a medical device",
  simulated: "SIMULATED",
  noLink: "No connection to the device",
  noPicture: "No picture yet",
  refused: "The device does not let this page in: open the address that sono printed",
  pressLost: "That press did not arrive: press again",
  unknownState: "This page does not know the device's state: reload it",
};

export const say = {
  staleFor: (seconds) => `No picture for ${Math.floor(seconds)} s`,
  lastPicture: (seconds) => `Not live: picture from ${Math.floor(seconds)} s ago`,
  ago: (seconds) => {
    if (seconds < 1) return "now";
    if (seconds < 60) return `${Math.floor(seconds)} s ago`;
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
  },
  unseen: (active) => (active ? "in view, not seen" : "not seen"),
  seen: (active) => (active ? "in view, seen" : "seen"),
  notSeen: (count) => `${count} not seen · space bar`,
  fps: (scored, incoming) => `${Math.round(scored)} of ${Math.round(incoming)} fps`,
  latency: (ms) => `latency ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`,
  dropped: (count) => `${count} dropped`,
  outbox: (count) => {
    if (count === 0) return "All alerts sent";
    return count === 1 ? "1 alert waiting to be sent" : `${count} alerts waiting to be sent`;
  },
  model: (bundle, runtime) => [bundle, runtime].filter(Boolean).join(" · "),
};
