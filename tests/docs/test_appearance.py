"""Pages of the site in light and dark, on a desk and on a phone: axe finds no serious fault."""

import pytest

from tests.docs.reference import DOCS
from tests.support.axe import SCREENS, serious_faults
from tests.support.chromium import MARKS, chromium

SITE = DOCS.parent / "build" / "docs"
PAGES = ("index", "start/tutorial", "guides/tenants", "reference/settings", "project/screenshots", "search")
pytestmark = [*MARKS, pytest.mark.skipif(not SITE.is_dir(), reason="needs the site: make docs")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
async def test_the_site_can_be_read(scheme, screen):
    faults = []
    async with chromium() as browser:
        page = await browser.new_page(color_scheme=scheme, **SCREENS[screen])
        for name in PAGES:
            await page.goto((SITE / f"{name}.html").as_uri())
            faults += [f"{name}: {fault}" for fault in await serious_faults(page)]
    assert faults == []
