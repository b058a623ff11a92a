from batch.agent.devices import assign
from batch.model import Node

NODES = {name: Node(name, gpus=4, cpus=8) for name in ("a", "b")}


def test_free_ones_are_given_in_order() -> None:
    taken = [(("a", "b"), ((0,), (0, 1)))]
    assert assign(("a", "b"), 2, NODES, taken) == ((1, 2), (2, 3))


def test_two_bundles_on_a_node_do_not_share() -> None:
    assert assign(("a", "a"), 2, NODES, []) == ((0, 1), (2, 3))


def test_nothing_is_given_when_one_node_has_too_few() -> None:
    assert assign(("a", "b"), 3, NODES, [(("b",), ((3, 0),))]) is None
    assert assign(("gone",), 1, NODES, []) is None


def test_a_job_without_accelerators_sees_none() -> None:
    assert assign(("a", "b"), 0, NODES, []) == ((), ())
