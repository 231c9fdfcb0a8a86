// All steps as text, and on paper.
const inOneLine = (step) => about(step).map((line) => line.replace(/。?$/, "。")).join(" ");

function listSteps() {
  if ($("every").open)
    $("sentences").replaceChildren(
      ...STEPS.map((step) => make("li", {}, `${title(step)}: ${inOneLine(step)}`)));
}
$("every").addEventListener("toggle", listSteps);

addEventListener("beforeprint", () => {
  const sheets = ["forward", "backward", "update"].map((phase) => {
    const steps = STEPS.filter((step) => step.phase === phase);
    const sheet = make("section");
    const picture = svg.cloneNode(true);
    picture.style.minWidth = ""; // as wide as the paper
    paint(picture, steps[steps.length - 1].index);
    for (const group of picture.querySelectorAll(".now")) group.classList.remove("now");
    const list = make("ol");
    list.append(...steps.map((step) => make("li", {}, inOneLine(step))));
    sheet.append(make("h2", {}, PHASES[phase]), picture, list);
    return sheet;
  });
  $("print").replaceChildren(...sheets);
});
addEventListener("afterprint", () => $("print").replaceChildren());
