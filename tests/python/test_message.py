"""wspool.Message: what a callback is handed."""

import contextlib
import copy
import gc
import json
import math
import pickle
import sys
import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import wspool
from wspool import Message

# Payloads of the sizes at which the allocation changes.
SIZES = [0, 1, 2, 7, 8, 9, 511, 512, 513, 4095, 4096, 4097, 100_000]


class TestPayload:
    @pytest.mark.parametrize("size", SIZES)
    def test_text_of_size(self, size):
        """A text message gives back its text at every size."""
        text = ("abc€" * size)[:size]
        message = Message(text)
        assert message.is_text
        assert message.text == text
        assert message.data == text.encode()
        assert len(message) == len(text.encode())
        assert str(message) == text

    @pytest.mark.parametrize("size", SIZES)
    def test_data_of_size(self, size):
        """A binary message gives back its bytes at every size."""
        data = bytes(i % 256 for i in range(size))
        message = Message(data)
        assert not message.is_text
        assert message.data == data
        assert memoryview(message) == data
        assert len(message) == size

    def test_text_of_binary(self):
        """A binary message has no text, and says what to use."""
        with pytest.raises(TypeError, match=r"binary message has no text; use Message\.data"):
            _ = Message(b"abc").text

    def test_text_and_data_are_made_once(self):
        """Asking again gives the same objects."""
        message = Message("a text")
        assert message.text is message.text
        assert message.data is message.data

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text(self, text):
        """Every str that can be UTF-8 comes back."""
        assert Message(text).text == text

    @pytest.mark.parametrize(
        "payload", [bytearray(b"xyz"), memoryview(b"xyz"), memoryview(b"__xyz")[2:]]
    )
    def test_from_buffers(self, payload):
        """Every contiguous bytes-like object makes a binary message."""
        message = Message(payload)
        assert message.data == b"xyz"
        assert not message.is_text

    def test_payload_is_copied(self):
        """Changing the buffer afterwards does not change the message."""
        buffer = bytearray(b"abc")
        message = Message(buffer)
        buffer[0] = 0
        assert message.data == b"abc"

    def test_lone_surrogate(self):
        """What is not UTF-8 is no text message."""
        with pytest.raises(UnicodeEncodeError):
            Message("\ud800")

    @pytest.mark.parametrize("payload", [None, 1, ["a"], object()])
    def test_wrong_type(self, payload):
        """What is neither str nor bytes-like is refused."""
        with pytest.raises(TypeError, match="payload must be str or bytes-like"):
            Message(payload)

    def test_received_ns(self):
        """The time of arrival is an int of nanoseconds."""
        assert Message("x").received_ns == 0
        assert Message("x", 1_700_000_000_123_456_789).received_ns == 1_700_000_000_123_456_789
        assert Message("x", received_ns=-1).received_ns == -1

    def test_is_read_only(self):
        """Nothing can be changed."""
        message = Message("abc")
        for name in ("text", "data", "is_text", "received_ns", "other"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(message, name, 1)
        assert memoryview(message).readonly
        with pytest.raises(TypeError):
            memoryview(message)[0] = 0

    def test_is_final(self):
        """The class cannot be derived from."""
        with pytest.raises(TypeError):
            type("Derived", (Message,), {})

    def test_buffer_outlives_names(self):
        """A view keeps its message alive."""
        view = memoryview(Message(b"abc" * 1000))
        others = [Message(b"x" * 3000) for _ in range(100)]
        assert view == b"abc" * 1000
        assert len(others) == 100


class TestComparison:
    @pytest.mark.parametrize("text", ["", "abc", "gr\xfc\xdfe", "\u20ac", "\U0001f600"])
    def test_text(self, text):
        """A text message equals its str and hashes like it."""
        message = Message(text)
        assert message == text
        assert text == message
        assert message != text + "x"
        assert message != text.encode()
        assert hash(message) == hash(text)
        assert {text: 1}[message] == 1

    @pytest.mark.parametrize("data", [b"", b"abc", b"\x00\xff"])
    def test_binary(self, data):
        """A binary message equals its bytes and hashes like them."""
        message = Message(data)
        assert message == data
        assert data == message
        assert message == bytearray(data)
        assert message == memoryview(data)
        assert message != data + b"x"
        assert message != data.decode("latin-1")
        assert hash(message) == hash(data)

    def test_messages(self):
        """Messages are equal if kind and payload are, whenever they came."""
        assert Message("a", 1) == Message("a", 2)
        assert Message("a") != Message("b")
        assert Message("a") != Message(b"a")
        assert hash(Message("a", 1)) == hash(Message("a", 2))

    @pytest.mark.parametrize(
        "other", [None, 1, 1.5, [], object(), "\ud800", memoryview(b"abcdef")[::2]]
    )
    def test_other_things(self, other):
        """Whatever else is not equal, and does no harm."""
        assert Message("abc") != other
        assert Message(b"abc") != other

    def test_order(self):
        """There is no order."""
        with pytest.raises(TypeError):
            _ = Message("a") < "b"


class TestRepr:
    def test_text(self):
        """It shows kind, size and text."""
        assert repr(Message('say "hi"')) == "<wspool.Message text 8 bytes: 'say \"hi\"'>"

    def test_binary(self):
        """A binary message shows bytes, in str() as well."""
        assert repr(Message(b"\x00a")) == "<wspool.Message binary 2 bytes: b'\\x00a'>"
        assert str(Message(b"\x00a")) == repr(Message(b"\x00a"))

    @pytest.mark.parametrize("text", ["x" * 10_000, "\u20ac" * 10_000, "x" + "\u20ac" * 10_000])
    def test_is_short(self, text):
        """A long payload is cut, between code points."""
        shown = repr(Message(text))
        assert len(shown) < 120
        assert shown.endswith("'...>")
        assert "\ufffd" not in shown


class TestCopies:
    @pytest.mark.parametrize("payload", ["text \u20ac", b"binary", "", b""])
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, payload, protocol):
        """A message survives pickling, with its time."""
        message = pickle.loads(pickle.dumps(Message(payload, 77), protocol))
        assert type(message) is Message
        assert message == payload
        assert message.received_ns == 77

    def test_copy(self):
        """copy and deepcopy work."""
        message = Message("abc", 5)
        assert copy.copy(message) == message
        assert copy.deepcopy(message) == message


class TestMemory:
    @pytest.mark.parametrize("size", [10, 1000, 100_000])
    def test_no_leak(self, size):
        """Blocks are given back or used again."""

        def use():
            for i in range(200):
                message = Message(f"{i}" + "x" * size)
                assert message.text
                assert message.data
                assert hash(message)
                del message

        use()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(5):
            use()
        gc.collect()
        assert sys.getallocatedblocks() - before < 50

    def test_sizeof(self):
        """sys.getsizeof counts the payload."""
        assert sys.getsizeof(Message(b"x" * 10_000)) >= 10_000

    def test_many_alive(self):
        """More messages than blocks are kept for reuse do not get mixed up."""
        messages = [Message(f"message {i}" * (i % 100)) for i in range(3000)]
        del messages[::2]
        messages += [Message(f"later {i}") for i in range(3000)]
        assert [m.text for m in messages[:1500]] == [
            f"message {i}" * (i % 100) for i in range(1, 3000, 2)
        ]
        assert [m.text for m in messages[1500:]] == [f"later {i}" for i in range(3000)]


# JSON


def outcome(function):
    """What a call returns or raises, to compare two; repr tells -0.0, nan and types."""
    try:
        return repr(function())
    except RecursionError:
        return "RecursionError"
    except ValueError as error:
        return type(error), str(error)


def same_as_json_loads(text):
    assert outcome(Message(text).json) == outcome(lambda: json.loads(text))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters()),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters()), children),
)

#: Texts that are JSON almost, or in a way that parsers disagree about.
PIECES = r"""
{ } [ ] , : " "a" "b" "a":1 "a":2 - e . true false null NaN Infinity -Infinity
1 -0 0.5 1. 0123 1e400 1E-400 18446744073709551615 18446744073709551616
-9223372036854775808 -9223372036854775809
\ \u00 \ud800 "\ud83d\ude00" "\udc00" "\ud800" "\n\/"
"""
json_like = st.lists(
    st.sampled_from([*PIECES.split(), " ", "\n", "\t", "\u20ac", "\ufeff", "\x00"]), max_size=12
).map("".join)


class TestJson:
    @given(json_values, st.sampled_from([None, 1]), st.booleans())
    def test_documents(self, value, indent, ascii_only):
        """Every document is what json.loads makes of it."""
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which no text message holds unescaped
            text = json.dumps(value, indent=indent)
        same_as_json_loads(text)

    @given(json_like)
    @settings(max_examples=500)
    @example('{"a":1,"b":2,"a":3}')
    @example("[-0, -0.0, 0e5, 0e99999999999999999999, 1e400, -1e400, 5e-324, 1e-999]")
    @example('"\\ud800"')
    @example('"\\ud800\\u0041"')
    @example("\ufeff{}")
    @example("[1,]")
    @example("{} {}")
    @example("1 2")
    @example("")
    @example("   ")
    @example('"\x01"')
    @example("NaN")
    @example("[1.0000000000000002, 9007199254740993, 9007199254740993.0]")
    def test_almost_documents(self, text):
        """What is no JSON raises what json.loads raises."""
        same_as_json_loads(text)

    @given(st.binary(max_size=40))
    @example('{"a":"€"}'.encode("utf-16"))
    @example('{"a":"€"}'.encode("utf-32"))
    @example('{"a":1}'.encode("utf-8-sig"))
    @example(b'"\xed\xa0\x80"')
    @example(b'"\xff"')
    def test_binary(self, data):
        """Binary payloads are read as json.loads reads bytes."""
        assert outcome(Message(data).json) == outcome(lambda: json.loads(data))

    @pytest.mark.parametrize("depth", [1, 100, 250, 255, 256, 257, 500, 5000, 100_000])
    def test_depth(self, depth):
        """Depth is bounded where json.loads bounds it, by the same error."""
        for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            ours, theirs = (None, None)
            try:
                theirs = json.loads(text)
            except RecursionError as error:
                theirs = type(error)
            try:
                ours = Message(text).json()
            except RecursionError as error:
                ours = type(error)
            assert type(ours) is type(theirs)
            while isinstance(ours, (list, dict)) and ours:
                ours = ours[0] if isinstance(ours, list) else ours["a"]
                theirs = theirs[0] if isinstance(theirs, list) else theirs["a"]
            assert ours == theirs

    def test_large_document(self):
        """A document above every kept buffer."""
        value = [{"key": f"value {i}", "number": i, "list": [i] * 5} for i in range(40_000)]
        text = json.dumps(value)
        assert len(text) > 2**21
        assert Message(text).json() == value

    def test_results_are_fresh(self):
        """Each call makes objects that the caller may change."""
        message = Message('{"a":[1]}')
        message.json()["a"].append(2)
        assert message.json() == {"a": [1]}

    def test_names_with_the_same_hash_slot(self):
        """More names than the cache of names holds."""
        value = {f"name {i}": i for i in range(10_000)}
        for _ in range(3):
            assert Message(json.dumps(value)).json() == value

    def test_error_is_jsons(self):
        """The error is json's own, with its position."""
        with pytest.raises(json.JSONDecodeError) as raised:
            Message('{"a": nul}').json()
        assert raised.value.pos == 6
        assert raised.value.doc == '{"a": nul}'

    def test_reentered_by_the_garbage_collector(self):
        """Parsing within a finalizer that runs in the middle of a conversion mixes nothing up."""

        class Garbage:
            def __init__(self):
                self.cycle = self

            def __del__(self):
                assert Message('{"x": ["y", "z"]}').json() == {"x": ["y", "z"]}
                assert Message('{"x": ["y", "z"]}').at("/x/1") == "z"

        value = [[str(i), {"a": [i]}] for i in range(2000)]
        text = json.dumps(value)
        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for _ in range(5):
                for _ in range(20):
                    Garbage()
                assert Message(text).json() == value
        finally:
            gc.set_threshold(*threshold)

    def test_from_many_threads(self):
        """Threads share the parsers without harm, also where the GIL is let go."""
        texts = [json.dumps([f"{n}"] * size) for n, size in enumerate([10, 1000, 50_000, 200_000])]
        failures = []

        def work(n):
            for i in range(10):
                text = texts[(i + n) % len(texts)]
                if Message(text).json() != json.loads(text):
                    failures.append(n)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def walk(value, pointer):
    """RFC 6901 over what json.loads returns."""
    for raw in pointer.split("/")[1:]:
        name = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value[name]
        elif (
            isinstance(value, list)
            and name.isdigit()
            and name.isascii()
            and (name == "0" or name[0] != "0")
        ):
            value = value[int(name)]
        else:
            raise KeyError(pointer)
    return value


def pointers(value, prefix=""):
    """Every pointer into a document."""
    yield prefix
    if isinstance(value, dict):
        for name, item in value.items():
            yield from pointers(item, f"{prefix}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from pointers(item, f"{prefix}/{index}")


DOCUMENT = """
{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\\\j": 5, "k\\"l": 6,
 " ": 7, "m~n": 8, "nested": {"list": [{"x": 1.5}, [true, null, "\\u20ac"]], "last": -1}}
"""


class TestAt:
    @pytest.mark.parametrize(
        ("pointer", "value"),
        [
            ("/foo", ["bar", "baz"]),
            ("/foo/0", "bar"),
            ("/foo/1", "baz"),
            ("/", 0),
            ("/a~1b", 1),
            ("/c%d", 2),
            ("/e^f", 3),
            ("/g|h", 4),
            ("/i\\j", 5),
            ('/k"l', 6),
            ("/ ", 7),
            ("/m~0n", 8),
            ("/nested/list/0/x", 1.5),
            ("/nested/list/1", [True, None, "\u20ac"]),
            ("/nested/list/1/1", None),
            ("/nested/last", -1),
        ],
    )
    def test_examples(self, pointer, value):
        """The examples of RFC 6901 section 5, and deeper ones."""
        found = Message(DOCUMENT).at(pointer)
        assert found == value
        assert type(found) is type(value)

    def test_whole_document(self):
        """The empty pointer means the document."""
        assert Message(DOCUMENT).at("") == json.loads(DOCUMENT)

    @given(json_values)
    @settings(max_examples=200)
    def test_every_pointer(self, value):
        """Every value of every document is found, as json.loads makes it."""
        text = json.dumps(value)
        message = Message(text)
        for pointer in pointers(json.loads(text)):
            try:
                pointer.encode()
            except UnicodeEncodeError:
                continue
            assert repr(message.at(pointer)) == repr(walk(json.loads(text), pointer))

    @pytest.mark.parametrize(
        "pointer",
        [
            "/none",
            "/foo/2",
            "/foo/00",
            "/foo/-",
            "/foo/-1",
            "/foo/+1",
            "/foo/1 ",
            "/foo/x",
            "/foo/0/x",
            "/nested/last/0",
            "/nested/list/99999999999999999999",
            "/FOO",
            "/foo/\u0661",
        ],
    )
    def test_missing(self, pointer):
        """What is not there raises KeyError with the pointer."""
        with pytest.raises(KeyError) as raised:
            Message(DOCUMENT).at(pointer)
        assert raised.value.args == (pointer,)

    @pytest.mark.parametrize("pointer", ["foo", "foo/0", " /foo", "/~", "/~2", "/a~", "#/foo"])
    def test_not_a_pointer(self, pointer):
        """What RFC 6901 does not allow raises ValueError."""
        with pytest.raises(ValueError, match="not a JSON Pointer"):
            Message(DOCUMENT).at(pointer)

    @pytest.mark.parametrize("pointer", [None, 1, b"/foo", ["foo"]])
    def test_wrong_type(self, pointer):
        """Pointers are str."""
        with pytest.raises(TypeError, match="pointer must be a str"):
            Message(DOCUMENT).at(pointer)

    @pytest.mark.parametrize(
        ("text", "pointer"),
        [
            ('{"a":1,"a":2}', "/a"),
            ('{"a":{"b":1},"a":2}', "/a"),
            ('{"a":{"b":1},"a":{"b":2}}', "/a/b"),
            ('{"a":{"b":1},"\\u0061":{"b":3}}', "/a/b"),
            ('{"a":{"b":1},"a":[7]}', "/a/0"),
        ],
    )
    def test_names_twice(self, text, pointer):
        """The last of equal names counts, as in json.loads."""
        assert Message(text).at(pointer) == walk(json.loads(text), pointer)

    def test_name_twice_without_the_rest(self):
        """The last of equal names counts, even where an earlier one would match further."""
        with pytest.raises(KeyError):
            Message('{"a":{"b":1},"a":{}}').at("/a/b")

    @pytest.mark.parametrize(
        "value", ["-0", "-0.0", "1e400", "123456789012345678901234567890", "NaN", "-Infinity"]
    )
    def test_numbers(self, value):
        """Numbers that simdjson cannot represent come from json.loads."""
        found = Message(f'{{"a": [{value} ], "b": 1}}').at("/a/0")
        assert repr(found) == repr(json.loads(value))

    @pytest.mark.parametrize(
        "text",
        [
            '{"a":',
            '{"a": 1',
            '{"a" 1}',
            '{"a": 1} x',
            '{"a": tru}',
            '{"a": "\x01"}',
            "x",
            "",
            '{"a": 01}',
        ],
    )
    def test_malformed(self, text):
        """What is no JSON raises json's own error."""
        with pytest.raises(json.JSONDecodeError):
            Message(text).at("/a")

    @pytest.mark.parametrize("text", ["1", '"x"', "null", "true"])
    def test_scalar_document(self, text):
        """A scalar has nothing inside."""
        with pytest.raises(KeyError):
            Message(text).at("/a")
        assert Message(text).at("") == json.loads(text)

    def test_binary(self):
        """Binary messages that hold JSON are read too."""
        assert Message(b'{"a":[1,2]}').at("/a/1") == 2
        assert Message('{"a":1}'.encode("utf-16")).at("/a") == 1

    @given(json_like, st.sampled_from(["/a", "/0", "/a/b", "/"]))
    @settings(max_examples=500)
    def test_almost_documents(self, text, pointer):
        """A value that is found in a valid document is json's; a broken one never crashes."""
        try:
            expected = walk(json.loads(text), pointer)
        except (KeyError, IndexError):
            with pytest.raises(KeyError):
                Message(text).at(pointer)
        except (ValueError, RecursionError):
            with contextlib.suppress(ValueError, KeyError, RecursionError):
                Message(text).at(pointer)
        else:
            found = Message(text).at(pointer)
            assert repr(found) == repr(expected) or math.isnan(found)


def test_captures():
    """Messages of real feeds are what json.loads makes of them, whole and by pointer."""
    testing = pytest.importorskip("wspool.testing")
    for text in testing.market_data(300):
        value = json.loads(text)
        message = Message(text)
        assert message.json() == value
        for pointer in pointers(value):
            assert message.at(pointer) == walk(value, pointer)


def test_is_exported():
    """It calls itself by its public name."""
    assert Message.__module__ == "wspool"
    assert wspool.Message is Message
