"""部屋の図: 文書の表はどの部屋も言い、矢印は下の階へ向かう。"""

import shutil

import house
import pytest

FLOORS = {room: floor for room, (floor, _) in house.rooms().items()}


def test_the_table_names_every_room_and_no_other():
    folders = {path.parent.name for path in house.PACKAGE.glob("*/__init__.py")}
    files = {path.name for path in house.PACKAGE.glob("*.py")} - {"__main__.py"}
    inner = {room for room in FLOORS if "/" in room}  # what stands higher than its own folder
    assert FLOORS.keys() - inner == folders | files
    assert inner == {
        "viz/playground", "optim/swa_utils.py", "compiler/record", "compiler/table",
    }  # fmt: skip
    assert all((house.PACKAGE / room).exists() for room in inner)
    assert [*FLOORS.values()] == sorted(FLOORS.values(), reverse=True)
    assert set(FLOORS.values()) == set(range(13))


def test_every_arrow_goes_down():
    climbing = [
        (here, there) for here, rooms in house.used().items() for there in rooms
        if FLOORS[there] >= FLOORS[here]
    ]  # fmt: skip
    assert climbing == []


def test_what_is_left_out_can_be_reached():
    drawn = house.reduced(whole := house.used())

    def below(room, arrows):
        return arrows[room].union(*(below(other, arrows) for other in arrows[room]))

    assert sum(map(len, drawn.values())) < sum(map(len, whole.values()))
    for room in whole:
        assert below(room, drawn) == below(room, whole)


def test_the_figure_in_the_readme_is_of_this_house():
    if shutil.which("dot"):
        pytest.skip("システムの dot があると配置が少し変わるので比べない")
    drawn = house.draw().pipe("svg")
    same = house.FIGURE.read_bytes() == drawn  # a difference of two SVGs is no message
    assert same, "python demos/house.py で描き直してください"
