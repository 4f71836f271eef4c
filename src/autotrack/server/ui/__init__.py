"""The page: static files that need no build. The server sends `index.html` at / and the folder at /static."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent
"""`index.html`, `page.css`, `app/` (ours) and `vendor/` (see its README)."""


def content_security_policy() -> str:
    """The page's policy: everything from here, no inline script or style, no eval, in nobody's frame.

    Browsers take an import map only inline, so that one script is allowed by its digest.
    """
    return (
        f"default-src 'self'; script-src 'self' 'sha256-{_import_map_digest()}'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _import_map_digest() -> str:
    page = (FOLDER / "index.html").read_text("utf-8")
    found = re.search(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    assert found, "index.html has an import map"
    return b64encode(sha256(found[1].encode()).digest()).decode()
