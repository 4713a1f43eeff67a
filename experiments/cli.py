"""The command line: each verb hands its words to a function of the same name and prints what comes back."""

from __future__ import annotations

import json as json_format
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a market maker, attack it, measure it against the provable optimum, and fence it in.",
)

Source = Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or a name in the gallery.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change a key, as in train.steps=200_000. Repeatable.")
]
Seed = Annotated[int | None, typer.Option(help="The evaluation's seed, instead of the file's.")]
Plugins = Annotated[bool, typer.Option("--allow-plugins", help="Policies may be code that is imported.")]
Who = Annotated[str, typer.Option("--as", metavar="NAME", help="Who answers.")]
Key = Annotated[Path | None, typer.Option(metavar="FILE", help="The key file to sign with.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def run(
    file: Source,
    out: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    set: Set = [],  # noqa: B006  typer's way to say that nothing was given
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    allow_plugins: Plugins = False,
    json: Json = False,
) -> None:
    """Train, measure and report an experiment."""
    import experiments

    done = experiments.run(file, set=set, seed=seed, out=out, resume=resume, allow_plugins=allow_plugins)
    if json:
        _print_json({"folder": str(done.path), "digest": done.digest, "summary": done.summary})
    else:
        print(done.page)
        print(done.verdict)


@app.command()
def new(file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Write a commented experiment to start from."""
    from experiments.new import new

    print(f"{new(file)}: edit it, then marketsim validate {file} and marketsim run {file}")


@app.command()
def validate(
    file: Source,
    set: Set = [],  # noqa: B006
    seed: Seed = None,
    allow_plugins: Plugins = False,
    json: Json = False,
) -> None:
    """Say what to expect of an experiment before it is run."""
    from experiments.validate import validate

    remarks = validate(file, set=set, seed=seed, allow_plugins=allow_plugins)
    _print_json({"remarks": remarks}) if json else print("\n".join(remarks))


@app.command()
def schema() -> None:
    """Print the JSON schema of an experiment file."""
    from experiments.schema import schema

    _print_json(schema())


@app.command()
def report(folder: Folder) -> None:
    """Write the page of a run again."""
    from experiments.report import report

    print(report(folder))


@app.command()
def compare(folders: Annotated[list[Path], typer.Argument(metavar="RUN...")], json: Json = False) -> None:
    """Compare designs, or runs of one market, by paired differences."""
    from experiments.compare import compare

    compare(folders, json)


@app.command()
def stress(
    folder: Folder,
    overlay: Annotated[
        list[str], typer.Option(metavar="NAME", help="One overlay, or A+B for both at once; default all. Repeatable.")
    ] = [],  # noqa: B006  typer's way to say that nothing was given
    episodes: Annotated[int | None, typer.Option(min=2, help="Of each training seed under each overlay.")] = None,
    json: Json = False,
) -> None:
    """Play a run's policies again while something goes wrong."""
    from experiments.stress import stress

    stress(folder, overlay, episodes, json)


@app.command()
def drill(
    file: Source,
    set: Set = [],  # noqa: B006
    seed: Seed = None,
    allow_plugins: Plugins = False,
    json: Json = False,
) -> None:
    """Try every control on an experiment's market; exit code 1 where one does not hold."""
    from experiments import drill as drilled

    done = drilled.drill(file, set=set, seed=seed, allow_plugins=allow_plugins)
    _print_json(drilled.as_tree(done)) if json else drilled.show(done)
    if drilled.failed(done):
        sys.exit(1)


@app.command("policy-map")
def policy_map(
    folder: Folder,
    dealer: Annotated[str, typer.Argument(metavar="DEALER")],
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of printing.")] = None,
) -> None:
    """Print a dealer's quotes and hedge by step and inventory, as CSV."""
    from experiments.policy_map import policy_map

    policy_map(folder, dealer, out)


@app.command("audit-reward")
def audit_reward(
    file: Source,
    out: Annotated[Path, typer.Option(help="Where the audit's folder is made.")] = Path("runs"),
    set: Set = [],  # noqa: B006
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Train, and say whether the reward leads where the true objective does not."""
    from experiments.audit_reward import audit_reward

    audit_reward(file, set=set, seed=seed, out=out, json=json)


@app.command()
def realism(
    source: Annotated[
        str, typer.Argument(metavar="RUN|FILE", help="A market with a book: YAML, gallery name or run; or market data.")
    ],
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Tapes of a simulated market, of seeds 1, 2, ...")] = 5,
    steps: Annotated[int, typer.Option(min=1, max=10**8, help="Of the market, in each of them.")] = 100_000,
    require: Annotated[
        list[str], typer.Option(metavar="FACT", help="Exit code 1 where it does not pass on every tape. Repeatable.")
    ] = [],  # noqa: B006  typer's way to say that nothing was given
    out: Annotated[Path | None, typer.Option(metavar="PAGE", help="Write a page (HTML) with figures.")] = None,
    json: Json = False,
) -> None:
    """Hold a market against the stylised facts of real ones."""
    from experiments.realism import realism

    if not realism(source, range(1, seeds + 1), steps, require, out, json):
        sys.exit(1)


@app.command()
def inbox(
    folder: Folder,
    acknowledge: Annotated[int | None, typer.Option(metavar="CASE", help="Say that this case has been seen.")] = None,
    who: Annotated[str, typer.Option("--as", metavar="NAME", help="Who has seen it.")] = "",
    key: Key = None,
    json: Json = False,
) -> None:
    """Show the cases of a run that wait for people."""
    from experiments.desk import inbox
    from experiments.desk.case import lines

    if acknowledge is not None:
        print(inbox.acknowledge(folder, acknowledge, who, key))
        return
    waiting = inbox.inbox(folder)
    if json:
        _print_json(waiting)
    else:
        print("\n".join([line for case in waiting["cases"] for line in lines(case)] or ["no case is open"]))
        print(waiting["identity"])
        if waiting["over"]:
            print("the run is over and takes no answers any more")


@app.command()
def decide(
    folder: Folder,
    case: Annotated[int, typer.Argument(metavar="CASE")],
    option: Annotated[str, typer.Argument(metavar="OPTION")],
    who: Who,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the decision.")],
    key: Key = None,
) -> None:
    """Choose one of the options of a case."""
    from experiments.desk.decide import decide

    print(decide(folder, case, option, who, reason, key))


@app.command()
def kill(
    folder: Folder,
    who: Who,
    dealer: Annotated[str | None, typer.Option(metavar="NAME", help="This dealer alone.")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "no reason given",
    key: Key = None,
) -> None:
    """Stop a dealer of a run, or all of them. Anyone may."""
    from experiments.desk.kill import kill

    print(kill(folder, who, reason, dealer, key))


keys = typer.Typer(help="Make the key that an approver signs with.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("new")
def new_key(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Write NAME.key, which nobody else may read."""
    from experiments.desk.keys import new

    path, fingerprint = new(name)
    print(f"{path}: fingerprint {fingerprint}")


audit = typer.Typer(help="Verify a run's audit file, or have it told in sentences.", no_args_is_help=True)
app.add_typer(audit, name="audit")
AuditFile = Annotated[Path, typer.Argument(metavar="RUN|FILE", help="The folder of a run, or an audit file.")]


@audit.command()
def verify(
    file: AuditFile,
    head: Annotated[str | None, typer.Option(metavar="HASH", help="The head that was kept elsewhere.")] = None,
) -> None:
    """Say whether the file is as it was written; exit code 1 where it is not."""
    from experiments.audit import verify

    verdict = verify(file, head)
    print(verdict.sentence) if verdict.consistent else _fail(f"{file}: {verdict.sentence}", 1)


@audit.command()
def show(
    file: AuditFile,
    case: Annotated[int | None, typer.Option(metavar="N", help="This case alone.")] = None,
) -> None:
    """Tell what happened, a sentence a row."""
    from experiments.audit import show

    print("\n".join(show(file, case)))


@app.command()
def feed(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="LOBSTER, hftbacktest or CSV; or a folder of two.")],
    book: Annotated[Path | None, typer.Option(metavar="FILE", help="LOBSTER's book file, to check against.")] = None,
    tick: Annotated[float | None, typer.Option(help="Price units of a tick; found where not given.")] = None,
    lot: Annotated[float | None, typer.Option(help="Size units of a lot; found where not given.")] = None,
    json: Json = False,
) -> None:
    """Say what a file of limit-order data holds, and whether the matching engine follows it."""
    from experiments.feed import feed, lines

    found = feed(file, book, tick, lot)
    _print_json(found) if json else print("\n".join(lines(found)))


calibrate = typer.Typer(help="Estimate the parameters of a market from data.", no_args_is_help=True)
app.add_typer(calibrate, name="calibrate")


@calibrate.command()
def tape(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As marketsim feed reads it, quotes and trades.")],
    book: Annotated[Path | None, typer.Option(metavar="FILE", help="LOBSTER's book file.")] = None,
    trades: Annotated[Path | None, typer.Option(metavar="FILE", help="The trades, where FILE is of quotes.")] = None,
    tick: Annotated[float | None, typer.Option(help="Price units of a tick; found where not given.")] = None,
    lot: Annotated[float | None, typer.Option(help="Size units of a lot; found where not given.")] = None,
    farthest: Annotated[
        float | None, typer.Option(metavar="D", help="Fit A and k up to this distance from the mid.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the market block here, as YAML.")] = None,
    json: Json = False,
) -> None:
    """Volatility, arrivals and their decay, Hawkes and zero-intelligence rates, with standard errors."""
    from experiments import calibrate as calibration

    done = calibration.calibrate(file, book, trades, tick, lot, farthest, out)
    _print_json(calibration.as_tree(done)) if json else calibration.show(done)


@app.command()
def bench(
    which: Annotated[str, typer.Argument(metavar="[engine|train|start|audit|drift]")] = "engine", json: Json = False
) -> None:
    """Measure how fast this machine runs the market, trains and starts, and how soon drift is seen."""
    from experiments.bench import bench

    bench(which, json)


def _print_json(tree: object) -> None:
    print(json_format.dumps(tree, indent=1))


def _shadow() -> str | None:
    """The line about a package that stands in the way of one of ours: `agents` is a common name."""
    here = Path(__file__).resolve().parent.parent
    for name in ("agents", "marketsim", "reports"):
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != here / name:
            return f"the package {name!r} is {found or 'missing'}, not ours in {here / name}: install into an own environment"
    return None


def main() -> None:
    """Run a verb. Exit code 2 and one line for bad input, 130 for Ctrl-C, 1 where the machine refuses."""
    try:
        shadow = _shadow()
        if shadow:
            _fail(shadow, 2)
        if app(standalone_mode=False) == 130:  # how typer returns from Ctrl-C
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped; the last checkpoint of a run is whole, --resume continues from it", 130)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(f"{what}; what was finished stands, the last checkpoint is whole, --resume continues from it", 1)
    except Exception as error:
        from marketsim.document import InputError

        if isinstance(error, InputError):
            _fail(str(error), 2)
        if hasattr(error, "format_message"):  # the command line itself is wrong
            _fail(f"{' '.join(error.format_message().split())} (marketsim --help)", 2)
        raise


def _fail(line: str, code: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(code)
