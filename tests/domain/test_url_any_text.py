"""What holds for the base URL of any text whatsoever."""

from urllib.parse import urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.domain import url
from monitor.domain.errors import InvalidUrlError

AWKWARD = st.text(alphabet="０1aü.:/@[]%\\?#-_x。：２EeVvPpIi 0\t", max_size=24)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.builds("{}{}".format, st.sampled_from(["http://", "HTTPS://", "http://[", "http://h:", "http://h/"]), AWKWARD),
    st.builds("http://{}".format, st.text(max_size=30)),
    st.builds("http://{}:{}/{}".format, st.ip_addresses(), st.integers(-1, 70_000), AWKWARD),
    st.builds("http://[{}]{}".format, st.ip_addresses(v=6), AWKWARD),
)


@settings(deadline=None, max_examples=200)
@given(TEXTS)
@example("http://h:000001x")
@example("http://xn--a")
@example("http://xn--ü")
def test_any_text_is_refused_or_gets_a_spelling_that_stays(text: str) -> None:
    try:
        normal = url.normalize(text)
    except InvalidUrlError:
        return
    assert url.normalize(normal) == normal
    assert normal.startswith(("http://", "https://"))
    assert not normal.endswith("/")
    assert normal.isascii()
    parts = urlsplit(normal)
    assert parts.hostname
    assert parts.hostname == parts.hostname.lower()
    assert parts.port is None or 0 < parts.port <= 65_535
    assert [parts.query, parts.fragment, parts.username, parts.password] == ["", "", None, None]
    url.literal_address(normal)
