"""描いた SVG の中を見るための道具 (helpers of the tests in this folder)。"""

import xml.etree.ElementTree as ET

from micrograd_jp.viz import draw


def parsed(drawing):
    """The SVG as a tree of plain tag names."""
    text = drawing.pipe("svg", encoding="utf-8")
    return ET.fromstring(text.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))


def svg(root, **options):
    return parsed(draw(root, **options))


def texts(element):
    return [text.text or "" for text in element.iter("text")]


def groups(picture, kind):
    """The <g> elements of one class, in the order of the drawing."""
    return [g for g in picture.iter("g") if kind in g.get("class", "").split()]
