"""演習問題: `mg.exercise("4-2").check(答え)` が採点し、何を間違えたのかを言う。"""

from micrograd_jp.exercises.book import exercise as exercise
from micrograd_jp.exercises.book import exercises as exercises
