if (losses.length) drawLosses();
show(linked());
