"""A finished run, opened: its folder, its figures, the sentence that its page begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """A finished run. ``path``: its folder, see docs/run-folder.md; ``summary`` and ``manifest``: those files."""

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def page(self) -> Path:
        from experiments import store

        return self.path / store.REPORT

    @property
    def verdict(self) -> str:
        """The page's first sentence: what the first learner of the file itself earned, and whom it beat."""
        from reports.folder import open_run
        from reports.markup import Markup
        from reports.page import subjects
        from reports.view import View
        from reports.words import plain

        run = open_run(self.path)
        design = run.designs["base"]
        return plain(
            View(
                run, design, subjects(run, design.dealers)[0], place=lambda figure, meaning, height=None: Markup()
            ).sentence()
        )

    @property
    def digest(self) -> str:
        """SHA-256 over the values of the result tables: equal for equal experiments on equal versions."""
        return self.manifest["digest"]


def open_run(path: str | Path) -> Run:
    """The run in a folder. Raises InputError where there is none, or it is not finished."""
    from experiments import store
    from marketsim.document import InputError

    path = Path(path)
    try:
        manifest = json.loads((path / store.MANIFEST).read_text(encoding="utf-8"))
        if not manifest["complete"]:
            raise InputError(f"{path}: the run is not finished, --resume continues it")
        summary = json.loads((path / store.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not the folder of a run") from None
    return Run(path, summary, manifest)
