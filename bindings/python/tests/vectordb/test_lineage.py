"""`LineageNode` and `LineageTracker`."""

# ruff: noqa: A001

import copy
import datetime
import pickle
import random
import time
from typing import Any

import pytest
from common.core.serialization import Serializable
from vectordb.feature_store.lineage import LineageNode, LineageTracker


def tracker_of(*edges: str) -> LineageTracker:
    """Of nodes named by letters; an edge is two of them."""
    tracker = LineageTracker()
    for name in sorted({name for edge in edges for name in edge}):
        tracker.add_node("feature", node_id=name)
    for edge in edges:
        tracker.add_edge(*edge)
    return tracker


def test_node() -> None:
    """Defaults, live lists, dicts and JSON."""
    before = time.time()
    node = LineageNode()
    assert len(node.node_id) == 36
    assert (node.node_type, node.name, node.created_by, node.metadata) == ("feature", None, None, {})
    assert before <= node.timestamp <= time.time()
    node = LineageNode("n", "kind", "name", 0, "me", {"k": 1})
    assert (node.node_id, node.timestamp) == ("n", 0)
    assert node.created_at == datetime.datetime(1970, 1, 1)
    node.add_parent("p")
    node.add_parent("p")
    node.add_child("c")
    node.children.append("d")
    assert (node.parents, node.children) == (["p"], ["c", "d"])
    found = node.to_dict()
    assert found == {
        "node_id": "n",
        "node_type": "kind",
        "name": "name",
        "timestamp": 0,
        "created_by": "me",
        "metadata": {"k": 1},
        "parents": ["p"],
        "children": ["c", "d"],
    }
    assert list(found)[:4] == ["node_id", "node_type", "name", "timestamp"]
    again = LineageNode.from_dict(found)
    assert again.to_dict() == found
    assert again != node
    assert again.parents is not found["parents"]
    assert LineageNode.from_json(node.to_json()).to_dict() == found
    with pytest.raises(KeyError):
        LineageNode.from_dict({"node_id": "n", "node_type": "t"})
    assert isinstance(node, Serializable)
    for name in ("node_id", "node_type", "name", "timestamp", "created_by", "metadata", "parents", "children"):
        setattr(node, name, [])
    assert {node: 1}[node] == 1


def test_copies() -> None:
    """Of nodes and trackers."""
    tracker = tracker_of("ab", "bc")
    for other in (copy.deepcopy(tracker), pickle.loads(pickle.dumps(tracker)), copy.copy(tracker)):
        assert list(other.get_descendants("a")) == ["b", "c"]
    node = copy.copy(tracker.get_node("a"))
    assert node.to_dict() == tracker.get_node("a").to_dict()  # type: ignore[union-attr]


def test_adding() -> None:
    """Checked first."""
    tracker = LineageTracker()
    a = tracker.add_node("feature", "A", "a", 5, "me", {"k": 1})
    assert tracker.get_node("a") is a is tracker._nodes["a"]
    b = tracker.add_node("feature", node_id="b", parents=["a"])
    assert (a.children, b.parents) == (["b"], ["a"])
    with pytest.raises(ValueError, match="x"):
        tracker.add_node("feature", node_id="c", parents=["a", "x"])
    assert "c" not in tracker._nodes
    assert a.children == ["b"]
    tracker.add_edge("a", "b")
    assert a.children == ["b"]
    with pytest.raises(ValueError, match="Parent node x does not exist"):
        tracker.add_edge("x", "b")
    with pytest.raises(ValueError, match="Child node x does not exist"):
        tracker.add_edge("a", "x")
    tracker.add_edge("b", "b")
    assert list(tracker.get_all_nodes()) == ["a", "b"]
    assert tracker.get_all_nodes("kind") == {}
    assert tracker.get_node("x") is None


def test_reaching() -> None:
    """By the shortest way; cycles end."""
    tracker = tracker_of("ab", "bc", "cd", "ad", "de", "ea")
    assert set(tracker.get_descendants("a")) == set("abcde")
    assert list(tracker.get_descendants("a", 1)) == ["b", "d"]
    assert set(tracker.get_descendants("a", 2)) == set("bcde")
    assert tracker.get_descendants("a", 0) == {}
    assert set(tracker.get_ancestors("d", max_depth=1)) == set("ca")
    assert tracker.get_ancestors("d")["a"] is tracker.get_node("a")
    with pytest.raises(ValueError, match="x"):
        tracker.get_ancestors("x")
    tracker.get_node("a").children.append("nowhere")  # type: ignore[union-attr]
    assert "nowhere" not in tracker.get_descendants("a")


def test_paths() -> None:
    """The shortest, downwards only."""
    tracker = tracker_of("ab", "bc", "cd", "ad")
    assert tracker.get_lineage_path("a", "c") == ["a", "b", "c"]
    assert tracker.get_lineage_path("a", "d") == ["a", "d"]
    assert tracker.get_lineage_path("d", "a") == tracker.get_lineage_path("a", "a") == []
    for ends in ("ax", "xa"):
        with pytest.raises(ValueError, match="x"):
            tracker.get_lineage_path(*ends)


def test_transformations() -> None:
    """Nodes between inputs and outputs."""
    tracker = tracker_of("ax", "bx")
    metadata = {"m": 1}
    id = tracker.add_transformation("log", ["a"], ["b"], {"base": 10}, "me", 7, metadata)
    node = tracker.get_node(id)
    assert node is not None
    assert (node.node_type, node.name, node.parents, node.children) == ("transformation", "log", ["a"], ["b"])
    assert node.metadata == {"m": 1, "parameters": {"base": 10}}
    assert metadata == {"m": 1}
    assert tracker.get_node(tracker.add_transformation("t", [], [], {})).metadata == {}  # type: ignore[union-attr]
    count = len(tracker._nodes)
    for inputs, outputs in ((["a", "z"], ["b"]), (["a"], ["b", "z"])):
        with pytest.raises(ValueError, match="z"):
            tracker.add_transformation("t", inputs, outputs)
    assert len(tracker._nodes) == count
    step = tracker.get_node_history("x")[0]
    assert step == {
        "node_id": id,
        "name": "log",
        "type": "transformation",
        "timestamp": 7,
        "created_by": "me",
        "metadata": {"m": 1, "parameters": {"base": 10}},
        "inputs": ["a"],
        "outputs": ["b"],
    }
    with pytest.raises(ValueError, match="unknown"):
        tracker.get_node_history("unknown")


def test_history_of_equal_times_is_in_order_of_creation() -> None:
    """However the nodes are found."""
    rng = random.Random(2)
    tracker = LineageTracker()
    tracker.add_node("feature", node_id="0", timestamp=1)
    names = []
    for i in range(1, 40):
        tracker.add_node("feature", node_id=str(i), timestamp=1)
        inputs = {str(rng.randrange(i)) for _ in range(3)} | {str(i - 1)}
        tracker.add_transformation(f"t{i}", sorted(inputs), [str(i)], timestamp=1)
        names.append(f"t{i}")
    assert [step["name"] for step in tracker.get_node_history("39")] == names
    again = pickle.loads(pickle.dumps(tracker))
    assert [step["name"] for step in again.get_node_history("39")] == names


def test_deletion() -> None:
    """References go too."""
    tracker = tracker_of("ab", "bc", "ac", "cd")
    assert tracker.delete_node("b") == 1
    assert tracker.get_node("a").children == ["c"]  # type: ignore[union-attr]
    assert tracker.get_node("c").parents == ["a"]  # type: ignore[union-attr]
    assert tracker.delete_node("c", cascade=True) == 2
    assert list(tracker._nodes) == ["a"]
    with pytest.raises(ValueError, match="b"):
        tracker.delete_node("b")
    cyclic = tracker_of("ab", "ba", "cc")
    assert cyclic.delete_node("a", True) == 2
    assert cyclic.delete_node("c", True) == 1


def test_long_chains() -> None:
    """No recursion."""
    tracker = LineageTracker()
    tracker.add_node("feature", node_id=0)
    for i in range(1, 20_000):
        tracker.add_node("feature", node_id=i, parents=[i - 1])
    assert len(tracker.get_descendants(0)) == 19_999
    assert len(tracker.get_lineage_path(0, 19_999)) == 20_000
    assert tracker.delete_node(0, cascade=True) == 20_000


def test_subclass() -> None:
    """With another constructor."""

    class Mine(LineageTracker):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def add_edge(self, parent_id: Any, child_id: Any) -> None:
            super().add_edge(parent_id, child_id)

    assert Mine("x").name == "x"
