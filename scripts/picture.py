"""The picture in README.md: the first page of the built book, light and dark, as Chromium shows it.

`make picture` builds the book and runs this. Both pictures together have at most 200 kB.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from support.browsers import chromium  # noqa: E402

PAGE = ROOT / "_build" / "html" / "book" / "index.html"
SIZE, SCALE = {"width": 1280, "height": 860}, 1.5  # sharp where it is shown at 860 pixels
AWAKE = "() => document.querySelector('.oe-model')?.getAttribute('aria-busy') === 'false'"
MOST = 200_000  # bytes


def main() -> None:
    if not PAGE.is_file():
        sys.exit(f"{PAGE} is not there: run `make book` first")
    total = 0
    with sync_playwright() as playwright, chromium(playwright) as browser:
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport=SIZE,
                device_scale_factor=SCALE,
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            page.goto(PAGE.as_uri())
            page.wait_for_function(AWAKE)
            page.evaluate("document.fonts.ready")
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            path = ROOT / "scripts" / "picture" / f"{scheme}.webp"
            shot.save(path, quality=68, method=6)
            total += path.stat().st_size
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    if total > MOST:
        sys.exit(f"Together {total:,} bytes, more than {MOST:,}: take a smaller part")


if __name__ == "__main__":
    main()
