"""The frame of staff's pages: the stylesheet, and its colours."""

import asyncio
import re
from importlib.resources import files
from itertools import product

import pytest
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from django.urls import path

from daf_views.metrics import metrics_overview
from daf_views.tasks.overview import tasks_overview

urlpatterns = [path("metrics/", metrics_overview), path("tasks/", tasks_overview)]
STYLESHEET = files("daf_views") / "static" / "daf_views" / "daf.css"
SURFACES = ("background", "surface")
TEXTS = ("text", "muted", "accent", "good", "warn", "bad")


def schemes():
    """Return the colours by name, in light and in dark."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLESHEET.read_text(), re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in (light, dark)]


def luminance(colour):
    """Source: WCAG 2.2, relative luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", schemes(), ids=["light", "dark"])
def test_text_has_the_contrast_of_aa(colours):
    pairs = [*product(TEXTS, SURFACES), ("on-accent", "accent")]
    too_low = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in too_low.items() if ratio < 4.5} == {}
    assert min(contrast(colours["control-border"], colours[name]) for name in SURFACES) >= 3


def test_both_schemes_have_the_same_colours():
    light, dark = schemes()
    assert light.keys() == dark.keys()


def test_it_loads_nothing():
    assert not re.search(r"@import|url\(|https?:", STYLESHEET.read_text())


def test_it_is_a_static_file_of_the_application():
    assert AppDirectoriesFinder().find("daf_views/daf.css") == str(STYLESHEET)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("page", ["/metrics/", "/tasks/"])
async def test_a_page_serves_it_to_all_and_lets_it_be_cached(async_client, page):
    response = await async_client.get(f"{page}?format=css")
    assert (response.status_code, response["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert response.content == await asyncio.to_thread(STYLESHEET.read_bytes)
    assert response["Cache-Control"] == "max-age=3600"
