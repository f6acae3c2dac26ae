"""The metadata that depends on the repository that a release is built from: its URLs, and the links of the README.

``DAF_REPOSITORY`` has the address, as ``https://example.org/owner/name``; ``.github/workflows/release.yml`` sets it. A
build without it has no URLs, and its README keeps the links within the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PAGES = {
    "Documentation": "docs/index.md",
    "Changelog": "CHANGELOG.md",
    "Security": "SECURITY.md",
    "Contributing": "CONTRIBUTING.md",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))")


class ReleaseMetadata(MetadataHookInterface):
    """Fills in ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set both fields. The version is known by now: links lead to the files of its tag."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if repository := os.environ.get("DAF_REPOSITORY", "").rstrip("/"):
            files = f"{repository}/blob/v{metadata['version']}"
            text = _LINK.sub(rf"{files}/\1", text)
            metadata["urls"] = {"Source": repository, "Issues": f"{repository}/issues"} | {
                name: f"{files}/{page}" for name, page in _PAGES.items()
            }
        else:
            metadata["urls"] = {}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
