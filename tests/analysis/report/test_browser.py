"""The page in a real browser: it draws, sorts, filters, prints, and asks nobody for anything."""

import re
from pathlib import Path
from typing import Any

import pytest

from analysis.report.write import write_report
from tests.analysis.report.browser import Browser

pytestmark = pytest.mark.browser

ROWS = "[...document.querySelectorAll('#all-runs tbody tr:not([hidden])')]"
DRAWN = "document.querySelectorAll('.plot .main-svg').length"


_of_search: list[bytes] = []
"""The page of the search that most tests look at, which is written once."""


def _open_search(browser: Browser, directory: Path, width: int = 1280, mobile: bool = False) -> str:
    if not _of_search:
        _of_search.append(Path(write_report(str(directory))).read_bytes())
    page = directory / "report.html"
    page.write_bytes(_of_search[0])
    return _show(browser, page, width, mobile)


def _open(browser: Browser, directory: Path, width: int = 1280, mobile: bool = False) -> str:
    return _show(browser, Path(write_report(str(directory))), width, mobile)


def _show(browser: Browser, page: Path, width: int, mobile: bool) -> str:
    url = page.as_uri()
    browser.size(width, 900, mobile)
    browser.open(url)
    return url


def _draw_all(browser: Browser) -> None:
    """Scroll to every picture, as they are drawn when they come into view."""
    number = browser.run("document.querySelectorAll('.plot').length")
    for place in range(number):
        browser.run(f"document.querySelectorAll('.plot')[{place}].scrollIntoView()")
        browser.wait(f"document.querySelectorAll('.plot')[{place}].classList.contains('js-plotly-plot')")
    browser.wait(f"{DRAWN} >= {number}")


def _column(browser: Browser, title: str) -> list[str]:
    heads = "[...document.querySelectorAll('#all-runs thead th')].map(th => th.textContent)"
    texts: list[str] = browser.run(f"{ROWS}.map(row => row.cells[{heads}.indexOf('{title}')].textContent)")
    return texts


def _focus(browser: Browser, title: str) -> None:
    find = f"[...document.querySelectorAll('#all-runs button')].find(one => one.textContent === '{title}')"
    browser.run(f"{find}.focus()")


def test_no_request_leaves_the_page_and_the_console_is_empty(browser: Browser, search: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 61.0], tfd=[62.0, 64.0])
    url = _open(browser, search)
    _draw_all(browser)
    assert [address for address in browser.requests if not address.startswith(("data:", "blob:"))] == [url]
    assert browser.complaints == []


def test_a_request_would_be_seen_and_stopped(browser: Browser, search: Path) -> None:
    """What the test above rests on."""
    _open_search(browser, search)
    stopped = browser.run("fetch('https://example.invalid/').then(() => false, () => true)")
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert stopped and browser.run("window.ran === undefined")
    stopped_by = [text for text in browser.complaints if "Content Security Policy" in text]
    assert any("connect-src" in text for text in stopped_by) and any("script-src" in text for text in stopped_by)


def test_every_picture_has_its_marks(browser: Browser, search: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 61.0], tfd=[62.0, 64.0])
    _open(browser, search)
    _draw_all(browser)

    def count(kind: str, selector: str) -> int:
        number: int = browser.run(f"document.querySelectorAll('#picture-{kind} {selector}').length")
        return number

    assert count("landscape", ".contourlayer .contourbg path, .contourlayer .contourfill path") > 0
    assert count("landscape", ".scatterlayer .point") > 12
    assert count("history", ".scatterlayer .point") >= 12
    assert count("parallel", ".scatterlayer .js-line") == 12
    assert count("importance", ".barlayer .point") == 4
    assert count("learning", ".scatterlayer .js-line") > 2
    assert count("ablation", ".scatterlayer .point") > 4
    for kind in ("pareto", "terms", "saliency"):
        assert count(kind, ".scatterlayer path") > 0


def test_a_title_sorts_with_the_keyboard(browser: Browser, search: Path) -> None:
    _open_search(browser, search)
    before = _column(browser, "run")
    _focus(browser, "val_top1")
    browser.press("Enter")
    ascending = [float(text) for text in _column(browser, "val_top1") if text]
    assert ascending == sorted(ascending) and len(set(ascending)) > 5
    assert _column(browser, "val_top1")[-1] == ""  # the run that has no value
    sorts = "[...document.querySelectorAll('#all-runs th[aria-sort]')].map(th => th.textContent + th.ariaSort)"
    assert browser.run(sorts) == ["val_top1ascending"]
    browser.press(" ")
    assert [float(text) for text in _column(browser, "val_top1") if text] == ascending[::-1]
    assert _column(browser, "val_top1")[-1] == ""
    assert browser.run(sorts) == ["val_top1descending"]
    browser.press("Enter")
    assert (_column(browser, "run"), browser.run(sorts)) == (before, [])


def test_texts_sort_with_their_numbers(browser: Browser, tmp_path: Path, write_run: Any) -> None:
    for number in (10, 9, 100):
        write_run(f"run-{number}", seed=number)
    _open(browser, tmp_path)
    _focus(browser, "run")
    browser.press("Enter")
    assert _column(browser, "run") == ["run-9", "run-10", "run-100"]


def test_the_filter_counts_what_it_shows(browser: Browser, search: Path) -> None:
    _open_search(browser, search)
    shown = "document.getElementById('shown').textContent"
    assert browser.run(shown) == "30 runs"
    for text, number in (("pruned", 2), ("COMPLETE baseline", 3), ("trial=3", 2), ("status=stale", 1),
                         ("val_top1>=60 status=complete", None), ("no such thing", 0), ("nothing=0", 0)):  # fmt: skip
        browser.run("document.getElementById('filter').value = ''; document.getElementById('filter').focus()")
        browser.write(text)
        rows = len(_column(browser, "run"))
        assert browser.run(shown) == f"{rows} of 30 runs"
        assert rows == number or number is None
    browser.run("document.getElementById('filter').value = ''; document.getElementById('filter').focus()")
    browser.write("val_top1>=62 status=complete")
    assert min(float(text) for text in _column(browser, "val_top1")) >= 62
    assert browser.run("document.getElementById('shown').ariaLive") == "polite"


def test_the_filter_compares_a_column_in_its_own_type(
    browser: Browser, tmp_path: Path, write_trial: Any, write_sweep: Any
) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 5}, space={"x": "1_1,11,1e3,1000,A"}, path="demo")
    for number, name in enumerate(("1_1", "11", "1e3", "1000", "A")):
        write_trial(number, [60.0 + number], params={"x": name})
    _open(browser, tmp_path)
    for text, trials in (("x=11", ["1"]), ("x=1_1", ["0"]), ("x=1e3", ["2"]), ("x=1000", ["3"]), ("x=a", []),
                         ("trial=1e0", ["1"]), ("trial>=3", ["3", "4"]), ("trial=x", [])):  # fmt: skip
        browser.run("document.getElementById('filter').value = ''; document.getElementById('filter').focus()")
        browser.write(text)
        assert _column(browser, "trial") == trials, text


def test_hostile_names_do_nothing(browser: Browser, troubled: Path) -> None:
    browser.call("Page.setInterceptFileChooserDialog", enabled=False)
    _open(browser, troubled)
    _draw_all(browser)
    assert browser.run("document.querySelectorAll('img, main script:not([type])').length") == 0
    assert browser.complaints == []
    href = browser.run("[...document.links].find(one => one.textContent === 'grid/javascript:2').href")
    assert href == (troubled / "grid/javascript:2").as_uri().replace("javascript:", "javascript%3A") + "/"


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_down_only(browser: Browser, search: Path, width: int) -> None:
    _open_search(browser, search, width, mobile=True)
    _draw_all(browser)
    assert browser.run("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('.plot svg')].filter(one => one.getBoundingClientRect().right > innerWidth)"
    assert browser.run(f"{wide}.length") == 0
    tops = "[...document.querySelectorAll('#picture-learning .xaxislayer-above')].length"
    assert browser.run(tops) > 1
    left = "[...document.querySelectorAll('#picture-learning .plot .cartesianlayer .subplot .gridlayer')]"
    assert browser.run(f"new Set({left}.map(one => Math.round(one.getBoundingClientRect().left))).size") == 1  # stacked


@pytest.mark.slow
def test_pictures_follow_the_colours_of_the_page(browser: Browser, search: Path) -> None:
    browser.scheme("light")
    _open_search(browser, search)
    _draw_all(browser)
    colour = "getComputedStyle(document.querySelector('#picture-history .xtick text')).fill"
    page = "getComputedStyle(document.body).backgroundColor"
    assert (browser.run(colour), browser.run(page)) == ("rgb(31, 35, 40)", "rgb(255, 255, 255)")
    browser.scheme("dark")
    browser.wait(f"{colour} === 'rgb(232, 234, 237)'")
    assert browser.run(page) == "rgb(21, 24, 28)"
    assert "#000000" not in browser.run("document.querySelector('#picture-history .plot').innerHTML")


@pytest.mark.slow
def test_values_have_other_colours_at_night(browser: Browser, search: Path) -> None:
    browser.scheme("dark")
    _open_search(browser, search)
    _draw_all(browser)
    lines = "[...document.querySelectorAll('#picture-parallel .js-line')].map(one => getComputedStyle(one).stroke)"
    found = browser.run(lines)
    assert "rgb(45, 113, 142)" in found and "rgb(253, 231, 37)" in found  # the weakest, and the best
    assert "rgb(68, 1, 84)" not in found
    areas = "document.querySelector('#picture-landscape .contour, #picture-landscape .contourlayer').innerHTML"
    assert "rgb(68, 1, 84)" not in browser.run(areas)


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 360])
def test_titles_of_axes_are_whole_on_a_phone(browser: Browser, search: Path, width: int) -> None:
    _open_search(browser, search, width, mobile=True)
    _draw_all(browser)
    cut = """[...document.querySelectorAll('.plot')].flatMap((plot) => {
      const { left, right } = plot.getBoundingClientRect();
      return [...plot.querySelectorAll('.g-xtitle text, .textpoint text')]
        .filter((one) => one.getBoundingClientRect().left < left || one.getBoundingClientRect().right > right)
        .map((one) => one.textContent);
    })"""
    assert browser.run(cut) == []
    lines = "[...document.querySelectorAll('#picture-importance .g-xtitle tspan')].map(one => one.textContent)"
    found = browser.run(lines)
    assert len(found) > 1 and " ".join(found) == "share of the variation of val_top1"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(browser: Browser, troubled: Path, scheme: str) -> None:
    """WCAG AA: 4.5 to 1, of every text against what is behind it."""
    browser.scheme(scheme)
    _open(browser, troubled)
    contrast = """(() => {
      const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
      const light = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (one) => { for (; one; one = one.parentElement) {
        const colour = getComputedStyle(one).backgroundColor;
        if ((channels(colour)[3] ?? 1) > 0) return colour; } };
      const own = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      return [...document.querySelectorAll('body *:not(script, svg *, noscript)')].filter(own).map((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
        return [Math.round((a + 0.05) / (b + 0.05) * 100) / 100, one.className || one.tagName];
      }).sort((x, y) => x[0] - y[0])[0];
    })()"""
    assert browser.run(contrast)[0] >= 4.5


def test_the_keyboard_gets_to_the_content_and_sees_where_it_is(browser: Browser, search: Path) -> None:
    _open_search(browser, search)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'main'")
    browser.press("Tab")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.wait("document.querySelector('.runs').tabIndex === 0")


REGIONS = "[...document.querySelectorAll('.table[tabindex=\"0\"][role=region]')]"
LABELS = f"{REGIONS}.map((one) => one.ariaLabel)"


def test_tables_that_scroll_are_reached_also_once_unfolded(browser: Browser, search: Path) -> None:
    _open_search(browser, search, 390)
    browser.wait(f"{LABELS}.length >= 3")
    unfolded = f"{LABELS}.some((label) => label.startsWith('What each setting cost: All complete runs'))"
    assert not browser.run(unfolded)  # nothing scrolls in what is closed
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.wait(unfolded)
    labels = browser.run(LABELS)
    assert len(set(labels)) == len(labels) > 4
    assert any(label.startswith("30 runs; a title sorts") for label in labels)


def test_tables_that_fit_after_all_are_passed_over(browser: Browser, tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 61.0], tfd=[62.0, 64.0])
    _open(browser, tmp_path, 390)
    browser.wait(f"{LABELS}.some((label) => label.startsWith('Val top-1'))")
    browser.size(4000, 900)
    browser.wait(f"{REGIONS}.length === 0")
    assert browser.run("document.querySelectorAll('.table[aria-label]').length") == 0
    browser.size(390, 900)
    browser.wait(f"{REGIONS}.length > 0")


def test_the_filter_changes_what_scrolls(browser: Browser, tmp_path: Path, write_run: Any) -> None:
    for seed in range(40):
        write_run(f"run-{seed}", seed=seed)
    _open(browser, tmp_path, 4000)
    browser.wait("document.querySelector('.runs').tabIndex === 0")  # so many rows are higher than the box
    browser.run("document.getElementById('filter').focus()")
    browser.write("seed=7")
    browser.wait("document.querySelector('.runs').tabIndex === -1")


@pytest.mark.slow
def test_paper(browser: Browser, search: Path) -> None:
    browser.scheme("dark")
    _open_search(browser, search)
    browser.run("document.querySelectorAll('details').length")
    content = browser.pdf()
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", content)) >= 4
    assert browser.run(DRAWN) >= 8 * 2  # also what was never scrolled to
    browser.wait(
        "getComputedStyle(document.querySelector('#picture-history .xtick text')).fill === 'rgb(232, 234, 237)'"
    )
    assert browser.run("document.querySelectorAll('details[open]').length") == 0
