"""Walk through the built site in a headless browser, as a reader on a desktop and on a phone would.

    make docs && python docs/walk.py [--pictures DIR] [--browser CHROMIUM]

Needs ``pip install playwright`` and a Chromium (Debian: ``apt install chromium``). Serves docs/_build on a free port
and opens every page at both widths, without asking other sites for anything. Reports errors of the console, requests
and pictures that failed, pages wider than the screen, and links inside the site whose page or anchor is not there.
Ends with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag

from playwright.sync_api import Page, sync_playwright

SITE = Path(__file__).parent / "_build"
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
LEFT_OUT = {"genindex.html", "search.html", "py-modindex.html"}  # Sphinx's own, but for the links to them
# What is wider than the window and does not scroll inside of something narrower.
TOO_WIDE = """() => [...document.querySelectorAll('article *')].filter(element => {
    if (element.getBoundingClientRect().right <= window.innerWidth + 1) return false;
    for (let parent = element; parent; parent = parent.parentElement)
        if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(parent).overflowX)) return false;
    return true;
}).map(element => element.tagName.toLowerCase() + ' ' + element.textContent.trim().slice(0, 60))"""
BROKEN_PICTURES = (
    "() => [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"
)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def look(page: Page, address: str, pictures: Path | None, width: str) -> tuple[list[str], set[str], set[str]]:
    """Open a page; return what is wrong with it, the links on it, and the anchors that it offers."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"request failed: {request.url}"))
    page.on("response", lambda answer: wrong.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
    site = address.split("/")[2]
    # Nothing is asked of other sites (MathJax comes from one), nor is there an icon for the tab.
    page.route(lambda url: site not in url or url.endswith("favicon.ico"), lambda route: route.fulfill(status=204))
    page.goto(address, wait_until="load")
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()  # those that load when they are seen
    page.wait_for_load_state("networkidle")
    wrong += [f"picture not shown: {source}" for source in page.evaluate(BROKEN_PICTURES)]
    wrong += [f"wider than the screen: {element}" for element in page.evaluate(TOO_WIDE)[:3]]
    if pictures is not None:
        name = address.rsplit(":", 1)[1].split("/", 1)[1].replace("/", "_").removesuffix(".html")
        page.screenshot(path=pictures / f"{name}-{width}.png", full_page=True)
    links = set(page.evaluate("() => [...document.querySelectorAll('a[href]')].map(link => link.href)"))
    anchors = set(page.evaluate("() => [...document.querySelectorAll('[id]')].map(element => element.id)"))
    return wrong, links, anchors


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder for a picture of every page at both widths")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="path of Chromium (default: the one found)")
    options = parser.parse_args()
    if not (SITE / "index.html").is_file():
        sys.exit(f"There is no site in {SITE}. Build it with 'make docs'.")
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/"
    names = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if "_static" not in path.parts)
    pages = [name for name in names if name not in LEFT_OUT and not name.startswith("_modules")]

    found: list[str] = []
    links: dict[str, set[str]] = {}  # by page, with their anchors
    anchors: dict[str, set[str]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        for width, (across, down) in WIDTHS.items():
            for name in pages:
                page = browser.new_page(viewport={"width": across, "height": down})
                wrong, links[name], anchors[name] = look(page, root + name, options.pictures, width)
                found += [f"{name} ({width}): {text}" for text in dict.fromkeys(wrong)]
                page.close()
        browser.close()
    for name, targets in links.items():
        for target in sorted(targets):
            if not target.startswith(root):
                continue
            path, anchor = urldefrag(target.removeprefix(root))
            path = unquote(path) or "index.html"
            if not (SITE / path).is_file():
                found.append(f"{name}: link to {path}, which is not there")
            elif anchor and path in anchors and unquote(anchor) not in anchors[path]:
                found.append(f"{name}: link to {path}#{anchor}, an anchor that is not there")
    server.shutdown()
    print("\n".join(found))
    print(f"{len(pages)} pages at {len(WIDTHS)} widths, {sum(map(len, links.values()))} links: {len(found)} problems")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
