"""Hypothesis: no deadlines (machines are shared), and in CI the same examples every time."""

import os

from hypothesis import settings

settings.register_profile("shared", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("shared")
