"""A plain nbgrader course. Everything that is not nbgrader's default stands in grading.py."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
import grading

c = get_config()  # noqa: F821 (traitlets provides it)
c.CourseDirectory.course_id = "learning-to-select"
c.Execute.timeout = 60  # seconds a cell; what takes longer is interrupted and earns nothing
grading.configure(c)
