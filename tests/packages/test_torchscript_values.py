"""What a TorchScript file's pickles make: lies would read memory that is not theirs."""

import functools
import io

import pytest
import torch
from torch import nn

from geodl_lab.errors import ModelError
from geodl_lab.packages.torchscript import load_torchscript
from geodl_lab.packages.zips import Zip, pack


class Little(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.arange(7.0))
        self.pair = (1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.w.sum() + self.pair[1]


class Big(Little):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.arange(7.0))


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.little, self.big = Little(), Big()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.big(self.little(x)) + self.big.other.sum()


for _kind in (Little, Big, Both):
    _kind.__module__ = "__main__"  # so that its name in an archive is __torch__.Both


def opened(content):
    return load_torchscript(Zip(content, "net.pt"), trusted=False, sha256="f" * 64)


@functools.cache
def saved(kind):
    """A module as TorchScript; once, because torch gives the class another name the next time."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(kind().eval()), buffer)
    return buffer.getvalue()


def changed(name, change):
    """The archive of `Both` with one file changed."""
    archive = Zip(saved(Both), "net.pt")
    files = {each: archive.read(each) for each in archive.names}
    before = files[archive.top + name]
    files[archive.top + name] = change(before)
    assert files[archive.top + name] != before
    return pack(files).read()


def refuses(content, match):
    with pytest.raises(ModelError, match=rf"'net.pt' hold the part .* which {match}; get the"):
        opened(content)


def test_a_storage_shorter_than_it_says_is_refused():
    refuses(changed("data/0", lambda b: b[:4]), "says more numbers than there are in '0'")


def test_a_tensor_beyond_its_storage_is_refused():
    for size in (b"(K\x70t", b"(J\xff\xff\xff\xfft"):  # 112 and -1 for 7
        content = changed("data.pkl", lambda b, size=size: b.replace(b"(K\x07t", size, 1))
        refuses(content, "holds a tensor (beyond its own numbers|of no shape)")


@pytest.mark.parametrize("nested", [b")" + b"\x85" * 10**6, b"]" * 10**6 + b"a" * (10**6 - 1)])
def test_deep_values_are_refused(nested):
    """Torch's reader recurses until the process ends."""
    content = changed("constants.pkl", lambda _: b"\x80\x02" + nested + b"\x85.")
    refuses(content, "nests more than 200 deep")


def test_circles_are_refused():
    content = changed("constants.pkl", lambda _: b"\x80\x02]q\x00h\x00a\x85.")
    refuses(content, "nests more than 200 deep")


def test_an_object_of_another_class_than_its_place_is_refused():
    content = changed("data.pkl", lambda b: b.replace(b"\nBig\n", b"\nLittle\n"))
    refuses(content, "holds '__torch__.Little' where '__torch__.Big' belongs")


def test_a_tuple_shorter_than_its_place_is_refused():
    content = changed("data.pkl", lambda b: b.replace(b"K\x01K\x02\x86", b"K\x01\x85"))
    refuses(content, "holds a tuple of another length than its place")


def test_memory_for_a_memo_is_not_taken():
    content = changed("constants.pkl", lambda _: b"\x80\x02)r\xff\xff\xff\x7f.")
    with pytest.raises(ModelError, match="numbers more than it holds"):
        opened(content)


class Kinds(nn.Module):
    """Attributes of many types."""

    maybe: tuple[int, int] | None
    empty: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Little(), Big()])
        self.named = nn.ModuleDict({"a": Little()})
        self.tensors = [torch.ones(2), torch.ones(3)[1:]]
        self.table = {"a": (1, 2.0, "x"), "b": (2, 3.0, "y")}
        self.maybe = None
        self.pair = (torch.ones(1), torch.ones(2))
        self.empty = []
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.register_buffer("wide", torch.ones(1).expand(50))
        self.register_buffer("none", torch.zeros(0, 3))
        self.register_buffer("number", torch.tensor(3))
        self.register_buffer("halves", torch.ones(3).half())
        self.register_buffer("flags", torch.ones(3) > 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        for part in self.named.values():
            x = part(x)
        if self.maybe is not None:
            x = x + 1
        x = x + self.tensors[1].sum() + self.table["a"][1] + self.pair[1].sum() + len(self.empty)
        return x + self.turned.sum() + self.wide.sum() + self.none.sum() + self.number


def test_honest_values_of_every_kind_open():
    module = Kinds().eval()
    x = torch.zeros(1)
    with torch.no_grad():
        assert torch.equal(opened(saved(Kinds))(x), module(x))
