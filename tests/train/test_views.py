"""Views are drawn once, and a teacher is asked once for each."""

import pytest

torch = pytest.importorskip("torch")

from lowbit.train.recipe import Recipe  # noqa: E402
from lowbit.train.samples import Samples  # noqa: E402
from lowbit.train.settings import Augmentation  # noqa: E402
from lowbit.train.views import Taught, view_number, view_of  # noqa: E402

SETTINGS = Augmentation(flip=True, crop=2, views=3, until=0.5)


def samples(count=40):
    numbers = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
    return Samples(numbers, torch.zeros(count, dtype=torch.int64), (), (3, 8, 8))


def test_a_view_is_the_same_again_and_others_differ():
    given = samples()
    first, again, other = (view_of(given, SETTINGS, 1, number).numbers for number in (0, 0, 1))
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, view_of(given, SETTINGS, 2, 0).numbers)


def test_bytes_move_as_reals_do():
    given = samples()
    moved = view_of(given, SETTINGS, 1, 0)
    reals = Samples(given.pictures(slice(None)), given.labels, (), given.shape)
    assert torch.equal(view_of(reals, SETTINGS, 1, 0).numbers, moved.pictures(slice(None)))


def test_the_last_view_is_the_pictures_as_they_are():
    given = samples()
    assert [view_number(SETTINGS, epoch, 10) for epoch in range(10)] == [0, 1, 2, 0, 1, 3, 3, 3, 3, 3]
    assert torch.equal(view_of(given, SETTINGS, 1, 3).numbers, given.numbers)


class Teacher(torch.nn.Module):
    asked = 0

    def forward(self, x):
        self.asked += len(x)
        return x.flatten(1)[:, :4]


def test_a_teacher_is_asked_once_for_a_view_also_after_a_restart(tmp_path):
    recipe = Recipe(network="lenet", data="x", epochs=1)
    teacher, given = Teacher(), samples()
    taught = Taught(teacher, recipe, len(given), tmp_path)
    pictures = given.pictures(slice(None))
    order = torch.randperm(len(given))
    for chosen in (order[:20], order[20:], order[5:30]):
        assert torch.equal(taught(pictures[chosen], 0, chosen), pictures[chosen].flatten(1)[:, :4])
    assert teacher.asked == len(given)
    taught.keep()
    again = Taught(teacher, recipe, len(given), tmp_path)
    assert torch.equal(again(pictures, 0, torch.arange(40)), pictures.flatten(1)[:, :4])
    assert teacher.asked == len(given)
    again(pictures, 1, torch.arange(40))
    again(pictures, None, torch.arange(40))
    assert teacher.asked == 3 * len(given)


def test_answers_of_another_teacher_are_not_used(tmp_path):
    teacher, given = Teacher(), samples()
    taught = Taught(teacher, Recipe(network="lenet", data="x", epochs=1), len(given), tmp_path)
    taught(given.pictures(slice(None)), 0, torch.arange(40))
    taught.keep()
    other = Taught(teacher, Recipe(network="lenet", data="x", epochs=2), len(given), tmp_path)
    other(given.pictures(slice(None)), 0, torch.arange(40))
    assert teacher.asked == 80
