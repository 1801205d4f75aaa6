"""Forms are found wherever they lie, at a cost that does not depend on their number."""

from hypothesis import given
from hypothesis import strategies as st

from agent.execution.secrets.form_index import FormIndex
from agent.execution.secrets.masking import Masker, MaskingStream
from tests.services.waiting import calls
from tests.unit.examples import examples

LETTERS = st.sampled_from(b"ab")
FORMS = st.lists(st.binary(min_size=4, max_size=30) | st.lists(LETTERS, min_size=4, max_size=40).map(bytes), min_size=1)


def covered(forms: list[bytes], data: bytes) -> set[int]:
    return {
        at
        for form in forms
        for start in range(len(data))
        if data.startswith(form, start)
        for at in range(start, start + len(form))
    } & set(range(len(data)))


@examples(200)
@given(FORMS, st.data())
def test_every_byte_of_every_form_is_covered_and_no_other(forms: list[bytes], data: st.DataObject) -> None:
    pieces = st.sampled_from(forms) | st.sampled_from(forms).map(lambda form: form[:-1]) | st.binary(max_size=9)
    text = b"".join(data.draw(st.lists(pieces, max_size=12)))
    index = FormIndex(forms)
    spans = index.find(text).spans
    assert {at for start, stop in spans for at in range(start, stop)} == covered(forms, text)
    found = index.find(text, open_end=True)
    opens = (
        at for at in range(len(text)) for form in forms if len(form) > len(text) - at and form.startswith(text[at:])
    )
    assert found.open_at == min(opens, default=None)
    if found.open_at is None:
        assert found.spans == spans


@examples(200)
@given(st.lists(st.text("ab'\n\"é", min_size=4, max_size=20), min_size=1, max_size=4), st.data())
def test_pieces_of_any_size_are_masked_like_the_whole(values: list[str], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from(values) | st.text("ab'\n", max_size=5), max_size=10))
    whole = "".join(parts).encode()
    masker = Masker(values)
    stream, shown, rest = MaskingStream(masker), b"", whole
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += stream.feed(rest[:size])
        rest = rest[size:]
    assert shown + stream.finish() == masker.mask_bytes(whole)


def test_overlapping_secrets_leave_no_end_of_either() -> None:
    assert Masker(["abcdefgh", "efghijkl"]).mask_text("-abcdefghijkl-") == "-***-"


def test_a_form_costs_nothing_where_it_does_not_occur() -> None:
    text = b"the quick brown fox jumps over the lazy dog\n" * 2000

    def cost(forms: int) -> int:
        index = FormIndex([b"%08d-of-a-thousand-forms" % number for number in range(forms)])
        return calls(lambda: index.find(text))

    assert cost(1000) == cost(1)


def test_the_lines_of_a_long_certificate_are_held_back_only_where_one_began() -> None:
    line = "MIIEpAIBAAKCAQEA7bq1"
    certificate = "\n".join(["-----BEGIN-----", *(f"{line}{number:04}" for number in range(1500)), "-----END-----"])
    stream = MaskingStream(Masker([certificate]))
    assert stream.feed(b"nothing of it\n") == b"nothing of it\n"
    assert stream.feed(f"{line}0007, and then\n".encode()) == b"***, and then\n"
