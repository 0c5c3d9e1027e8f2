/**
 * Elements of the page: building them, and updating only what has changed.
 *
 * The DOM is built with `textContent` only, so that nothing from an event is ever HTML. What did not change is not
 * built again, so that focus, selection and scroll positions survive an update.
 */

export const $ = (selector, parent = document) => parent.querySelector(selector);

/** Return a new element. Properties and children that are null, undefined or false are omitted. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Make the children of *parent* show *items*; the node of an item stays as it is until the item changes. */
export function showItems(parent, items, keyOf, build) {
  const nodes = new Map([...parent.children].map((node) => [node.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const [key, content] = [keyOf(item), JSON.stringify(item)];
    let node = nodes.get(key);
    nodes.delete(key);
    if (node?.content !== content) {
      const built = Object.assign(build(item), { key, content });
      if (node && node === place) place = built;
      if (node) replaceNode(node, built);
      node = built;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of nodes.values()) node.remove();
}

/** Replace a node. If a link or a button in it has the focus, the same one of the new node gets it. */
function replaceNode(node, built) {
  const index = [...node.querySelectorAll("a, button")].indexOf(document.activeElement);
  node.replaceWith(built);
  if (index >= 0) built.querySelectorAll("a, button")[index]?.focus({ preventScroll: true });
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
  if (node.hidden === Boolean(text)) node.hidden = !text; // setting it to what it is would be a change, too
}

/** Offer options, each a value and its text; a chosen value that is not one of them is offered, too. */
export function setOptions(select, options, chosen) {
  const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  showItems(select, all, ([value]) => value, ([value, text]) => element("option", { value, textContent: text }));
  if (select.value !== chosen) select.value = chosen;
}

/** Return a row of a table. Each cell is an array: its class, and what it contains. */
export const tableRow = (properties, ...cells) =>
  element("tr", properties, ...cells.map(([className, ...content]) => element("td", { className }, ...content)));

export const button = (text, onclick, properties = {}) =>
  element("button", { type: "button", className: "link", textContent: text, onclick, ...properties });

/** Copy a text on behalf of a button, which then says so. Without a clipboard, *node* shows the text, selected. */
export async function copyText(text, button, node) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { // browsers have a clipboard only for pages of this machine or over https
    node.textContent = text;
    getSelection().selectAllChildren(node);
    button.textContent = "Selected: press Ctrl+C";
  }
}
