"""What a user installs: the wheel in an environment of its own, away from this checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy

ROOT = Path(__file__).parent.parent


def test_the_built_wheel_runs_by_itself(tmp_path):
    """The command, its gallery, its page templates: a fresh environment that borrows only the dependencies."""
    pytest_free = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHONPATH"))}
    home = pytest_free | {"HOME": str(tmp_path)}
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, env=home)
    (wheel,) = tmp_path.glob("dealer_marketsim-*.whl")

    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, env=home)
    # a bare path line, not the editable checkout's own .pth: dependencies are found, this checkout is not
    (site / "dependencies.pth").write_text(f"{Path(numpy.__file__).parent.parent}\n")

    def marketsim(*words: str) -> subprocess.CompletedProcess:
        command = [str(python), "-c", "from experiments.cli import main; main()", *words]
        return subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)

    where = subprocess.run([str(python), "-c", "import marketsim; print(marketsim.__file__)"], cwd=tmp_path, env=home,
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(site)
    said = marketsim("run", "quickstart", "--set", "train.steps=100", "--set", "evaluate.episodes=40")
    assert said.returncode == 0, said.stderr
    (page,) = tmp_path.glob("runs/quickstart-*/report.html")
    assert page.stat().st_size > 1_000_000
