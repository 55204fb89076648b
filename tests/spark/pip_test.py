#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package is installed by pip into a virtual environment, and imported from there, outside the repository.

    pip_test.py       with a python3 that has pyspark, which is the cluster's and not installed with it
"""
import os, shutil, subprocess, sys, sysconfig, tempfile, venv
from pathlib import Path

package = Path(__file__).resolve().parents[2] / "examples" / "spark_executor" / "python"
with tempfile.TemporaryDirectory() as name:
    work = Path(name).resolve()
    shutil.copytree(package, work / "package")  # pip builds beside the sources
    venv.create(work / "venv", with_pip=True)
    python = work / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", work / "package"], check=True)
    shutil.rmtree(work / "package")
    program = "import crema_spark, crema_spark.ml; print(crema_spark.__file__, crema_spark.ml.CremaEstimator.__name__)"
    out = subprocess.run([python, "-c", program], cwd="/", env={**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}, capture_output=True, text=True)
    assert out.stdout.startswith(f"{work}/venv/") and out.stdout.endswith(" CremaEstimator\n"), (out.stdout, out.stderr)
