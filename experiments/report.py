"""``marketsim report``: write the page of a finished run again."""

from __future__ import annotations

from pathlib import Path

from experiments.finished import open_run
from marketsim.document import InputError
from reports import page
from reports.folder import NotARun


def report(folder: str | Path) -> Path:
    """The path of the page. Raises InputError where the folder holds no finished run."""
    try:
        return page.write(open_run(folder).path)
    except NotARun as error:
        raise InputError(str(error)) from None
