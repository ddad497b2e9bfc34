"""The reliability diagram of `fgbench.evaluate`, as a figure and as a file."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from fgbench import evaluate
from fgbench.errors import ConfigurationError, StoreError


@pytest.fixture(scope="module")
def assessment():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, size=300)
    seeds = np.clip(p + rng.normal(scale=0.02, size=(3, 300)), 0, 1)
    return evaluate(seeds, (rng.random(300) < p).astype(int), replicates=50)


def test_figure_draws_the_bins_and_their_counts(assessment):
    curve, bars = assessment.plot().axes
    drawn = assessment.diagram.pooled.diagram
    line = max(curve.lines, key=lambda line: len(line.get_xdata()))
    assert np.allclose(line.get_xdata(), drawn.mean_confidence)
    assert np.allclose(line.get_ydata(), drawn.mean_outcome)
    heights = [bar.get_height() for bar in bars.patches]
    assert np.allclose(heights, drawn.counts / 3)
    assert sum(heights) == pytest.approx(300)
    (text,) = (text.get_text() for text in curve.texts)
    summary = assessment["ece_positive"]
    low, high = (f"{end:.3f}".removeprefix("0") for end in summary.ci95)
    assert text.startswith(f"ECE {summary.corrected:.3f}".replace(" 0.", " ."))
    assert f"[{low},\N{NO-BREAK SPACE}{high}]" in text
    assert "300 rows, 3 seeds" in text


def test_multiclass_diagram_is_of_the_top_label():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=200)
    figure = evaluate(p, p.argmax(axis=1), replicates=10).plot()
    assert figure.axes[1].get_xlabel() == "top-label confidence"
    assert figure.axes[0].get_ylabel() == "accuracy"


def test_figure_is_one_column_wide_and_embeds_its_fonts(assessment, tmp_path):
    figure = assessment.plot(tmp_path / "figure.pdf")
    assert figure.get_figwidth() == 3.3
    (page,) = PdfReader(tmp_path / "figure.pdf").pages
    assert float(page.mediabox.width) == pytest.approx(3.3 * 72)
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        (descendant,) = (font.get_object() for font in font["/DescendantFonts"])
        assert descendant["/Subtype"] == "/CIDFontType2"  # TrueType, not Type 3
        assert "/FontFile2" in descendant["/FontDescriptor"]
    sizes = [text.get_fontsize() for axes in figure.axes for text in axes.get_xticklabels()]
    assert min(sizes) >= 7


def test_curve_band_and_bars_differ_in_gray(assessment, tmp_path):
    assessment.plot(tmp_path / "figure.png")
    gray = np.asarray(Image.open(tmp_path / "figure.png").convert("L"))
    colors = {
        name: np.asarray(Image.new("RGB", (1, 1), color).convert("L"))[0, 0]
        for name, color in (("curve", "#0b62a8"), ("band", "#cfe0ef"), ("page", "#ffffff"))
    }
    assert all((gray == level).sum() > 100 for level in colors.values())
    levels = sorted(int(level) for level in colors.values())
    assert min(np.diff(levels)) > 25


@pytest.mark.parametrize("name", ["figure.svg", "figure.pdf", "figure.PNG"])
def test_equal_predictions_give_equal_files_whatever_the_users_style(assessment, tmp_path, name):
    assessment.plot(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "pdf.fonttype": 3}):
        assessment.plot(tmp_path / name)
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / name).read_bytes() == first


def test_groups_widen_the_bands():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, size=100)
    y = (rng.random(100) < p).astype(int)
    once = evaluate(p, y, replicates=5).diagram.pooled
    thrice = np.repeat(p, 3), np.repeat(y, 3)
    grouped = evaluate(*thrice, groups=np.repeat(range(100), 3), replicates=5).diagram.pooled
    alone = evaluate(*thrice, replicates=5).diagram.pooled
    filled = once.diagram.counts > 0
    assert np.allclose(grouped.low[filled], once.low[filled])
    assert np.allclose(grouped.high[filled], once.high[filled])
    assert (alone.high - alone.low)[filled].sum() < (once.high - once.low)[filled].sum()


def test_unusable_plot_is_refused_in_one_sentence(assessment, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"figure.eps: a plot is one of .svg, .pdf, .png"):
        assessment.plot(tmp_path / "figure.eps")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"figure\.png"):
        assessment.plot(tmp_path / "file" / "figure.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'fgbench\[plot\]'"):
        assessment.plot()
