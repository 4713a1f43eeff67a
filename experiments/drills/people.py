"""Cases, people, identity, faults, the audit file and the drift alarm, tried: in the market where it shows there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agents.cast import Cast
from agents.config import FixedSpec
from agents.policy import Seat, build
from experiments.desk.live import Live
from experiments.drills import rules
from experiments.drills.stand import MARKETS, Control, Play, Stand, expect
from marketsim.batch import MarketBatch
from marketsim.config import Replay
from marketsim.guardrails.audit import Audit, verify
from marketsim.guardrails.case import Case, Decision, Exposure, Finding
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import Approver as Named
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.governor import HELD_TO, Governor, Operator
from marketsim.guardrails.hook import Hook
from marketsim.guardrails.identity import Approver, Approvers, Signed, sign
from marketsim.guardrails.options import OPTIONS
from marketsim.guardrails.states import TABLE, Event, State
from marketsim.guardrails.supplied import Supplied
from marketsim.scenarios import overlay

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HEAD = 64 * "7"


class Desk:
    """A book of one dealer, to which things happen step by step."""

    def __init__(
        self, stand: Stand, record: Callable[[str, dict[str, Any]], None] = lambda kind, body: None, **changes: Any
    ):
        self.escalation: Escalation = stand.escalation.model_copy(update=changes)
        finding = lambda market, dealer, event: Finding(event.name.lower(), "a drill")  # noqa: E731
        exposure = lambda market, dealer: Exposure({}, {})  # noqa: E731
        self.book = CaseBook(self.escalation, [stand.dealer], record, finding, exposure)
        self.now = -1

    def step(self, event: Event = Event.NOTHING) -> State:
        self.now += 1
        self.book.step(self.now, np.array([[event]]))
        return self.state

    @property
    def state(self) -> State:
        return State(self.book.state[0, 0])

    @property
    def case(self) -> Case:
        return self.book.cases[0]

    def decide(self, option: str, who: Named, version: int | None = None) -> str:
        version = self.case.version if version is None else version
        return self.book.decide(Decision(1, version, option, "a drill", who.name, who.role), self.now + 1)


class Nobody:
    def attend(self, book: CaseBook, step: int, drifted: Any) -> None:
        """Nobody answers."""


class Governed(Play):
    """A market under a governor, whose dealer loses as much as its loss limit forbids."""

    supplied: dict[int, Supplied] | None = None  # what the dealer says about itself

    def __init__(
        self,
        stand: Stand,
        operator: Operator | None = None,
        record: Any = lambda kind, body: None,
        more: dict[str, Any] | None = None,
    ):
        venue, sd = stand.venue, float(Play(stand, {}).batch.tables.market["move_sd"][0])
        self.level = 20.0 * (sd or 1.0) + 2.0 * (
            venue.half_spread + 2.0 * venue.slope + venue.fee
        )  # beyond what two lots do
        limits = {"loss": {"hard": self.level, "on_breach": "widen"}, "pace": 2}
        super().__init__(stand, limits | (more or {}))
        self.governor = Governor(
            self.batch, stand.escalation, {self.agent: stand.calibration[stand.agent]}, record, operator or Nobody()
        )
        self.book = self.governor.book
        self.governor.begin()

    def step(self, *arguments: Any, **keys: Any) -> Any:
        self.governor.before()
        return super().step(*arguments, **keys)

    def _seen(self, before: np.ndarray, mid: np.ndarray, step: Any) -> Any:
        self.governor.after(step, self.supplied)
        return super()._seen(before, mid, step)

    def breach(self) -> None:
        """Two lots, a loss of four times the limit, and the step in which the limit sees it."""
        self.step(hedge=2.0)
        self.lose(4.0 * self.level)
        self.step()
        self.step()


def safe_state(stand: Stand) -> State:
    """Where silence leads a dealer that trades."""
    return State(TABLE[State.WARN, OPTIONS[stand.escalation.if_silent].silence])


def kill_switch(stand: Stand) -> str:
    rows: list[tuple[str, dict[str, Any]]] = []
    play = Governed(stand, record=lambda kind, body: rows.append((kind, body)))
    expect(len(play.step(markup=stand.cheap).won) > 0, "it did not quote before")
    play.book.kill("the cleaner", "a drill", play.governor.step)
    step = play.step(markup=stand.cheap)
    expect(len(step.won) == 0, "it traded after the kill")
    expect(play.book.state == State.HALTED, "it is not halted")
    expect(
        any(body.get("what") == "kill" and body["who"] == "the cleaner" for _, body in rows), "nobody is named for it"
    )
    return "somebody who is no approver killed; the next step executed without a quote, and says who it was"


def breach(stand: Stand) -> str:
    play = Governed(stand)
    play.breach()
    expect(np.isin(play.book.state, (State.NORMAL, State.WARN)), "it was restricted before the breach")
    step = play.step(hedge=3.0, markup=stand.cheap)
    expect(play.book.state == State.RESTRICTED, "it is not restricted in the next step")
    expect(step.hedge == 0.0, "it hedged away from flat")
    expect(step.sign * step.before[step.won["market"]] < 0, "it traded away from flat")
    expect(sum(case.cause == "loss" for case in play.book.open) == MARKETS, "not each has its case")
    return "restricted and asked about in the step after a hard breach, and not before"


def agents_word(stand: Stand) -> str:
    own, how = stand.level("reference_distance", {"soft": 1.0})
    for figure, warned in ((own["soft"], False), (1.01 * own["soft"], True), (np.nan, True), (None, True)):
        play = Governed(stand, more={"reference_distance": own})
        figures = {} if figure is None else {"reference_distance": np.full(MARKETS, figure)}
        play.supplied = {play.agent: Supplied({}, figures)}
        play.step()
        expect(play.book.state == State.NORMAL, "it was warned of nothing")
        step = play.step(markup=stand.cheap)
        expect(play.book.state == (State.WARN if warned else State.NORMAL), f"{figure}: {play.book.state[0]}")
        expect(len(step.won) > 0, "an agent's word took its quotes away")
    return f"past its soft level, no number and none at all warn in the next step; at the level it does not ({how})"


def silence(stand: Stand) -> str:
    for acknowledged, within in ((False, stand.escalation.acknowledge_within), (True, stand.escalation.decide_within)):
        desk = Desk(stand)
        desk.step(Event.DRIFT)
        if acknowledged:
            expect(desk.book.acknowledge(1, desk.escalation.approvers[0].name, 0) == "", "it could not be acknowledged")
        while desk.now < within:
            expect(desk.step() == State.WARN, f"the default fired at step {desk.now}, before the deadline")
        expect(desk.step() == safe_state(stand), "the deadline passed and nothing fired")
    return f"{stand.escalation.if_silent} fired in the step after each of both deadlines, not before"


def four_eyes(stand: Stand) -> str:
    first = stand.escalation.approvers[0]
    second = next(a for a in stand.escalation.approvers if a.role != first.role)
    twin = Named(name="a_colleague", role=first.role)
    desk = Desk(stand, approvers=(*stand.escalation.approvers, twin))
    desk.step(Event.HARD_BREACH)
    dealer = desk.decide("resume", Named(name=stand.dealer, role=first.role))
    expect("no agent decides" in dealer, "a dealer let itself go")
    expect(desk.decide("resume", first) == "" and desk.state == State.RESTRICTED, "one person was enough")
    expect("same person" in desk.decide("resume", first), "the proposer approved")
    expect("same role" in desk.decide("resume", twin), "a colleague of the same role approved")
    expect(desk.state == State.RESTRICTED, "it was let go")
    expect(
        desk.decide("resume", second) == "" and desk.state == State.PROBATION, "two people of two roles were refused"
    )
    return (
        "the dealer, the proposer and a colleague of the same role are refused; another role lets it go, on probation"
    )


def probation(stand: Stand) -> str:
    level = 4.0 * max(1.0, np.floor((stand.desk.market.inventory_limit or 20.0) / 4))
    play = Play(stand, {"position": {"hard": level}})
    play.batch.order(play.agent, HELD_TO[State.PROBATION])
    step = play.step(hedge=level)
    expect(step.after <= level / 4, "it took more than a quarter")
    play.batch.order(play.agent, HELD_TO[State.NORMAL])
    expect(play.step(hedge=level).after == level, "released, it does not get its limit back")
    return f"{level / 4:g} lots of {level:g} until it is released"


def late_and_stale(stand: Stand) -> str:
    first = stand.escalation.approvers[0]
    desk = Desk(stand)
    desk.step(Event.DRIFT)
    seen = desk.case.version
    desk.step(Event.HARD_BREACH)
    expect("stale" in desk.decide("keep", first, seen), "a decision about an older state was taken")
    expect("not offered" in desk.decide("dance", first), "something was done that is not offered")
    while desk.now <= desk.escalation.decide_within:
        desk.step()
    late = desk.decide("keep", first, desk.case.lapsed)
    expect("late" in late, "a decision after its deadline was taken")
    expect(desk.decide("keep", first) == "", "a decision in time was refused")
    return "stale, late and unoffered are refused; the same decision on what stands now is taken"


def identity(stand: Stand) -> str:
    first, second = stand.escalation.approvers[:2]
    approvers = Approvers([Approver(first.name, first.role, KEY), Approver(second.name, second.role, OTHER)])
    answer = {"kind": "decide", "case": 1, "version": 1, "head": HEAD, "dealer": None, "option": "keep", "reason": "a drill",
              "nonce": "once", "who": first.name, "role": first.role}  # fmt: skip

    def checked(key: bytes, head: str = HEAD, **changes: Any) -> Any:
        signature = sign(key, answer)
        return approvers.check(answer | {"signature": signature} | changes, head)

    refusals = {
        "forged": (checked(OTHER), checked(KEY, option="resume"), checked(KEY, signature=None)),
        "foreign": (checked(KEY, head=64 * "8"),),
        "not an approver": (checked(KEY, who="mallory"),),
    }
    for why, tried in refusals.items():
        expect([isinstance(got, str) and why in got for got in tried], f"an answer that is {why} was taken")
    good = checked(KEY)
    expect(isinstance(good, Signed) and good.authenticated, "a signed answer was refused")
    expect("replayed" in str(checked(KEY)), "the same answer was taken twice")
    return "another key, another option, no signature, another run, a stranger and a replay are refused; the answer itself is taken"


def hook(stand: Stand) -> str:
    def fails(case: Case) -> Decision | None:
        raise RuntimeError("a drill")

    def hangs(case: Case) -> Decision | None:
        time.sleep(5.0)
        return None

    for function in (fails, hangs):
        desk = Desk(stand)
        desk.step(Event.DRIFT)
        Hook(function, 0.05).attend(desk.book, 1)
        expect(desk.step() == safe_state(stand), f"a hook that {function.__name__} left it {desk.state.name}")
    desk = Desk(stand)
    desk.step(Event.DRIFT)
    Hook(lambda case: None, 5.0).attend(desk.book, 1)
    expect(desk.step() == State.WARN, "a hook without an answer was taken for a fault")
    return f"raising and hanging fire {stand.escalation.if_silent} in that step; having no answer does not"


def full_disk(stand: Stand) -> str:
    full = False

    def record(kind: str, body: dict[str, Any]) -> None:
        if full:
            raise OSError(28, "No space left on device")

    play = Governed(stand, record=record)
    play.breach()
    full = True
    step = play.step(markup=stand.cheap)
    expect(play.book.state == State.HALTED, "it went on although nothing can be recorded")
    expect(len(step.won) == 0, "it traded although nothing can be recorded")
    return "a state change that cannot be written halts everything before that step executes"


def dead_channel(stand: Stand) -> str:
    with stand.folder() as folder, Audit(folder / "audit.jsonl", durable=False) as audit:
        people = Approvers(Approver(a.name, a.role) for a in stand.escalation.approvers)
        walk = stand.escalation.model_copy(update={"pace": "walk"})
        play = Governed(stand, Live(folder, walk, people, audit, [stand.dealer], audit.head), audit.record)
        expect(len(play.step(markup=stand.cheap).won) > 0, "it did not quote before")
        (folder / "cases").rename(folder / "gone")
        step = play.step(markup=stand.cheap)
        expect(play.book.state == State.HALTED, "it went on although nobody can be asked")
        expect(len(step.won) == 0, "it traded although nobody can be asked")
    return "the folder of the cases is gone: everything halts before that step executes"


def audit_file(stand: Stand) -> str:
    with stand.folder() as folder:
        path = folder / "audit.jsonl"
        with Audit(path, durable=False) as audit:
            desk = Desk(stand, audit.record)
            for event in (Event.DRIFT, Event.HARD_BREACH, Event.SEVERE_BREACH):
                desk.step(event)
            head = audit.head
        written = path.read_bytes()
        expect(verify(path, head).complete, "a file that nobody touched was refused")
        lines = written.splitlines(keepends=True)
        edits = {
            "a byte": written.replace(b'"HALTED"', b'"NORMAL"', 1), "a row taken out": b"".join(lines[:1] + lines[2:]),
            "rows cut off": b"".join(lines[:-2]), "rows in another order": b"".join([lines[1], lines[0], *lines[2:]]),
        }  # fmt: skip
        for what, edited in edits.items():
            path.write_bytes(edited)
            expect(edited != written and not verify(path, head).consistent, f"{what}: not found")
    return f"{', '.join(edits)}: all found with the head; the file itself verifies"


def drift(stand: Stand) -> str:
    watch, price = stand.escalation.watch, stand.desk.market.price
    moving = "volatility" in watch and not isinstance(price, Replay)
    name = "volatility_x3" if moving else "drought" if "requests" in watch else "toxicity"
    more = {"begin": 0.0} if name != "drought" else {"begin": 0.0, "length": 1.0}
    every = stand.escalation.false_alarm_every
    planted: Any
    if moving and stand.desk.market.has_book:
        name, planted = "a dealer that sweeps the book", Sweep(stand)
    else:
        planted = overlay(name, stand.desk, **more)
    quiet, steps = _alarms(stand, None, 200)
    expected = MARKETS * steps / every
    expect(len(quiet) <= expected + 4 * np.sqrt(expected) + 3, f"{len(quiet)} alarms in {MARKETS * steps} quiet steps")
    alarms, steps = _alarms(stand, planted, 200)
    first: dict[int, int] = {}
    for step, market in alarms:
        first.setdefault(market, step)
    share = len(first) / MARKETS
    expect(share >= 0.9, f"{name}: {share:.0%} of the markets alarmed within {steps} steps")
    return (
        f"{name}: {share:.0%} alarmed within {steps} steps, half within {np.median(list(first.values())):.0f}; "
        f"{len(quiet)} alarms in {MARKETS * steps} quiet steps"
    )


class Sweep:
    """The planted change of a book, whose mid may hardly follow its value: a dealer takes it out and turns round, every step."""

    def __init__(self, stand: Stand):
        desk = stand.desk
        self.agent = max(i for i in range(len(desk.agents)) if i != stand.agent or len(desk.agents) == 1)
        limit = desk.dealer_of[self.agent].limits.position
        self.lots = min(50.0, limit.hard if limit else np.inf, desk.market.inventory_limit or np.inf)

    def before(self, batch: MarketBatch, t: int) -> None:
        """The rules of the market stay."""

    def quotes(self, batch: MarketBatch, t: int, actions: np.ndarray, quotes: Any) -> Any:
        """It hedges far beyond flat, to one side and then to the other, and quotes nothing."""
        q = batch.state["inventory"][:, self.agent]  # type: ignore[index]
        silent = np.full((batch.markets, *batch.tables.quote_shape), np.nan)
        return {**quotes, self.agent: (silent, self.lots * (1.0 - 2.0 * (t % 2)) - q)}


def _alarms(stand: Stand, planted: Any, at_least: int) -> tuple[list[tuple[int, int]], int]:
    """Steps and markets of the alarms while everyone quotes as in the calibration, and for how many steps they were watched."""
    desk = stand.desk
    records = any(name.startswith("segment_") or name == "cover" for name in stand.escalation.watch)
    batch = MarketBatch(desk, MARKETS, stand.seed, record=records)
    patient = stand.escalation.model_copy(update={"acknowledge_within": 10**6, "decide_within": 10**6})
    governor = Governor(batch, patient, stand.calibration, lambda kind, body: None, Nobody())
    cast = Cast(desk, {i: build(FixedSpec(kind="fixed"), Seat(desk, i)) for i in range(len(desk.agents))})
    actions = np.zeros((MARKETS, len(batch.agents), max(batch.action_widths)), np.float32)
    for episode in range(-(-at_least // batch.steps)):
        observation = batch.reset(episode)
        cast.reset(stand.seed, episode, 0, MARKETS)
        governor.begin()
        for t in range(batch.steps):
            if planted is not None:
                planted.before(batch, t)
            governor.before()
            quotes = cast.play(observation, actions)
            step = batch.step(actions, quotes if planted is None else planted.quotes(batch, t, actions, quotes))
            governor.after(step)
            observation = step.observation
    return [(alarm[0], alarm[1]) for alarm in governor.alarms], governor.step


CONTROLS = (
    Control("kill switch", "anyone kills, while it quotes", rules.KILL, kill_switch),
    Control("restricted on a breach", "a loss past the hard level, and the step before", rules.RESPONSE, breach),
    Control("the agent's own figures", "past the soft level, no number, none, and at the level", rules.MONITOR, agents_word),
    Control("deadlines", "nobody acknowledges; nobody decides; both in time", rules.MONITOR, silence),
    Control("four eyes", "the dealer, one person twice, one role twice, two roles", rules.OVERRIDE, four_eyes),
    Control("probation", "the whole limit on probation, and after it", rules.RETURN, probation),
    Control("late and stale decisions", "past the deadline, of an older state, not offered, and in time", rules.OVERRIDE, late_and_stale),
    Control("identity", "forged, replayed and foreign answers, and a good one", rules.ACCESS, identity),
    Control("hook that fails", "it raises, it hangs, it has no answer", rules.CONTINUITY, hook),
    Control("full disk", "a state change that cannot be written", rules.CONTINUITY, full_disk),
    Control("dead channel", "the folder of the cases is taken away", rules.CONTINUITY, dead_channel),
    Control("audit file", "a byte, a row, the end, the order; and nothing", rules.RECORDS, audit_file),
    Control("drift alarm", "a planted change, and quiet episodes", rules.MONITOR, drift),
)  # fmt: skip
