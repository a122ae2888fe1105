"""Any text that a person, a browser or a damaged record may contain, for property tests."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from appliance.protocol.cards import Card, KeyCard, ServiceCard
from appliance.protocol.enrolment import Enrolled
from appliance.records.files import Fact
from tests.support.homes import practitioner, service

LETTERS = [
    *"\0\1\t\n\v\f\r\x1b\x1c\x1d\x1e\x1f\x7f\x80\x85\xa0\xad",
    *"\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\ufeff\ufffe\uffff",
    *"\"\\'<>&{}%$/+=,;:|#\N{EM DASH}",
    *"\u00e9e\u0301\u0130\u0131\u00df\ufb01\u0660\u00b2\u3000\U0001f476\U0001f1fc\U000e0001\U0010ffff",
    "\r\n",
    "\n\n",
    "\n\N{EM DASH} name AAAA\n",
]
"""Each has broken some program: line ends of all kinds, marks that turn text round, letters of four
bytes, what JSON, HTML, signed notes and paths are written with."""

LONG = "\N{BABY}\u2028" * 5000
"""Ten thousand letters."""


def texts(*, lone: bool = False) -> st.SearchStrategy[str]:
    """Any text; with `lone`, also what is no text: half of a pair of surrogates."""
    letters = st.sampled_from(LETTERS) | st.characters(exclude_categories=["Cs"])
    if lone:
        letters |= st.sampled_from(["\ud800", "\udfff", "\udc85"])
    return st.lists(letters, max_size=12).map("".join)


def kinds() -> list[type[Fact]]:
    """Every kind of record that is loaded: one that is added is tried by itself."""

    def below(kind: type[Fact]) -> Iterator[type[Fact]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    return sorted(set(below(Fact)), key=lambda kind: f"{kind.__module__}.{kind.__name__}")


def facts(kind: type[Any], text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Records of this kind whose every text is any text."""
    built: st.SearchStrategy[Any] = _values(msgspec.inspect.type_info(kind), text)
    return built


_TIMES = st.integers(0, 7 * 10**9).map(lambda at: dt.datetime.fromtimestamp(at, dt.UTC))


def _service_card() -> ServiceCard:
    keys = service(), practitioner()
    return ServiceCard(
        number=2,
        before="0" * 64,
        at=dt.datetime.fromtimestamp(0, dt.UTC),
        roots=(str(service().signer.verifier),),
        signing=(),
        recipients=tuple(str(one.identity.recipient) for one in keys),
    )


def _values(kind: msgspec.inspect.Type, text: st.SearchStrategy[str]) -> Any:
    match kind:
        case msgspec.inspect.StructType(cls=found) if issubclass(found, Card):
            return st.just(practitioner().card())
        case msgspec.inspect.StructType(cls=found) if issubclass(found, ServiceCard):
            return st.just(_service_card())
        case msgspec.inspect.StructType(cls=found) if issubclass(found, KeyCard):
            return st.just(KeyCard(role="root", key=str(service().signer.verifier)))
        case msgspec.inspect.StructType(cls=found, fields=fields):
            made = {one.name: _values(one.type, text) for one in fields}
            if found is Enrolled:
                made["cards"] = st.just(())  # Any others are refused.
            return st.fixed_dictionaries(made).map(lambda given, found=found: found(**given))
        case msgspec.inspect.StrType(pattern=str(form)):
            return st.from_regex(form, fullmatch=True)
        case msgspec.inspect.StrType(max_length=most):
            return text.map(lambda given: given[:most])
        case msgspec.inspect.BytesType():
            return st.binary(max_size=4)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case msgspec.inspect.EnumType(cls=found):
            return st.sampled_from(list(found))
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(least if least is not None else -(2**40), most or 2**40)
        case msgspec.inspect.FloatType(ge=least, le=most):
            return st.floats(least or 0, most or 1e9)
        case msgspec.inspect.DateTimeType():
            return _TIMES
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.UnionType(types=every):
            return st.one_of([_values(one, text) for one in every])
        case msgspec.inspect.VarTupleType(item_type=one):
            return st.lists(_values(one, text), max_size=2).map(tuple)
        case msgspec.inspect.TupleType(item_types=every):
            return st.tuples(*[_values(one, text) for one in every])
        case msgspec.inspect.FrozenSetType(item_type=one):
            return st.frozensets(_values(one, text), max_size=2)
        case msgspec.inspect.ListType(item_type=one):
            return st.lists(_values(one, text), max_size=2)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key, text), _values(value, text), max_size=2)
    raise AssertionError(f"no values are made for {kind}")
