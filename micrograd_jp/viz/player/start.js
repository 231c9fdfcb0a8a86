// As wide as the window, but never so small that the letters cannot be read: then it scrolls.
svg.style.minWidth = `${0.85 * svg.viewBox.baseVal.width}px`;
setRate();
fit();
show(linked());
refresh();
