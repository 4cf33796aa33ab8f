"""Put what a command prints into a marked block of a page, so that the page shows nothing that was typed by hand.

    python benchmarks/ablation.py --show | python docs/fill_block.py docs/the_explosion.md ablation-carla

The block lies between ``<!-- ablation-carla -->`` and ``<!-- /ablation-carla -->``, each on a line of its own.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def fill(page: str, name: str, text: str) -> str:
    """Replace the content of a block.

    :param page: the whole page
    :param name: name of the block
    :param text: its new content
    :raises ValueError: the page has no such block
    """
    block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not block.search(page):
        known = re.findall(r"<!-- /([\w-]+) -->", page)
        raise ValueError(f"There is no block {name!r}. The blocks are {', '.join(known) or 'none'}.")
    return block.sub(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", page)


if __name__ == "__main__":
    path, name = Path(sys.argv[1]), sys.argv[2]
    content = sys.stdin.read()
    if not content.strip():
        sys.exit(f"Nothing to put into {name!r}: standard input is empty.")
    path.write_text(fill(path.read_text(encoding="utf-8"), name, content), encoding="utf-8")
