// Numbers as text.
function short(x) {
  if (typeof x === "boolean") x = Number(x);
  if (Number.isNaN(x)) return "nan";
  const size = Math.abs(x);
  const [digits, exponent] = size.toExponential(3).split("e");
  let text;
  if (size === Infinity) text = "inf";
  else if (size >= 1e3 && size < 1e7) text = size.toFixed(0);
  else if (size !== 0 && (exponent < -4 || exponent > 3))
    text = `${Number(digits)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  else text = String(Number(size.toPrecision(4)));
  return x < 0 && text !== "0" ? `−${text}` : text;
}

const wrapped = (x) => (short(x).startsWith("−") ? `(${short(x)})` : short(x));
