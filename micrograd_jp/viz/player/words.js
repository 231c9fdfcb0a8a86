// Arrays and formulas as text.
// An array in a few letters: its numbers, or from where to where they go.
function brief(x) {
  if (!isArray(x)) return short(x);
  if (x.length === 1) return short(x[0]);
  if (x.length <= 3) return `[${x.map(short).join(", ")}]`;
  return `${short(Math.min(...x))} 〜 ${short(Math.max(...x))}`;
}

const nameOf = (j) => NODES[j].name;
const gradOf = (j) => `∂${nameOf(LAST)}/∂${nameOf(j)}`;

// A formula of operation j, with {0}, {1}, … and {z} filled in by names or by numbers.
function inNames(words, j) {
  return words.replace(/\{(z|g|\d+)\}/g, (hole, k, at) => {
    if (k === "z") return nameOf(j);
    if (k === "g") return gradOf(j);
    const a = NODES[j].args[k];
    if (typeof a === "number") return nameOf(a);
    return isArray(a.c) ? a.text : enclosed(words, at, hole) ? short(a.c) : wrapped(a.c);
  });
}

// Whether it stands alone, or alone between the brackets and commas of a function.
function enclosed(words, at, hole) {
  const before = words.slice(0, at);
  const after = words.slice(at + hole.length);
  return (before === "" || /[(,] ?$/.test(before)) && /^([),]|$)/.test(after);
}

function inNumbers(words, j, values) {
  const xs = operands(j, values);
  return withNumbers(words, (k) => (k === "z" ? values[j] : xs[k]));
}

// Of arrays there is no line of numbers: the tables show them.
function withNumbers(words, valueOf) {
  let arrays = false;
  const text = words.replace(/\{(z|\d+)\}/g, (hole, k, at) => {
    const x = valueOf(k);
    arrays ||= isArray(x);
    const first = at === 0 && words[hole.length] === " ";
    return arrays ? "" : first || enclosed(words, at, hole) ? short(x) : wrapped(x);
  });
  return arrays ? "" : text;
}

// The formula of node j with its unnamed parts written out, by names and by numbers.
function opened(j, values) {
  const { whole } = NODES[j];
  return [whole.replace(/\{(\d+)\}/g, (_, k) => nameOf(k)), withNumbers(whole, (k) => values[k])];
}

// "a = b = c" without what repeats the part before it.
const equal = (...parts) =>
  parts.filter((part, i) => part && (i === 0 || part !== parts[i - 1])).join(" = ");
