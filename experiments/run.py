"""``marketsim run``: train every design and seed, measure them on the same clients, write the page.

The modules that do so are imported inside: `import experiments` and the command line's help must not wait for them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.finished import Run, open_run

if TYPE_CHECKING:
    from experiments.config import Experiment


def run(
    source: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | Iterable[str] | None = None,
    seed: int | None = None,
    out: str | Path = "runs",
    resume: bool = False,
    allow_plugins: bool = False,
) -> Run:
    """Run an experiment: a YAML file, a dict or a name in the gallery.

    ``set``: changes, path -> value. ``seed``: of the evaluation, instead of the file's. ``out``: where the run's folder
    is made. ``resume``: continue a run that was stopped, to the bit-identical result; what is done is not done again.
    ``allow_plugins``: policies may be code that is imported, in a process of its own. Progress goes to stderr.
    Raises InputError with one line, before anything is written, where the experiment cannot be run.
    """
    from experiments import config, store

    experiment = config.load(source, set, seed, allow_plugins)
    path = store.run_folder(experiment, Path(out))
    earlier = _earlier(path, resume)
    if resume and earlier.get("complete"):
        return open_run(path)
    prepare(experiment)
    if not resume:
        for design in earlier.get("designs", ()):
            shutil.rmtree(path / design, ignore_errors=True)
    store.write_json(path / store.MANIFEST, store.manifest(experiment))
    store.write_yaml(path / store.EXPERIMENT, experiment.resolved())
    for design, desk in experiment.designs.items():
        like = trained_alike(experiment, design)
        for training_seed in experiment.training_seeds:
            folder = store.design_folder(path, design, training_seed)
            if resume and (folder / store.DONE).exists():
                continue
            if like is not None:
                _copy_training(store.design_folder(path, like, training_seed), folder)
            _train_and_measure(desk, training_seed, folder, resume or like is not None, design)
            store.write_json(folder / store.DONE, {"complete": True})
    return _conclude(path, experiment)


def prepare(experiment: Experiment) -> None:
    """Compile the step, and find out whether every design can be played at all."""
    from experiments import governance, progress
    from experiments.players import rehearse
    from marketsim.document import InputError, pointed

    with progress.if_slow("compiling the market step, once; up to a minute ..."):
        for desk in experiment.designs.values():
            try:
                rehearse(desk)
                if desk.escalation is not None:
                    governance.ready(desk.escalation)
            except ValueError as error:
                raise error if isinstance(error, InputError) else pointed(experiment.document, str(error)) from None


def _earlier(path: Path, resume: bool) -> dict[str, Any]:
    """The manifest of the same run done before, empty if it is new. Unfinished work is continued, never lost."""
    from experiments import store
    from marketsim.document import InputError

    if not path.exists():
        return {}
    try:
        manifest = json.loads((path / store.MANIFEST).read_text(encoding="utf-8"))
        whole = manifest["complete"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is in the way and is not the folder of a run, move it or choose --out") from None
    if not whole and not resume:
        raise InputError(f"{path}: holds this run unfinished, --resume continues it; delete the folder to begin anew")
    return manifest


def trained_alike(experiment: Experiment, design: str) -> str | None:
    """An earlier design that trains the same policies: then they are trained once."""
    desk = experiment.designs[design]
    names = list(experiment.designs)
    earlier = names[: names.index(design)] if desk.learners else []
    return next(
        (other for other in earlier if _but_escalation(experiment.designs[other]) == _but_escalation(desk)), None
    )


def _but_escalation(desk: Any) -> Any:
    return desk.model_copy(update={"escalation": None})


def _copy_training(source: Path, folder: Path) -> None:
    from experiments import store

    for part in (store.training_folder, lambda place: place / "checkpoints"):
        shutil.copytree(part(source), part(folder), dirs_exist_ok=True)
    folder.joinpath("training.parquet").write_bytes(source.joinpath("training.parquet").read_bytes())


def _train_and_measure(desk: Any, seed: int, folder: Path, resume: bool, design: str) -> None:
    name = f"{design}/{seed}"
    if desk.learners:
        from experiments import training

        training.train(desk, seed, folder, resume, name)
    from agents.objectives import Dual
    from agents.trainer import torch_threads
    from experiments import acceptance, evaluate, progress
    from experiments.players import players

    episodes, sample = desk.evaluate.episodes, desk.evaluate.sample
    asks_here = desk.escalation is not None and desk.escalation.channel == "terminal"
    # a network this small is slower on two threads than on one, and much slower on a busy machine
    with torch_threads(1), progress.task(f"measuring {name}", episodes, "episodes", asks_here) as advance:
        policies = players(desk, folder)
        course = evaluate.Course.of(desk, policies, folder, resume)
        try:
            evaluate.evaluate(desk, policies, folder, desk.seed, episodes, sample, advance, course=course)
        finally:
            course.close()
    if any(Dual(desk.dealer_of[agent].objective).limits for agent in desk.learners):
        with torch_threads(1):
            acceptance.accept(desk, folder, name)


def _conclude(path: Path, experiment: Experiment) -> Run:
    """Summary, digest and page; the manifest last, since it says that the run is complete."""
    from experiments import governance, store
    from experiments.summary import summarise
    from reports import page

    store.write_json(path / store.SUMMARY, summarise(path, experiment))
    digest = store.result_digest(path, experiment)
    pairs = [(design, seed) for design in experiment.designs for seed in experiment.training_seeds]
    heads = governance.heads({f"{design}/{seed}": store.design_folder(path, design, seed) for design, seed in pairs})
    manifest = store.manifest(experiment, digest) | ({"audit_heads": heads} if heads else {})
    store.write_json(path / store.MANIFEST, manifest)
    page.write(path)
    store.write_json(path / store.MANIFEST, manifest | {"complete": True})
    return open_run(path)
