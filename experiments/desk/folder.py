"""The ``cases/`` of a run: the only place that knows its files, their names and what is in them. See docs/audit.md."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import store
from experiments.desk.seats import Desk, Seat
from marketsim.guardrails.canonical import parse
from marketsim.yaml_text import InputError

_DESK = "desk.json"
_KILLS = "kill"  # the folder of the answers that belong to no case
_LARGEST = 64 * 1024  # bytes of an answer


@dataclass(frozen=True)
class CasesFolder:
    """The folder ``cases/`` of a run."""

    path: Path

    @classmethod
    def of(cls, run: str | Path) -> CasesFolder:
        """That of a run which asks people: in the folder given, or the only one of its designs; one that still asks
        before those that are over. Raises InputError where there is none, or more."""
        run = Path(run)
        if not run.is_dir():
            raise InputError(f"{run}: {'is not a folder' if run.exists() else 'there is no such folder'}")
        if (run / "cases" / _DESK).is_file():
            return cls(run / "cases")
        inside = [cls(path.parent) for path in sorted(run.glob(f"*/*/cases/{_DESK}"))]
        asking = [folder for folder in inside if not folder.desk().over]
        if len(asking or inside) == 1:
            return (asking or inside)[0]
        if not inside:
            raise InputError(f"{run}: has no cases, a run that asks people makes them")
        names = ", ".join(str(folder.path.parent) for folder in asking or inside)
        raise InputError(f"{run}: several of its designs have cases, name one: {names}")

    # --- cases ---

    def write_desk(self, desk: Desk) -> None:
        self._answers(_KILLS).mkdir(parents=True, exist_ok=True)
        store.write_json(self.path / _DESK, asdict(desk))

    def write_case(self, case: Mapping[str, Any]) -> None:
        self._answers(case["id"]).mkdir(parents=True, exist_ok=True)  # the run's own: it puts answers aside in it
        store.write_json(self.path / f"{case['id']}.json", case)

    def desk(self) -> Desk:
        """Who may answer. Raises InputError where the file is not what a run wrote."""
        tree = _read(self.path / _DESK)
        try:
            return Desk(**(tree | {"seats": tuple(Seat(**seat) for seat in tree["seats"])}))
        except (KeyError, TypeError):
            raise _spoilt(self.path / _DESK) from None

    def cases(self) -> list[dict[str, Any]]:
        """All, closed ones too, by number."""
        numbers = sorted(int(path.stem) for path in self.path.glob("*.json") if path.stem.isdecimal())
        return [_read(self.path / f"{number}.json") for number in numbers]

    def case(self, number: int) -> dict[str, Any]:
        """One that is not closed. Raises InputError."""
        path = self.path / f"{number}.json"
        if not path.is_file():
            numbers = [str(case["id"]) for case in self.cases() if case["state"] != "closed"]
            raise InputError(f"{self.path}: there is no case {number}, open are {', '.join(numbers) or 'none'}")
        case = _read(path)
        if case["state"] == "closed":
            raise InputError(f"{path}: case {number} was closed at step {case['closed']}, {case['outcome']}")
        return case

    # --- answers ---

    def put(self, answer: Mapping[str, Any]) -> Path:
        """Write an answer where the run looks for it. Raises InputError where it has ended."""
        if self.desk().over:
            raise InputError(f"{self.path}: the run is over and takes no answers any more")
        path = (
            self._answers(_KILLS if answer["case"] is None else answer["case"])
            / f"{answer['kind']}-{answer['nonce']}.json"
        )
        store.write_json(path, answer)
        return path

    def waiting(self) -> list[Path]:
        """The answers that lie there, in the order in which they came. Raises OSError where it cannot be looked, or where
        nobody could answer, since it is not said who may."""
        os.stat(self.path / _DESK)
        places = [f"{item.path}/answers" for item in os.scandir(self.path) if item.is_dir(follow_symlinks=False)]
        return [Path(path) for *_, path in sorted(found for place in places for found in _json_files(place))]

    def read(self, path: Path) -> dict[str, Any]:
        """An answer; where it cannot be one, ``{"case", "unreadable": why}``. Whatever lies there, it does not hang."""
        place = path.parent.parent.name
        case = int(place) if place.isdecimal() else None
        try:
            answer = parse(_content(path))
        except OSError:
            return {"case": case, "unreadable": "it cannot be read"}
        except ValueError as error:
            return {"case": case, "unreadable": str(error) if isinstance(error, _NotAnAnswer) else "it is not JSON"}
        if not isinstance(answer, dict):
            return {"case": case, "unreadable": "it is not a map of fields"}
        if answer.get("kind") != "kill" and (case is None or answer.get("case") != case):
            return {"case": case, "unreadable": f"it lies in {place} and is about another case"}
        return answer

    def retire(self, path: Path) -> None:
        """Put an answer aside that has been dealt with. Raises OSError."""
        (path.parent / "taken").mkdir(exist_ok=True)
        path.replace(path.parent / "taken" / path.name)

    def _answers(self, place: str | int) -> Path:
        return self.path / str(place) / "answers"


class _NotAnAnswer(ValueError):
    pass


def _json_files(folder: str) -> Iterator[tuple[int, str, str]]:
    """When it came, its name and path, of each JSON file; those that begin with a dot are still being written."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # nobody was asked
        return
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            path = f"{folder}/{name}"
            yield os.stat(path, follow_symlinks=False).st_mtime_ns, name, path


def _content(path: Path) -> bytes:
    """The bytes of a small plain file: a pipe would hang, a link would lead elsewhere."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise _NotAnAnswer("it is not a plain file")
        if about.st_size > _LARGEST:
            raise _NotAnAnswer(f"it has {about.st_size} bytes, at most {_LARGEST} are allowed")
        return os.read(file, _LARGEST)
    finally:
        os.close(file)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = parse(path.read_bytes())
    except (OSError, ValueError):
        raise _spoilt(path) from None
    if not isinstance(tree, dict):
        raise _spoilt(path)
    return tree


def _spoilt(path: Path) -> InputError:
    return InputError(f"{path}: cannot be read, it must be as the run wrote it")
