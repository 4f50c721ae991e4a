from __future__ import annotations

import pytest
import torch
from nni_earlyexit.training.optimizer import check_optimizer, create_optimizer, create_schedule
from nni_earlyexit.training.recipe import Recipe
from small_networks import network
from timm.optim import muon


def rates(schedule: str, warmup: float, steps: int = 40) -> list[float]:
    recipe = Recipe(recipe="plain", optimizer="sgd", learning_rate=2.0, schedule=schedule, warmup=warmup).filled(())
    optimizer = create_optimizer(recipe, network())
    course = create_schedule(recipe, optimizer, steps)
    drawn = []
    for _ in range(steps):
        drawn.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    return drawn


@pytest.mark.parametrize("schedule", ["linear", "cosine", "onecycle"])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing(schedule):
    drawn = rates(schedule, 0.25)
    top = drawn.index(max(drawn))
    assert max(drawn) == pytest.approx(2.0, rel=0.02)
    assert 8 <= top <= 11
    assert drawn[: top + 1] == sorted(drawn[: top + 1])
    assert drawn[top:] == sorted(drawn[top:], reverse=True)
    assert drawn[-1] < 0.1


@pytest.mark.parametrize(
    ("warmup", "steps"), [(0.25, 4), (0.1, 10), (0.5, 2), (1.0, 1), (0.0, 1), (0.3, 1), (0.0, 7), (1, 9)]
)
@pytest.mark.parametrize("schedule", ["linear", "cosine", "onecycle"])
def test_courses_of_few_steps_are_possible(schedule, warmup, steps):
    assert len(rates(schedule, warmup, steps)) == steps


def test_an_optimizer_of_second_derivatives_is_refused():
    with pytest.raises(ValueError, match="^optimizer: 'adahessian' is not possible; it needs second derivatives"):
        check_optimizer("adahessian")


def test_a_constant_one_stays():
    assert rates("constant", 0.0) == pytest.approx([2.0] * 40)


def test_a_course_goes_on_from_its_state():
    recipe = Recipe(recipe="fast").filled(())
    optimizer = create_optimizer(recipe, network())
    course = create_schedule(recipe, optimizer, 40)
    for _ in range(15):
        optimizer.step()
        course.step()
    again = create_optimizer(recipe, network())
    resumed = create_schedule(recipe, again, 40)
    resumed.load_state_dict(course.state_dict())
    assert again.param_groups[0]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon", "lamb"])
def test_optimizers_have_timms_names(name):
    net = network()
    optimizer = create_optimizer(Recipe(recipe="plain", optimizer=name).filled(()), net)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    sum(logits.pow(2).sum() for logits in net(torch.randn(4, 1, 8, 8))).backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True) if b.grad.abs().sum() > 0)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["muon", "adamuon"])
def test_muon_computes_in_the_numbers_of_the_training(monkeypatch, name, half):
    numbers, given = [], muon.zeropower_via_newtonschulz

    def watched(*arguments, dtype=torch.bfloat16, **options):
        numbers.append(dtype)
        return given(*arguments, dtype=dtype, **options)

    monkeypatch.setattr(muon, "zeropower_via_newtonschulz", watched)
    weights = torch.nn.ParameterList([torch.ones(8, 4), torch.ones(3)])
    optimizer = create_optimizer(Recipe(recipe="plain", optimizer=name).filled(()), weights, bfloat16=half)
    for _ in range(2):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert numbers == [torch.bfloat16 if half else torch.float32] * 2
    assert muon.zeropower_via_newtonschulz is watched


def test_a_step_that_ends_with_an_error_changes_nothing_for_others():
    given, weights = muon.zeropower_via_newtonschulz, torch.nn.ParameterList([torch.ones(8, 4)])

    def closure():
        raise KeyboardInterrupt

    def made(bfloat16):
        return create_optimizer(
            Recipe(recipe="plain", optimizer="muon").filled(()), torch.nn.ParameterList(weights), bfloat16=bfloat16
        )

    with pytest.raises(KeyboardInterrupt):
        made(False).step(closure)
    weights[0].grad = torch.ones_like(weights[0])
    numbers = []
    other = made(True)
    other.register_step_pre_hook(lambda *_: numbers.append(muon.zeropower_via_newtonschulz.keywords["dtype"]))
    other.step()
    assert numbers == [torch.bfloat16]
    assert muon.zeropower_via_newtonschulz is given


@pytest.mark.parametrize("name", ["nesterov", "momentum"])
def test_weights_that_learn_later_learn_as_if_they_had_been_first(name):
    """In a supernet the weights of a layer have no gradient before a path takes it."""
    recipe = Recipe(recipe="plain", optimizer=name, learning_rate=0.1, weight_decay=0.0).filled(())
    late, alone = (torch.nn.ParameterList([torch.ones(3), torch.ones(2)]) for _ in range(2))
    optimizer, other = create_optimizer(recipe, late), create_optimizer(recipe, torch.nn.ParameterList([alone[1]]))
    late[0].grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(late[1], torch.ones(2))
    for _ in range(3):
        late[0].grad, late[1].grad, alone[1].grad = torch.ones(3), torch.ones(2), torch.ones(2)
        optimizer.step()
        other.step()
    assert torch.equal(late[1], alone[1])


def test_an_unknown_optimizer_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match="optimizer: 'adamwx' is unknown; did you mean .*'adamw'"):
        create_optimizer(Recipe(optimizer="adamwx").filled(()), network())
