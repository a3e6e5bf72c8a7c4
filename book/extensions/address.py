"""Derive every address of the site from the one repository address in _config.yml.

Launch buttons name the tag of a release, or the branch between releases: layout.reference decides.
The site's own address (canonical links, sitemap, social previews, the 404 page's prefix) follows
from the repository on GitHub, and pages may write ``{{ repository_url }}``,
``{{ repository_branch }}``, ``{{ repository_name }}`` and ``{{ site_url }}``, in code blocks too.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from book.tools import layout

REPOSITORY = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)/?")


def repository_name(repository_url: str) -> str:
    """Return OWNER/NAME of a repository on GitHub."""
    match = REPOSITORY.fullmatch(repository_url)
    if match is None:
        raise ConfigError(
            f"repository.url in _config.yml is {repository_url!r}, but launch buttons and the "
            "site's address need the form https://github.com/OWNER/NAME."
        )
    return f"{match[1]}/{match[2]}"


def site_url(repository_url: str) -> str:
    """Return the address, with a final slash, at which GitHub shows a repository's site."""
    owner, name = repository_name(repository_url).split("/")
    home = f"https://{owner.lower()}.github.io/"
    return home if name.lower() == f"{owner.lower()}.github.io" else f"{home}{name}/"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the two steps: settings when the configuration is read, words when a page is."""
    app.connect("config-inited", _set_addresses)
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _set_addresses(app: Sphinx, config: Config) -> None:
    site = site_url(config.html_theme_options["repository_url"])
    _, config.html_theme_options["repository_branch"] = layout.repository(Path(app.srcdir))
    config.html_baseurl = site
    config.ogp_site_url = site
    config.notfound_urls_prefix = urlsplit(site).path


def _fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    if Path(app.env.doc2path(docname)).suffix != ".md":
        return
    options = app.config.html_theme_options
    words = {
        "repository_url": options["repository_url"],
        "repository_branch": options["repository_branch"],
        "repository_name": repository_name(options["repository_url"]),
        "site_url": app.config.html_baseurl,
    }
    for word, value in words.items():
        source[0] = source[0].replace("{{ " + word + " }}", value)
