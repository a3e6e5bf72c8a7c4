"""The built site: it asks nothing of other hosts, its links lead somewhere, nothing is missing."""

import inspect
import json
import pkgutil
import re
import subprocess
from importlib import import_module

import l2s
import pytest
import yaml
from pybtex.database import parse_file

from book.extensions.address import site_url
from book.tools import layout
from tests.book.notebooks import CLAIM
from tests.book.pages import broken_links, is_foreign, pages, style_resources

ROOT = layout.ROOT
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
MEGABYTE = 1e6
RUNNERS = ("https://colab.research.google.com/", "https://mybinder.org/")


@pytest.fixture(scope="module")
def site(built_site):
    return pages(built_site)


@pytest.fixture(scope="module")
def prefix():
    url, _ = layout.repository()
    return "/" + site_url(url).split("/", 3)[3]


def notebooks():
    return [page for page in layout.documents() if (ROOT / f"{page}.ipynb").is_file()]


def chapters():
    return [page for page in notebooks() if page.startswith("chapters/")]


def test_every_page_of_the_contents_is_built(site):
    missing = {f"{page}.html" for page in layout.documents()} - site.keys()
    assert not missing


def test_no_page_asks_anything_of_another_host(site):
    asked = {(name, a) for name, page in site.items() for a in page.resources if is_foreign(a)}
    assert not asked


def test_no_page_names_a_foreign_script_that_it_might_load_later(site):
    scripts = [
        (name, script.get_text())
        for name, page in site.items()
        for script in page.html.find_all("script")
    ]
    assert scripts
    assert not [(name, text) for name, text in scripts if re.search(r"https?://|//unpkg", text)]


def test_only_the_page_of_the_search_fetches_its_index(site):
    fetching = {
        name
        for name, page in site.items()
        if any("searchindex" in script.get("src", "") for script in page.html.find_all("script"))
    }
    assert fetching == {"search.html"}


def test_no_style_sheet_asks_anything_of_another_host(built_site):
    sheets = list(built_site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        asked = style_resources(sheet.read_text(encoding="utf-8"))
        assert not [address for address in asked if is_foreign(address)], sheet.name


def test_every_link_and_anchor_within_the_site_leads_somewhere(site, prefix):
    assert not broken_links(site, prefix)


def test_the_front_door_is_the_first_page_and_no_detour(site):
    assert layout.documents()[0] == "index"
    door = site["index.html"].html
    assert door.h1.get_text().startswith("Learning to Select")
    assert door.find("meta", attrs={"http-equiv": re.compile("refresh", re.IGNORECASE)}) is None


def test_no_source_and_no_path_of_this_machine_is_published(built_site):
    files = [path for path in built_site.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".ipynb", ".md", ".py")]
    assert not (built_site / "_sources").exists()
    texts = [path for path in files if path.suffix in (".html", ".js", ".json", ".xml")]
    assert not [path for path in texts if str(ROOT) in path.read_text(encoding="utf-8")]


def test_addresses_of_the_site_derive_from_the_repository(site, built_site):
    url, _ = layout.repository()
    for name, page in site.items():
        canonical = page.html.find("link", rel="canonical")
        assert canonical is None or canonical["href"] == site_url(url) + name
    sitemap = (built_site / "sitemap.xml").read_text(encoding="utf-8")
    for page in layout.documents():
        assert f"<loc>{site_url(url)}{page}.html</loc>" in sitemap


def plain(text):
    """Text with single spaces and straight quotation marks."""
    return " ".join(text.translate(str.maketrans("‘’“”", "''\"\"")).split())


@pytest.mark.parametrize("page", notebooks())
def test_a_chapter_offers_colab_and_binder_at_its_own_address(site, page):
    url, branch = layout.repository()
    repository = url.removeprefix("https://github.com/")
    links = site[f"{page}.html"].links
    assert f"https://colab.research.google.com/github/{repository}/blob/{branch}/{page}.ipynb" in (
        links
    )
    assert (
        f"https://mybinder.org/v2/gh/{repository}/{branch}?urlpath=lab/tree/{page}.ipynb" in links
    )


def test_every_button_that_runs_a_notebook_leads_to_a_file_of_the_repository(site):
    url, reference = layout.repository()
    repository = url.removeprefix("https://github.com/")
    homes = (
        f"https://colab.research.google.com/github/{repository}/blob/{reference}/",
        f"https://mybinder.org/v2/gh/{repository}/{reference}?urlpath=lab/tree/",
    )
    ask = ["git", "ls-files", "*.ipynb"]
    listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = set(listed.stdout.split())
    links = {link for page in site.values() for link in page.links if link.startswith(RUNNERS)}
    found = [(link, home) for link in links for home in homes if link.startswith(home)]
    assert len(found) == len(links) == 2 * len(notebooks())
    assert not [link for link, home in found if link.removeprefix(home) not in kept]


HEADING = re.compile(r"h[1-6]")


def test_every_page_has_a_language_landmarks_and_headings_in_order(site):
    for name, page in site.items():
        if name == "index.html" and page.html.body is None:  # it only leads to the first page
            continue
        assert page.html.html["lang"] == "en", name
        assert page.html.title.get_text().strip(), name
        for landmark in ("main", "header", "nav"):
            assert page.html.find(landmark), f"{name} has no {landmark}"
        assert len(page.html.find_all("main")) == 1, name
        shown = [h for h in page.html.find_all(HEADING) if not h.find_parent(class_="onlyprint")]
        levels = [int(heading.name[1]) for heading in shown]
        assert levels.count(1) == 1, name
        assert levels[0] == 1, name
        skipped = [
            h
            for h, low, high in zip(shown[1:], levels[:-1], levels[1:], strict=True)
            if high > low + 1
        ]
        assert not skipped, f"{name}: {skipped}"


@pytest.mark.parametrize("page", chapters())
def test_every_claim_of_a_chapter_stands_in_the_ledger(site, page):
    ledger = site["book/claims.html"].html
    notebook = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))
    outputs = [
        o["data"] for cell in notebook["cells"] for o in cell.get("outputs", []) if "data" in o
    ]
    claims = [data[CLAIM] for data in outputs if CLAIM in data]
    assert claims
    for claim in claims:
        row = ledger.find("tr", id=f"ledger-{claim['id']}")
        shown = plain(row.get_text(" "))
        for text in (claim["statement"], claim["paper_value"], claim["setting"], claim["reason"]):
            assert plain(text) in shown
        for item in claim["measured"]:
            assert plain(f"{item['name']}: {item['text']}") in shown
        assert claim["verdict"].capitalize() in shown
        links = [link["href"] for link in row.find_all("a")]
        assert f"../{page}.html#claim-{claim['id']}" in links
        assert any(link.startswith("references.html#") for link in links)


@pytest.mark.parametrize("page", chapters())
def test_every_figure_of_a_chapter_has_a_number_a_caption_and_files(site, page):
    source = (ROOT / f"{page}.ipynb").read_text(encoding="utf-8")
    made = set(re.findall(r'<figure class=\\"l2s-(?:figure|stepper)\\" id=\\"([\w-]+)', source))
    assert made
    html = site[f"{page}.html"].html
    for name in made:
        figure = html.find("figure", id=name)
        assert figure.figcaption.find(class_="caption-number").get_text().startswith("Figure ")
        images = figure.find_all("img")
        assert images
        for image in images:
            assert image["alt"].strip()
            assert image["loading"] == "lazy"
            assert image["src"].startswith("../../_images/")


def test_every_picture_has_alt_text(site):
    for page in site.values():
        assert not [image for image in page.html.find_all("img") if "alt" not in image.attrs]


def test_every_citation_has_an_entry_and_every_entry_a_place_to_find_it():
    entries = parse_file(ROOT / "book/references.bib").entries
    cited = set()
    for page in layout.documents():
        for kind in (".md", ".ipynb"):
            path = ROOT / f"{page}{kind}"
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            cited |= {key.strip() for keys in CITATION.findall(text) for key in keys.split(",")}
    assert cited <= set(entries.keys())
    for key, entry in entries.items():
        assert {"doi", "eprint", "url"} & set(entry.fields), key
        assert not entry.fields.get("doi", "").startswith("http"), key
        if "eprint" in entry.fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields["eprint"]), key


def test_mathematics_is_served_from_the_site_and_trimmed(site, built_site):
    folder = built_site / "_static/mathjax"
    assert (folder / "startup.js").is_file()
    assert list((folder / "output/chtml/fonts/woff-v2").glob("*.woff"))
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3 * MEGABYTE
    notation = site["book/notation.html"]
    assert any(address.endswith("_static/mathjax/startup.js") for address in notation.resources)


def documented_modules():
    """Every module with a public face: floors, operators (a folder each), a module a chapter."""
    for module in pkgutil.iter_modules(l2s.__path__, "l2s."):
        loaded = import_module(module.name)
        if not module.ispkg or hasattr(loaded, "__all__"):
            yield loaded
        else:
            inner = pkgutil.iter_modules(loaded.__path__, f"{module.name}.")
            is_kernels = module.name == "l2s.kernels"
            yield from (import_module(one.name) for one in inner if one.ispkg or not is_kernels)


def test_every_public_function_of_the_library_has_an_entry(site):
    modules = [module for module in documented_modules() if not module.__name__.startswith("l2s._")]
    assert {"l2s.checks", "l2s.labels.contrastive"} <= {module.__name__ for module in modules}
    for module in modules:
        page = site[f"book/api/{module.__name__.removeprefix('l2s.').replace('.', '/')}.html"]
        names = getattr(module, "__all__", None) or [
            name for name in vars(module) if name[0] != "_"
        ]
        values = {name: getattr(module, name) for name in names}
        functions = [name for name, value in values.items() if inspect.isfunction(value)]
        own = [n for n in functions if values[n].__module__.startswith(module.__name__)]
        assert own, module.__name__
        assert {f"{module.__name__}.{name}" for name in own} <= page.anchors


def test_the_contents_page_is_read_as_yaml_with_captions():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    for part in parts:
        assert part["caption"]
        is_chapters = any(entry["file"].startswith("chapters/") for entry in part["chapters"])
        assert part.get("numbered", False) == is_chapters, f"{part['caption']}: numbered or not"
