import subprocess
import sys

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from allears.storage.digest import identity, value_digest
from allears.storage.tables import table_digest

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), values, min_size=2, max_size=4))
def test_the_order_of_keys_does_not_matter(value: dict):
    assert value_digest(value) == value_digest(dict(reversed(list(value.items()))))


def test_everything_that_an_output_depends_on_changes_its_identity():
    base = identity("shard", 1, {"manifest": "a"}, {"rate": 16000})
    others = [
        identity("audit", 1, {"manifest": "a"}, {"rate": 16000}),
        identity("shard", 2, {"manifest": "a"}, {"rate": 16000}),
        identity("shard", 1, {"manifest": "b"}, {"rate": 16000}),
        identity("shard", 1, {"manifest": "a"}, {"rate": 8000}),
    ]
    assert len({base, *others}) == 5


def test_a_table_has_the_same_digest_in_every_process():
    program = (
        "import pandas as pd; from allears.storage.tables import table_digest;"
        "print(table_digest(pd.DataFrame({'a': ['x', None], 'b': [1.5, 2.0]})))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    table = pd.DataFrame({"a": ["x", None], "b": [1.5, 2.0]})
    assert table_digest(table) == other
    assert table_digest(table.iloc[::-1]) != other
    assert table_digest(table.rename(columns={"a": "c"})) != other
