// Elements of the page. All text is set as text: labels are never markup.
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
