// Buttons, keys and a scrubber that go through numbered steps. The page says which is the last
// (`LAST_STEP`), how long one lasts (`PACE`, in ms), and shows one (`show`, which sets `at`).
let at = 0;
let timer = null;

function go(index) {
  show(index);
  try {
    history.replaceState(null, "", `#step=${at}`);
  } catch {
    // A page inside a sandbox has no address of its own.
  }
}

function play(on) {
  clearInterval(timer);
  timer = null;
  if (on) {
    if (at === LAST_STEP) go(0);
    timer = setInterval(() => {
      go(at + 1);
      if (at === LAST_STEP) play(false);
    }, PACE / Number($("speed").value));
  }
  $("play").setAttribute("aria-label", on ? "一時停止" : "再生");
  $("play").title = on ? "一時停止 (Space)" : "再生 (Space)";
  $("play").classList.toggle("playing", on);
}

const stop = (f) => () => {
  play(false);
  f();
};
const moves = {
  first: () => go(0), previous: () => go(at - 1), next: () => go(at + 1),
  last: () => go(LAST_STEP),
};
for (const [id, move] of Object.entries(moves)) $(id).addEventListener("click", stop(move));
$("play").addEventListener("click", () => play(timer === null));
$("speed").addEventListener("change", () => timer !== null && play(true));
$("scrubber").max = LAST_STEP;
$("scrubber").addEventListener("input", stop(() => go(Number($("scrubber").value))));

const KEYS = { ArrowLeft: "previous", ArrowRight: "next", Home: "first", End: "last" };
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea")) return; // they have keys of their own
  if (event.key === " " && !event.target.closest("button, summary")) play(timer === null);
  else if (KEYS[event.key]) stop(moves[KEYS[event.key]])();
  else return;
  event.preventDefault();
});

const linked = () => Number(/step=(\d+)/.exec(location.hash)?.[1] ?? 0);
addEventListener("hashchange", stop(() => show(linked())));
