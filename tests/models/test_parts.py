"""MONAI is imported without what a job does not need, and nothing is hidden afterwards."""

import subprocess
import sys

from crossmod.models.parts import UNUSED


def test_a_job_does_without_the_packages_of_others():
    code = f"""
import sys
import crossmod.models.parts
assert "monai" in sys.modules
assert not set({UNUSED}) & set(sys.modules), "loaded, or still hidden"
import matplotlib, mlflow
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_in_use_stays():
    code = "import mlflow, sys; import crossmod.models.parts; assert sys.modules['mlflow'] is mlflow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
