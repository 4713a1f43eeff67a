"""The page: what it says, what it draws, and that it opens in a real browser without asking anything of the network."""

from __future__ import annotations

import html
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from page_fixture import UNITS, make_run

from reports import evidence, page, quantities, theme
from reports.figures import quotes as quotes_module
from reports.figures.attribution import attribution
from reports.figures.designs import designs_figure
from reports.figures.inventory_fan import inventory_fan
from reports.figures.loss import loss_distribution
from reports.figures.markouts import markouts
from reports.figures.pnl_fan import pnl_fan
from reports.figures.training import training_curve
from reports.folder import Estimate, Limits, NotARun, open_run
from reports.markup import Markup, tag

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
NASTY = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """Five dealers, one learner with a limit on its tail, an exact optimum; a design that is watched, one that is not."""
    folder = tmp_path_factory.mktemp("runs") / "desk"
    return make_run(folder, designs=("base", "unwatched"), governed=("base",), constrained=True, episodes=600)


@pytest.fixture(scope="module")
def desk_page(desk) -> str:
    return page.write(desk).read_text()


@pytest.fixture(scope="module")
def ablation(tmp_path_factory) -> Path:
    """Two designs, two seeds, three dealers of whom two learn, no optimum."""
    names = ("dealer_0", "dealer_1", "dealer_2")
    folder = tmp_path_factory.mktemp("runs") / "ablation"
    return make_run(
        folder,
        designs=("base", "bold"),
        seeds=(9, 10),
        dealers=names,
        learners=names[::2],
        exact=False,
        episodes=300,
        steps=24,
    )


@pytest.fixture(scope="module")
def ablation_page(ablation) -> str:
    return page.write(ablation).read_text()


# --- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "places"),
    [(40.1, 42.3, 1), (33.2, 41.2, 0), (4.043, 4.153, 2), (-0.002, 0.002, 4), (1000, 3000, 0)],
)
def test_digits_follow_the_interval(low, high, places):
    assert quantities.decimals([Estimate((low + high) / 2, low, high)]) == places


def test_numbers_as_written():
    assert quantities.write(-1234.5, 1) == "\N{MINUS SIGN}1,234.5"
    assert quantities.write(-0.04, 1) == "0.0"
    assert quantities.write(math.nan, 1) == quantities.NOTHING
    assert quantities.write(2.0, 0, plus=True) == "+2"
    assert [quantities.short(x) for x in (12.0, 0.03125, 2e-5)] == ["12", "0.0312", "2.0e\N{MINUS SIGN}05"]
    assert quantities.money(UNITS) == "bp × 1M EUR" and quantities.money({}) == "price × lots"
    assert quantities.shortened("avellaneda_stoikov_7", 12) == "avellan…ov_7"


def test_markup_escapes_text_and_attributes():
    assert tag("td", NASTY, title='a"b') == Markup(f'<td title="a&quot;b">{html.escape(NASTY)}</td>')
    assert tag("p", [tag("b", "x"), None, "<"]) == "<p><b>x</b>&lt;</p>"


# --- the folder ------------------------------------------------------------------------------------


def test_folder_reads_limits_as_the_design_has_them(ablation):
    run = open_run(ablation)
    assert run.designs["base"].limits("dealer_0") == Limits(9.0, 12.0)
    assert run.designs["bold"].limits("dealer_0") == Limits(math.inf, 12.0)  # its own taken away, the market's stays
    assert run.designs["bold"].limits("dealer_1") == Limits(9.0, 12.0)
    assert [seed.name for seed in run.designs["base"].seeds] == ["9", "10"]
    assert set(run.designs["base"].table("episodes", "dealer_0")["seed"]) == {"9", "10"}
    assert run.designs["base"].seeds[0].path.parent.name == "base"


def test_folder_missing_tables_are_none(tmp_path):
    run = open_run(make_run(tmp_path / "run", episodes=20, steps=4, without=("quotes", "episodes")))
    design = run.designs["base"]
    assert design.table("quotes") is None and design.table("episodes") is None and design.table("steps") is not None
    assert evidence.objectives(design, "learner") == [] and evidence.at_limit(design, "learner") == 0.0


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no summary.json"), ("{", "JSON"), ("[]", "object is expected")]
)
def test_folder_that_is_no_run(tmp_path, content, message):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(NotARun, match=message) as caught:
        page.write(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.html*")) and not list(tmp_path.glob(".report*"))


def test_evidence_counts_what_is_at_an_edge(tmp_path):
    folder = make_run(tmp_path / "run", episodes=20, steps=4)
    table = folder / "base" / "7" / "steps.parquet"
    steps = pd.read_parquet(table)
    steps["bid"], steps["ask"] = 1.2, 0.5
    steps.to_parquet(table)
    run = open_run(folder)
    doubt = next(d for d in evidence.doubts(run, run.designs["base"], "learner") if d.topic == "clipped")
    assert doubt.sentence.startswith(
        "50% of its sampled quotes stand at an end of the allowed \N{MINUS SIGN}0.200 to 1.20"
    )


# --- figures ---------------------------------------------------------------------------------------


def fan_table(**levels) -> pd.DataFrame:
    rows = {"step": [0, 1, 2], "dealer": "learner", "seed": "7"}
    for quantity in ("pnl", "inventory"):
        for level, scale in zip(("05", "25", "50", "75", "95"), (-2.0, -1.0, 0.5, 1.0, 2.0), strict=True):
            rows[f"{quantity}_{level}"] = np.array([0.0, 1.0, 2.0]) * scale
    return pd.DataFrame({**rows, **levels})


def labels(figure) -> list[str]:
    return [re.sub(r"<.*?>", "", annotation.text) for annotation in figure.layout.annotations]


def test_fans_draw_their_quantiles_and_label_their_ends():
    figure = pnl_fan(fan_table(), "learner", None, UNITS)
    assert [list(trace.y) for trace in figure.data][:2] == [[0, 2, 4], [0, -2, -4]]
    assert set(labels(figure)) == {"95% 4.0", "median 1.0", "5% \N{MINUS SIGN}4.0"} or "median 1" in labels(figure)
    assert pnl_fan(fan_table(), "nobody", None, UNITS) is None
    assert pnl_fan(fan_table(pnl_05=math.nan, pnl_95=math.nan, pnl_50=math.nan), "learner", None, UNITS) is None


def test_inventory_limit_is_drawn_near_and_written_far():
    near = inventory_fan(fan_table(), "learner", Limits(5.0, 8.0), UNITS)
    assert {shape.y0 for shape in near.layout.shapes} >= {8.0, -8.0, 5.0, -5.0}
    assert near.layout.yaxis.range[1] > 8
    far = inventory_fan(fan_table(), "learner", Limits(math.inf, 1000.0), UNITS)
    assert "limit ±1,000, far outside" in labels(far) and far.layout.yaxis.range[1] < 10
    assert "no position limit" in labels(inventory_fan(fan_table(), "learner", Limits(), UNITS))


def test_loss_marks_stand_at_their_values():
    losses = np.arange(-50.0, 50.0)
    figure = loss_distribution(losses, Estimate(45.0), Estimate(47.0), Estimate(49.0), "$")
    assert {45.0, 47.0, 49.0} <= {shape.x0 for shape in figure.layout.shapes}
    bars = figure.data[0]
    assert sum(bars.y) == pytest.approx(1.0)
    warm = np.array(bars.marker.color) == theme.WARM_SOFT
    assert (np.array(bars.x)[warm] > 45).all() and warm.any() and not warm.all()
    assert len(loss_distribution(np.array([3.0]), Estimate(), Estimate(), Estimate(), "$").data[0].x) == 1
    assert loss_distribution(np.array([math.nan]), Estimate(), Estimate(), Estimate(), "$") is None
    assert loss_distribution(np.zeros(100), Estimate(0.0), Estimate(0.0), Estimate(0.0), "$") is not None


def test_quotes_show_learned_and_optimal_of_the_cell():
    rows = [
        {"dealer": "learner", "source": source, "step": step, "inventory": q, "rival_inventory": math.nan, "side": side,
         "segment": NASTY, "size": 1, "markup": 0.5 + 0.1 * q * sign + (source == "optimal"), "hedge": 0.0}
        for source in ("policy", "optimal") for step in (0, 5, 10) for q in (-1, 0, 1)
        for side, sign in (("bid", 1), ("ask", -1))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    (cell,) = quotes_module.cells(table)
    assert cell == (NASTY, 1.0, 5)
    figure = quotes_module.quotes_figure(table, cell, (-1, 1), "lots")
    assert [list(trace.y) for trace in figure.data] == [
        pytest.approx(y) for y in ([1.4, 1.5, 1.6], [0.4, 0.5, 0.6], [1.6, 1.5, 1.4], [0.6, 0.5, 0.4])
    ]
    assert [trace.line.dash for trace in figure.data] == ["4px 3px", None, "4px 3px", None]
    assert len(quotes_module.quotes_figure(table[table["source"] == "policy"], cell, None, "lots").data) == 2
    assert quotes_module.quotes_figure(table.assign(markup=math.nan), cell, None, "lots") is None


def test_attribution_adds_up_and_charges_costs():
    figure = attribution({"a": {"spread": 10.0, "inventory": -2.0, "hedge_cost": 1.0, "fees": 0.5}}, "$")
    assert [trace.x[0] for trace in figure.data] == [10.0, -2.0, -1.0, -0.5, 6.5]
    assert labels(figure) == ["6.50"]
    assert attribution({"a": {}}, "$") is None


def test_figures_of_nothing_are_none():
    assert markouts({"a": {}}, "a", None) is None
    assert designs_figure({"a": Estimate()}, "$") is None
    assert training_curve(pd.DataFrame({"seed": ["7"], "steps": [1], "kl": [math.nan]}), "kl") is None
    assert training_curve(pd.DataFrame({"seed": ["7"], "steps": [1]}), "kl") is None


def test_labels_keep_their_distance_and_their_order():
    placed = theme.apart([0.0, 0.01, 0.02, 5.0], gap=1.0, top=5.0)
    assert placed == sorted(placed) and np.diff(placed).min() >= 1.0 - 1e-9 and max(placed) <= 5.0


def test_figures_name_only_colours_of_the_palette(desk_page):
    used = set(re.findall(r"var\(--([a-z-]+)\)", desk_page.split('id="figures">')[1].split("</script>")[0]))
    assert used and all(used <= set(palette) for palette in theme.PALETTE.values())
    assert "var(" not in theme.resolve(pnl_fan(fan_table(), "learner", None, UNITS), "dark").to_json()


# --- the page --------------------------------------------------------------------------------------


def test_names_are_never_markup(tmp_path):
    folder = make_run(
        tmp_path / "run",
        name=NASTY,
        dealers=(NASTY, "b&b"),
        learners=(NASTY,),
        episodes=40,
        steps=6,
        governed=("base",),
        constrained=True,
    )
    text = page.write(folder).read_text()
    ours = text.replace(page.get_plotlyjs(), "")
    assert NASTY not in ours and html.escape(NASTY) in ours
    assert ours.count("<script") == ours.count("</script>") == 3
    figures = json.loads(ours.split('id="figures">')[1].split("</script>")[0])
    assert not any("<script" in a["text"] for f in figures.values() for a in f["layout"].get("annotations", []))


def test_page_asks_nothing_of_the_network(desk_page):
    text = desk_page
    ours = text.replace(page.get_plotlyjs(), "")
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?(https?:|//)|@import|url\(|https?://""", ours)
    assert text.count("plotly.js v") == 1
    assert "default-src 'none'" in text


def test_page_is_the_same_every_time(desk, desk_page):
    assert page.compose(open_run(desk)) == desk_page


def test_empty_cell_has_its_reason(ablation_page):
    text = ablation_page
    empty = re.findall(r"<td class=.nothing. .*?</td>|<td [^>]*nothing[^>]*>.*?</td>", text)
    assert empty and all('title="several dealers meet in one market"' in cell and ">–<" in cell for cell in empty)
    assert "provable optimum" not in text


def test_missing_parts_are_left_out_aloud(tmp_path):
    tables = ("quotes", "quantiles", "training", "episodes", "interventions", "steps", "benchmarks")
    folder = make_run(tmp_path / "run", episodes=1, steps=3, trades=False, exact=False, without=tables)
    (folder / "manifest.json").unlink()
    (folder / "experiment.yaml").unlink()
    text = page.write(folder).read_text()
    assert text.count("Left out: no ") == 4
    assert "The run kept no record of the training." in text and "not recorded" in text
    assert not re.search(
        r"\bnan\b|\binf\b|None", text.replace(page.get_plotlyjs(), "").split("<main>")[1].split("</main>")[0]
    )


# --- in the browser --------------------------------------------------------------------------------

FRAME = """<!doctype html><title>waiting</title>
<iframe src="{page}" style="width:{width}px;height:{height}px;border:0"></iframe>
<script>
const frame = document.querySelector("iframe");
const timer = setInterval(() => {{
  const page = frame.contentDocument;
  if (page?.documentElement?.dataset.ready !== "true") return;
  clearInterval(timer);
  const shown = page.querySelector(".view:not([hidden])");
  const count = (query) => shown.querySelectorAll(query).length;
  const beyond = (e) => !e.closest("svg, [hidden], .plot") && e.getBoundingClientRect().right > {width} + 1;
  const wide = [...page.querySelectorAll("body *")].filter(beyond).map((e) => e.outerHTML.slice(0, 80));
  const drawn = (p) => p.querySelector(".main-svg .trace");
  const found = {{
    verdict: shown.querySelector(".verdict").textContent, rows: count(".dealers tbody tr"),
    four: [...shown.querySelectorAll(".four .plot")].filter(drawn).length,
    plots: count("[data-figure]"), drawn: count(".js-plotly-plot"),
    doubts: count(".doubts li"),
    heads: [...shown.querySelectorAll("h2")].map((e) => e.textContent).filter((t) => /^(Gov|Acc)/.test(t)), overflow: page.documentElement.scrollWidth - {width}, wide,
    screen: Math.round(shown.querySelector(".doubts").getBoundingClientRect().bottom),
    theme: page.documentElement.dataset.theme, dealer: shown.dataset.dealer, design: shown.dataset.design,
    paper: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
  }};
  const answer = {{ id: "found", textContent: JSON.stringify(found) }};
  document.body.append(Object.assign(document.createElement("pre"), answer));
}}, 50);
</script>"""


def look(report: Path, folder: Path, width: int, height: int, fragment: str = "") -> tuple[dict, list[str]]:
    """Open the page in a frame of that size. Returns what is found there, and the console's complaints."""
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(page=report.as_uri() + fragment, width=width, height=height))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions",
        "--allow-file-access-from-files", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000",
        "--dump-dom", f"--user-data-dir={folder / f'profile-{width}'}", f"--window-size={width + 100},{height + 100}",
        frame.as_uri(),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        dom, log = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, log[-2000:]
    match = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert match, "the page never said that it was ready\n" + "\n".join(consoled(log))
    return json.loads(html.unescape(match[1])), consoled(log)


def consoled(log: str) -> list[str]:
    """What the page wrote to the console: errors, refused requests, warnings."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page was not opened in a browser")


@needs_browser
def test_opens_on_a_desk_screen(desk, desk_page, tmp_path):
    found, console = look(desk / "report.html", tmp_path, 1440, 900)
    assert console == []
    assert found["verdict"].startswith("learner earned ") and "provable optimum" in found["verdict"]
    assert found["rows"] == 5 and found["four"] == 4 and found["doubts"] >= 2
    assert found["drawn"] == found["plots"] > 11
    assert found["heads"] == ["Acceptance", "Governance"]
    assert found["overflow"] <= 0 and found["wide"] == []
    assert found["screen"] <= 900  # the verdict, the table, the figures and the doubts, without scrolling


@needs_browser
def test_governance_fits_a_telephone(desk, desk_page, tmp_path):
    found, console = look(desk / "report.html", tmp_path, 390, 844, "#theme=dark")
    assert console == []
    assert found["heads"] == ["Acceptance", "Governance"] and found["drawn"] == found["plots"]
    assert found["overflow"] <= 0 and found["wide"] == []


@needs_browser
def test_opens_on_a_telephone_in_the_dark(ablation, ablation_page, tmp_path):
    found, console = look(ablation / "report.html", tmp_path, 390, 844, "#theme=dark&design=bold&dealer=dealer_2")
    assert console == []
    assert (found["design"], found["dealer"], found["theme"]) == ("bold", "dealer_2", "dark")
    assert found["rows"] == 3 and found["four"] == 4
    assert found["overflow"] <= 0 and found["wide"] == []
    red, green, blue = (int(part) for part in re.findall(r"\d+", found["paper"])[:3])
    assert max(red, green, blue) < 40


def test_designs_are_compared_with_what_they_reward(ablation_page):
    text = ablation_page.split('class="comparison"')[1].split("</table>")[0]
    assert text.count("<figure>") == 8  # four figures for each of two learners
    assert "bold less base<small>pnl + 0.01 inventory_penalty</small>" in text
    assert len(re.findall(r"class=.(?:better|worse|level)", text)) == 3


@needs_browser
def test_a_broken_page_is_noticed(desk_page, tmp_path):
    """The tests above can fail: a request and an error are both seen."""
    report = tmp_path / "broken.html"
    bad = '<script src="https://example.invalid/x.js"></script><script>console.error("broken")</script></body>'
    report.write_text(desk_page.replace("</body>", bad))
    _, console = look(report, tmp_path, 1440, 900)
    assert any("broken" in line for line in console)
    assert any("example.invalid" in line for line in console)
