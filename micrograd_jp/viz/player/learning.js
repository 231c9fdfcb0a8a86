// The steps of learning, and what is said of them.
function learned(count) {
  play(false);
  const loss = lossOf(now.values);
  const changes = [...state.learned].slice(0, 6).map((j) => `${nameOf(j)} ${brief(state.leaves[j])}`);
  learn(count);
  refresh();
  const after = [...state.learned].slice(0, 6).map((j) => brief(state.leaves[j]));
  say(
    [`${nameOf(LAST)}: ${short(loss)} → ${short(lossOf(now.values))}`,
      changes.map((text, i) => `${text} → ${after[i]}`).join("、"),
      ...(isDiverging(state.losses) ? [DIVERGING] : [])],
    "update", `${count} 歩学習しました（η = ${short(state.rate)}）`,
  );
}

$("learn").addEventListener("click", () => learned(1));
$("learn10").addEventListener("click", () => learned(10));
$("undo").addEventListener("click", () => {
  play(false);
  if (!before.length) {
    say(["まだ学習していないので、戻る先がありません。"], "update", "戻る");
    return;
  }
  undo();
  refresh();
  say([`${nameOf(LAST)} = ${short(lossOf(now.values))}`], "update", "学習の前に戻りました");
});
const rate = $("rate");
rate.max = Math.max(1, 2 * GRAPH.rate);
rate.step = Math.min(0.001, 10 ** Math.floor(Math.log10(GRAPH.rate) - 1));
rate.value = GRAPH.rate;
function setRate() {
  state.rate = Number(rate.value);
  $("rateText").textContent = short(state.rate);
  rate.setAttribute("aria-valuetext", short(state.rate));
}
rate.addEventListener("input", () => {
  setRate();
  refresh();
});
$("accumulate").addEventListener("change", () => {
  state.accumulates = $("accumulate").checked;
  if (!state.accumulates) zeroGrad();
});
function zeroGrad() {
  state.start = {};
  recompute();
  refresh();
}
$("zero").addEventListener("click", () => {
  zeroGrad();
  say(["葉の勾配を 0 にしました。次の逆伝播は 0 から足し始めます。"], "update", "zero_grad");
});
