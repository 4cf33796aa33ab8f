"""The HTML page and the JSON file."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser

import cv2
import numpy as np
from progress_file import write_progress

from sb3_carla.report import make_report

VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Collects what a browser would load, and checks that the tags are nested properly."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.tags, self.open = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.loads += [attrs[name] for name in ("src", "srcset", "data") if name in attrs]
        if tag == "link":
            self.loads.append(attrs.get("href"))
        if tag == "a":
            self.links.append(attrs["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(run, out=None):
    return make_report(run, out).with_suffix(".html").read_text()


def test_the_page_needs_no_other_file(trained_run, tmp_path):
    text = page_of(trained_run, tmp_path)
    page = Page(text)
    assert page.loads
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert "script" not in page.tags
    assert "@import" not in text
    assert not re.search(r"url\(", text)


def test_the_page_fits_a_phone(trained_run, tmp_path):
    text = page_of(trained_run, tmp_path)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert text.count('<div class="table">') == Page(text).tags.count("table") >= 2
    assert ".table { overflow-x: auto" in text


def test_the_page_says_what_the_markdown_says(trained_run, tmp_path):
    text = page_of(trained_run, tmp_path)
    markdown = (tmp_path / "report.md").read_text()
    for heading in re.findall(r"^## (.*)$", markdown, re.MULTILINE):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("<tr>") >= markdown.count("\n| `")
    assert '<td class="pass">' in text


def test_names_and_messages_cannot_put_elements_into_the_page(tmp_path):
    run = write_progress(tmp_path / "<b>run", {"train/<script>alert(1)</script>": [1.0, 2.0]})
    text = page_of(run)
    assert "script" not in Page(text).tags
    assert "b" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_a_huge_picture_of_the_run_is_linked_and_not_carried_along(tmp_path):
    run = write_progress(tmp_path / "run", {"train/actor_loss": [1.0, 2.0]})
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    cv2.imwrite(str(run / "large.png"), noise)
    page = Page(page_of(run))
    assert "../large.png" in page.links
    assert len(page.loads) == 1


def test_the_json_is_strict_and_holds_what_the_page_says(tmp_path):
    run = write_progress(
        tmp_path, {"train/critic_loss": [1.0, math.nan, math.inf], "rollout/ep_rew_mean": [math.nan] * 3}
    )

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    data = json.loads((make_report(run).parent / "report.json").read_text(), parse_constant=refuse)
    assert data["format_version"] == 1
    assert data["last_step"] == 300
    assert data["metrics"]["train/critic_loss"]["not_finite"] == 2
    assert data["metrics"]["rollout/ep_rew_mean"]["mean"] is None
    assert {check["status"] for check in data["checks"]} >= {"FAIL"}
