"""Turn a report's Markdown into one HTML file that needs nothing else: pictures inline, readable on a phone."""

from __future__ import annotations

import base64
import html
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}
_LARGEST_PICTURE = 4_000_000  # bytes; what others put into a run's folder may be larger and is linked to
_STATUS = {"pass": "pass", "warn": "warn", "FAIL": "fail", "unknown": "unknown"}

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: #1d2330; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #d8dde6; }
img { max-width: 100%; height: auto; }
code { font: .85em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: #f1f3f7; border-radius: 3px;
  padding: .1em .3em; }
.table { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #e4e8ef;
  min-width: 6rem; overflow-wrap: normal; }
td { max-width: 26rem; }
th { background: #f6f7fa; white-space: nowrap; }
td code { white-space: nowrap; }
td.pass { color: #006b4f; } td.warn { color: #8a5a00; background: #fff6e0; }
td.fail { color: #a11a00; background: #ffece6; font-weight: 600; } td.unknown { color: #667; }
li { margin: .15rem 0; } ol > li { margin-bottom: .8rem; }
.picture { display: block; overflow-x: auto; }
@media (max-width: 40rem) { body { padding: .75rem; font-size: 15px; } th, td { padding: .35rem .45rem; }
  .picture img { max-width: none; width: 44rem; } }
@media print { body { max-width: none; } .table { overflow: visible; } }
"""


def write_html(path: Path, markdown: str, folder: Path) -> None:
    """Write a page as one self-contained HTML file.

    :param path: the file to write
    :param markdown: the page; HTML in it is shown as text
    :param folder: where its relative links start
    """
    title = next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "Report")
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("image", _image)
    reader.add_render_rule("table_open", _table_open)
    reader.add_render_rule("table_close", _table_close)
    reader.add_render_rule("td_open", _cell)
    body = reader.render(markdown, {"folder": folder})
    path.write_text(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        encoding="utf-8",
    )


# -- how single elements are written; the signature is markdown-it's ---------------------------------------------------

_Env = MutableMapping[str, Any]


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: _Env) -> str:
    token = tokens[index]
    source, label = str(token.attrGet("src") or ""), html.escape(token.content)
    picture = env["folder"] / unquote(source)
    kind = _TYPES.get(picture.suffix.lower())
    if kind is None or not picture.is_file() or picture.stat().st_size > _LARGEST_PICTURE:
        return f'<a href="{html.escape(source)}">{label}</a>'
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    # On a phone a picture of four panels scrolls, since shrunk to the screen it could not be read.
    return f'<span class="picture"><img alt="{label}" src="data:{kind};base64,{data}"></span>'


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: _Env) -> str:
    return '<div class="table"><table>\n'  # a wide table scrolls by itself, not the page


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: _Env) -> str:
    return "</table></div>\n"


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: _Env) -> str:
    """A cell that holds a status only is coloured by it."""
    status = _STATUS.get(tokens[index + 1].content.strip("*"))
    return "<td>" if status is None else f'<td class="{status}">'
