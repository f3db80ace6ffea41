"""What a chain of runs says of the corpora that it heard."""

from allears.checkpoints.known import heard_before, heard_in


def test_what_a_run_heard_stays_with_the_runs_that_extend_it():
    speech, birds = ({"corpus": name, "data_digest": name * 9, "share": 0.5} for name in ("speech", "birds"))
    first = {"run": "a", "corpus": "speech", "data_digest": "s", "corpora": [speech, birds], "extends": None}
    second = {"run": "b", "corpus": "speech", "data_digest": "t", "corpora": [speech], "extends": first}
    third = {"run": "c", "corpus": "speech", "data_digest": "u", "corpora": [speech], "extends": second}
    assert heard_in(first) == [speech, birds]
    assert [(run, one["corpus"]) for run, one in heard_before(third)] == [
        ("b", "speech"), ("a", "speech"), ("a", "birds"),
    ]  # fmt: skip
    assert heard_before(first) == []


def test_what_an_earlier_allears_noted_is_no_more_than_it_knew():
    whole = {"run": "b", "corpus": "speech", "data_digest": "t", "clips": 3, "licences": {"MIT": 3}, "updates": 5}
    assert heard_in(whole) == [{"corpus": "speech", "data_digest": "t", "clips": 3}]  # its licences are of all runs
    stopped = {"run": "a", "corpus": "speech", "licences": {"MIT": 3}}
    assert heard_before({"extends": stopped}) == [("a", {"corpus": "speech"})]
    assert heard_before({"extends": {"run": "of an even earlier one"}}) == []
