import base64
import hashlib
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest

from geographer.base.errors import MissingLibraryError, StorageError, UsageError
from geographer.outputs.pages import page as pages
from geographer.outputs.pages.page import encode_json, render_page, require_packages, write_page

SCRIPT = 'console.log("ö");\n'


class _Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_page_escapes_all_values():
    page = render_page("base.html.jinja", title="<b>&", description='"<i>', data={"a": {"<b>": "</script>\u2028"}})
    tags = [tag for tag, _ in _Elements(page).found]
    assert "b" not in tags
    assert "i" not in tags
    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert '{"\\u003cb\\u003e":"\\u003c/script\\u003e\\u2028"}' in page


def test_policy_has_the_hash_of_each_script():
    page = render_page("base.html.jinja", title="t", scripts=[SCRIPT])
    policy = next(attrs["content"] for tag, attrs in _Elements(page).found if "http-equiv" in attrs)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"<script>(.*?)</script>", page, re.DOTALL) == [SCRIPT]


@pytest.mark.parametrize("script", ["a</script>b", "a</SCRIPT >", "a<!-- b"])
def test_script_that_would_end_is_refused(script):
    with pytest.raises(ValueError, match="end it in a page"):
        render_page("base.html.jinja", title="t", scripts=[script])


def test_json_has_no_infinite_numbers():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"a": float("nan")})


def test_written_page_replaces_a_file(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("before")
    (tmp_path / "link.html").symlink_to(target)
    assert write_page(tmp_path / "link.html", "<p>\udcff", tmp_path / "elsewhere").resolve() == target
    assert target.read_bytes() == b"<p>\\udcff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


def test_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        received = reader.submit((tmp_path / "pipe").read_bytes)
        write_page(tmp_path / "pipe", "<p>")
        assert received.result(10) == b"<p>"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("name", ["geographer.lock", "rasters/a.html", "history.dvc", ".gitignore", ".geographer/x"])
def test_page_is_not_written_over_files_of_the_dataset(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match="the dataset keeps its own files there"):
        write_page(tmp_path / name, "", tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (".", UsageError, "not the path of a file|is a folder"),
        ("", UsageError, "not the path of a file"),
        ("a\0b", UsageError, "not the path of a file"),
        (7, UsageError, "not the path of a file"),
        ("missing/page.html", StorageError, "is not a folder"),
    ],
)
def test_bad_path_is_an_error(tmp_path, monkeypatch, path, error, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text):
        write_page(path, "")


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=r"geographer-datasets\[plot\]"):
        require_packages("an HTML page", "jinja2")
