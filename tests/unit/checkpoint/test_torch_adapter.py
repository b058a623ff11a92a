"""State of plain torch modules: which slices, when they are listed anew, and what is refused."""

import copy
import itertools
from typing import Any

import pytest
import torch

from checkpoint.adapter_torch import TorchAdapter, share
from checkpoint.adapters import adapter_for
from checkpoint.arena import Arena
from checkpoint.errors import AdapterError, ArenaError, IncompleteError
from checkpoint.optimizer_state import to_json
from checkpoint.snapshot import Snapshotter, plan_layout


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 5)
        self.second = torch.nn.Linear(5, 2)
        self.second.weight.requires_grad_(False)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.empty = torch.nn.Parameter(torch.zeros(0, 4))
        self.register_buffer("count", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("derived", torch.ones(7), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) * self.scale)


def adapter(optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW, **settings: Any) -> TorchAdapter:
    model = Model()
    return TorchAdapter(model, optimizer(model.parameters(), lr=0.1, **settings))


def kinds(found: TorchAdapter) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for piece in found.wanted():
        names.setdefault(piece.name, []).append(piece.kind)
    return names


def step(found: TorchAdapter) -> None:
    found.module(torch.randn(4, 3)).sum().backward()
    assert found.optimizer is not None
    found.optimizer.step()


def test_state_is_complete_before_the_first_step() -> None:
    adam = ["fp32", "exp_avg", "exp_avg_sq"]
    assert kinds(adapter()) == {
        "first.weight": adam,
        "first.bias": adam,
        "second.bias": adam,
        "scale": adam,
        "second.weight": ["frozen"],
        "count": ["buffer"],
    }


@pytest.mark.parametrize(
    ("optimizer", "settings", "expected"),
    [
        (torch.optim.Adam, {"amsgrad": True}, ["fp32", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
        (torch.optim.SGD, {}, ["fp32"]),
        (torch.optim.SGD, {"momentum": 0.9}, ["fp32", "momentum_buffer"]),
    ],
)
def test_created_state_is_what_the_first_step_would_create(
    optimizer: type[torch.optim.Optimizer], settings: dict[str, Any], expected: list[str]
) -> None:
    torch.manual_seed(0)
    created, untouched = adapter(optimizer, **settings), adapter(optimizer, **settings)
    untouched.module.load_state_dict(created.module.state_dict())
    assert sorted(kinds(created)["scale"]) == sorted(expected)
    for found in (created, untouched):
        for number in range(3):
            torch.manual_seed(number)
            step(found)
    assert all(
        torch.equal(ours.view, theirs.view) and ours.kind == theirs.kind
        for ours, theirs in zip(created.wanted(), untouched.wanted(), strict=True)
    )


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [(torch.optim.RMSprop, {}), (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1})],
)
def test_an_optimizer_whose_first_state_is_unknown_is_refused(
    optimizer: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    with pytest.raises(AdapterError, match="its state before the first step is not known"):
        adapter(optimizer, **settings).owned()


def test_slices_alias_the_engine_and_keep_their_addresses() -> None:
    found = adapter()
    first = found.owned()
    step(found)
    assert found.owned() is first
    for piece in first:
        piece.view.zero_()
    assert not any(parameter.any() for name, parameter in found.module.named_parameters())


def test_slices_are_listed_anew_when_a_tensor_was_replaced() -> None:
    found = adapter()
    first = found.owned()
    found.module.count = torch.full((2,), 3)
    second = found.owned()
    assert second is not first
    assert next(piece for piece in second if piece.kind == "buffer").view.tolist() == [3, 3]
    assert found.optimizer is not None
    found.optimizer.load_state_dict(copy.deepcopy(found.optimizer.state_dict()))
    assert found.owned() is not second


def test_a_snapshot_takes_in_replaced_tensors_and_refuses_another_form(tmp_path: Any) -> None:
    found = adapter()
    layout = plan_layout(found.owned(), rank=0, world_size=1, fence=1, generation=0)
    arena = Arena.create(tmp_path / "r0.arena", layout, meta_capacity=4096)
    snapshotter = Snapshotter(found, arena)
    snapshotter.take(1, {})
    found.module.count = torch.full((2,), 3)
    seal = snapshotter.take(2, {})
    index = next(i for i, entry in enumerate(layout.entries) if entry.name == "count")
    assert bytes(arena.entry_data(seal.slot)[index]) == torch.full((2,), 3).numpy().tobytes()
    found.module.count = torch.full((3,), 3)
    with pytest.raises(ArenaError, match="form has changed since the arena was laid out \\(first at count\\)"):
        snapshotter.take(3, {})


def test_scalars_come_back_whatever_the_order_of_the_groups() -> None:
    model = Model()
    groups = [
        {"params": [model.first.weight], "lr": 0.1, "betas": (0.8, 0.9)},
        {"params": [model.first.bias, model.scale], "lr": 0.2},
    ]
    saved = TorchAdapter(model, torch.optim.AdamW(groups))
    saved.owned()
    assert saved.optimizer is not None
    saved.optimizer.state[model.scale]["step"].fill_(7)
    scalars = saved.scalars()
    assert scalars["steps"] == {"common": 0.0, "others": {"scale": 7.0}}

    other = Model()
    turned = [{"params": [other.scale, other.first.bias]}, {"params": [other.first.weight]}]
    loaded = TorchAdapter(other, torch.optim.AdamW(turned, lr=9.0))
    loaded.load_scalars(scalars)
    assert loaded.optimizer is not None
    assert [group["lr"] for group in loaded.optimizer.param_groups] == [0.2, 0.1]
    assert loaded.optimizer.param_groups[1]["betas"] == (0.8, 0.9)
    assert loaded.optimizer.state[other.scale]["step"].item() == 7.0
    assert loaded.optimizer.state[other.first.bias]["step"].item() == 0.0

    merged = [{"params": [other.scale, other.first.bias, other.first.weight]}]
    with pytest.raises(AdapterError, match="saved with different settings"):
        TorchAdapter(other, torch.optim.AdamW(merged)).load_scalars(scalars)
    more = [{"params": [other.second.bias]}]
    with pytest.raises(IncompleteError, match=r"second\.bias is in no saved parameter group"):
        TorchAdapter(other, torch.optim.AdamW(more)).load_scalars(scalars)


def test_a_learning_rate_tensor_keeps_its_identity() -> None:
    found = adapter(capturable=False)
    assert found.optimizer is not None
    found.optimizer.param_groups[0]["lr"] = torch.tensor(0.25)
    scalars = found.scalars()
    rate = found.optimizer.param_groups[0]["lr"]
    rate.fill_(9.0)
    found.load_scalars(scalars)
    assert found.optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25


def test_memory_that_is_not_row_major_is_refused_by_name() -> None:
    model = torch.nn.Linear(3, 4)
    model.weight = torch.nn.Parameter(torch.randn(3, 4).T)
    with pytest.raises(AdapterError, match=r"weight: shape \(4, 3\) with strides \(1, 4\)"):
        TorchAdapter(model, torch.optim.AdamW(model.parameters())).owned()


def test_parameters_of_another_model_are_refused() -> None:
    with pytest.raises(AdapterError, match="is no parameter of Model"):
        TorchAdapter(Model(), torch.optim.AdamW(torch.nn.Linear(2, 2).parameters()))


def test_tied_weights_are_saved_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    model[1].weight = model[0].weight
    names = [piece.name for piece in TorchAdapter(model, torch.optim.AdamW(model.parameters())).owned()]
    assert names.count("0.weight") == 3
    assert "1.weight" not in names


def test_anything_else_is_refused() -> None:
    with pytest.raises(AdapterError, match="model is a dict: must be a DeepSpeed engine or a torch"):
        adapter_for({})


def test_json_says_what_it_cannot_say() -> None:
    assert to_json({"a": (1, 2.5, None, True, torch.tensor(3))}, "x") == {"a": [1, 2.5, None, True, 3]}
    with pytest.raises(AdapterError, match=r"x, 'a': .* of type object"):
        to_json({"a": object()}, "x")


@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_shares_tile_an_interval(size: int, ranks: int) -> None:
    parts = [share(5, 5 + size, rank, ranks) for rank in range(ranks)]
    assert parts[0][0] == 5
    assert parts[-1][1] == 5 + size
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert max(b - a for a, b in parts) - min(b - a for a, b in parts) <= 1
