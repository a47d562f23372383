from teacherlm.store.scratch import Occurrences, scratch_database


def test_names_become_unique_whatever_they_look_like():
    with scratch_database() as database:
        names = Occurrences(database)
        given = ["a", "b", "a", "a-2", "a", "a-2", "a-3", ""]
        found = [names.unique(name) for name in given]
    assert found == ["a", "b", "a-2", "a-2-2", "a-3", "a-2-3", "a-3-2", ""]
    assert len(set(found)) == len(given)
