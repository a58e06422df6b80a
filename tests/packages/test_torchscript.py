"""TorchScript opens without trust where it only computes; programs that do more never run."""

import io
import pickle
import warnings
import zipfile

import pytest
import torch
from torch import nn

from geodl_lab import from_torch
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.registry import ZOO
from geodl_lab.packages.torchscript import is_torchscript, load_torchscript
from geodl_lab.packages.zips import Zip, pack

IMAGE, ROWS = torch.rand(2, 4, 16, 16), torch.rand(2, 6, 8)


def saved(module):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def opened(content, *, trusted=False):
    return load_torchscript(Zip(content, "net.pt"), trusted=trusted, sha256="f" * 64)


def with_files(content, changes):
    """The archive with some files changed or added; names are below its top folder."""
    archive = Zip(content, "net.pt")
    files = {name: archive.read(name) for name in archive.names}
    return pack({**files, **{archive.top + name: text for name, text in changes.items()}}).read()


def as_written(code, **files):
    """A TorchScript archive around hand-written code of one module, ``Net``."""
    changes = {"code/__torch__.py": code.encode(), **files}
    return with_files(saved(torch.jit.script(Net())), changes)


class Net(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


Net.__module__ = "__main__"  # so that its name in an archive is __torch__.Net

BODY = """class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : NoneType
  def forward(self: __torch__.Net, x: Tensor) -> Tensor:
{}
    return x
"""


def body(*lines):
    return BODY.format("\n".join(f"    {line}" for line in lines))


LAYERS = {
    "conv": (nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), IMAGE),
    "down": (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)), IMAGE),
    "up": (nn.Sequential(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(4, 2, 2)), IMAGE),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "norms": (nn.Sequential(nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(16)), IMAGE),
    "activations": (
        nn.Sequential(nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Softmax(1), nn.LeakyReLU(), nn.PReLU(),
                      nn.Hardswish(), nn.ELU(), nn.Mish(), nn.Softplus(), nn.Tanh()), IMAGE,
    ),
    "padding": (nn.Sequential(nn.ReflectionPad2d(1), nn.ZeroPad2d(1), nn.Dropout(0.5)), IMAGE),
    "shuffle": (nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.Flatten()), IMAGE),
    "linear": (nn.Sequential(nn.Linear(8, 8), nn.Embedding(9, 3)), None),
    "attention": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), ROWS),
}  # fmt: skip


@pytest.mark.parametrize("how", ["traced", "scripted"])
@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"linear"}))
def test_layers_open_without_trust_and_answer_the_same(name, how):
    module, x = LAYERS[name][0].eval(), LAYERS[name][1]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(module, x) if how == "traced" else torch.jit.script(module)
        assert torch.allclose(opened(saved(made))(x), module(x), atol=1e-5)


class Wide(nn.Module):
    """What scripts use of the language."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.sizes = {"a": 1}

    def forward(self, x: torch.Tensor, bias: float | None = None) -> dict[str, torch.Tensor]:
        out: list[torch.Tensor] = []
        for part in self.parts:
            x = part(x)
            out.append(x)
        n = 0
        while n < 3 and x.shape[0] > 0:
            n += self.sizes["a"]
        if bias is not None:
            x = x + bias
        assert n > 2, f"bad {n}"
        with torch.no_grad():
            x = torch.nn.functional.pad(x, [1, 1])
        kept = x[x > 0].to(torch.float64)
        return {"x": torch.cat(out), "kept": kept, "mean": x.mean().clamp(0.0, float("inf"))}


def test_the_language_of_scripts_opens():
    module = torch.jit.script(Wide().eval())
    for key, value in module(ROWS, 1.0).items():
        assert torch.equal(opened(saved(module))(ROWS, 1.0)[key], value)


def test_the_bundled_model_opens_without_trust():
    content = (ZOO / "naip-landcover" / "trained_torchscript.pt").read_bytes()
    x, theirs = torch.rand(1, 4, 256, 256), torch.jit.load(io.BytesIO(content), map_location="cpu")
    with torch.no_grad():
        assert torch.equal(opened(content)(x), theirs(x))
    assert is_torchscript(Zip(content, "net.pt"))


EVIL = {
    "save": ['torch.save(x, "FILE")'],
    "from_file": ['y = torch.from_file("FILE", True, 4)'],
    "a method": ['_0 = (x).save("FILE")'],
    "a method after a call": ['_0 = torch.add(x, 1).save("FILE")'],
    "an alias of the operator": ["f = torch.save", 'f(x, "FILE")'],
    "an alias of the module": ["t = torch", 't.save(x, "FILE")'],
    "getattr": ['_0 = getattr(x, "save")("FILE")'],
    "getattr of two strings": ['_0 = getattr(x, "sa" "ve")("FILE")'],
    "an escaped name": ['_0 = getattr(x, "\\163ave")("FILE")'],
    "getattr as a value": ["g = getattr", '_0 = g(x, "save")("FILE")'],
    "ops": ['ops.aten.save(x, "FILE")'],
    "an alias of ops": ["a = ops.aten", 'a.save(x, "FILE")'],
    "a loop": ["for i in range(3):", '  torch.save(x, "FILE")'],
    "a branch": ["if torch.gt(1, 2):", "  pass", "else:", '  torch.save(x, "FILE")'],
    "a text": ['y = torch.format("{}", torch.save(x, "FILE"))'],
    "a comment": ["y = x # type: Tensor"],
    "a bound module": ["__torch__ = x", '_0 = __torch__.save("FILE")'],
    "print": ["print(x)"],
    "fork": ["y = fork(__torch__.Net, x)"],
    "rpc": ["y = ops.prim.rpc_async(x)"],
    "a seed": ["torch.manual_seed(1)"],
    "another library": ["y = ops.torchvision.nms(x, x, 0.5)"],
    "a class of C++": ["y = __torch__.torch.classes.dist_c10d.TCPStore(x)"],
    "a lambda": ['y = (lambda z: torch.save(z, "FILE"))(x)'],
    "a list comprehension": ["y = [z for z in [x]]"],
    "an import": ["import os"],
    "a string of another kind": ['y = r"\\"'],
    "a string in three quotes": ['y = """a"""'],
    "no Python": ["y = = x"],
    "a null byte": ["y = x\0"],
    "a form feed": ["y = x\f"],
    "other letters": ["y = torch.ｓave(x)"],  # noqa: RUF001  Python reads it as save
    "many attributes": ["y = self" + ".a" * 500],
    "strings that never end": ["y = " + '"\\' * 3_000_000],
    "a long name": ["y = " + "a" * 10**6],
    "deep brackets": ["y = " + "(" * 500 + "x" + ")" * 500],
    "a deep sum": ["y = " + "-" * 9000 + "1"],
}


@pytest.mark.parametrize("name", EVIL)
def test_programs_that_do_more_are_refused_and_do_not_run(name, tmp_path):
    file = tmp_path / "written"
    code = body(*[line.replace("FILE", str(file)) for line in EVIL[name]])
    with pytest.raises(TrustError, match=r"that uses .*was not run.*trust=True \(sha256 f{64}\)"):
        opened(as_written(code))
    assert not file.exists()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))  # as layers of ConvNeXt and DINO call it
        self.resize = nn.Upsample(scale_factor=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resize(x * self.gamma)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float32])
def test_networks_of_any_precision_run_on_float32(dtype):
    module = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)).eval().to(dtype)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for made in (torch.jit.script(module), torch.jit.trace(module, IMAGE.to(dtype))):
            found = opened(saved(made))(IMAGE)
            assert found.dtype == torch.float32
            assert torch.allclose(found, module.float()(IMAGE), atol=1e-2)
            module.to(dtype)


def test_parts_that_are_called_like_harmless_operators_open():
    assert torch.equal(opened(saved(torch.jit.trace(Scaled(), IMAGE)))(IMAGE), IMAGE)


def test_a_program_that_fails_says_why():
    with pytest.raises(ModelError, match=r"float32 .*: expected 3 channels"):
        wrong = torch.jit.script(Failing())
        from_torch(wrong, bands=["a"], classes=["a", "b"], window=32)


class Failing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1] == 3, "expected 3 channels"
        return x


def test_the_operator_is_named():
    for name, match in {
        "save": "uses 'torch.save'",
        "a method": "uses 'save'",
        "rpc": "uses 'prim::rpc_async'",
        "another library": "raw boxes",
    }.items():
        with pytest.raises(TrustError, match=match):
            opened(as_written(body(*EVIL[name])))


PLACES = {
    "a default": BODY.replace("x: Tensor)", 'x: Tensor, y: None=torch.save(1, "FILE"))').format(""),
    "a function": body("y = __torch__.f(x)")
    + 'def f(x: Tensor) -> int:\n  torch.save(x, "FILE")\n  return 1\n',
    "an enumeration": body('_0 = (__torch__.Color.RED).save("FILE")')
    + "class Color(Enum):\n  RED = 1\n",
    "a class of that name": body('_0 = __torch__.save.save("FILE")')
    + "class save(Enum):\n  save = 1\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_every_place_of_a_program_is_read(name, tmp_path):
    file = tmp_path / "written"
    with pytest.raises(TrustError, match=r"that uses .*save'"):
        opened(as_written(PLACES[name].replace("FILE", str(file))))
    assert not file.exists()


class Loading(nn.Module):
    """Writes a file when it is loaded."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.file, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.file = state[0]
        self.training = state[1]
        torch.save(1, state[0])


def test_a_program_that_runs_when_it_is_loaded_does_not(tmp_path):
    file = tmp_path / "written"
    content = saved(torch.jit.script(Loading(str(file))))
    for wrapped in (content, saved(torch.jit.script(nn.Sequential(Loading(str(file)))))):
        with pytest.raises(TrustError, match=r"uses 'torch\.save'"):
            opened(wrapped)
    assert not file.exists()
    torch.jit.load(io.BytesIO(content))
    assert file.exists()  # so it would have


def test_the_names_of_modules_are_never_bound():
    """Else the name of a function of the file could stand for a method of a value."""
    function = "def save(x: int) -> int:\n  return x\n"
    for code in (
        body("__torch__ = 1", '_0 = __torch__.save("f")'),
        body("for __torch__ in [1]:", '  _0 = __torch__.save("f")'),
        body("pass").replace("x: Tensor", "__torch__: Tensor"),
    ):
        with pytest.raises(TrustError, match="uses '__torch__' as a value"):
            opened(as_written(code + function))


def test_a_file_of_code_beside_the_module_is_read(tmp_path):
    other = {
        "code/__torch__/a/b.py": b'def f(x: Tensor) -> int:\n  torch.save(x, "f")\n  return 1\n'
    }
    with pytest.raises(TrustError, match=r"'torch.save'"):
        opened(as_written(body("pass"), **other))


def test_an_enumeration_is_not_taken_for_a_folder(tmp_path):
    """Else __torch__.Color.RED.save would pass as the name of a module."""
    other = {"code/__torch__/Color/RED/save.py": b"def f(x: int) -> int:\n  return x\n"}
    code = body('_0 = __torch__.Color.RED.save("f")') + "class Color(Enum):\n  RED = 1\n"
    with pytest.raises(TrustError, match=r"'__torch__.Color' as two things"):
        opened(as_written(code, **other))


def test_trust_runs_it(tmp_path):
    file = tmp_path / "written"
    net = opened(as_written(body(f'torch.save(x, "{file}")')), trusted=True)
    net(torch.zeros(1))
    assert file.exists()  # so the tests above would see a program that ran


class Reduced:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl"])
def test_pickles_name_nothing_but_tensors_and_classes_of_the_file(name, tmp_path):
    bomb = pickle.dumps(Reduced(open, str(tmp_path / "written"), "w"), protocol=2)
    with pytest.raises(TrustError, match=r"uses '(io|__builtin__|builtins)\.open'"):
        opened(with_files(saved(torch.jit.script(Net())), {name: bomb}))
    custom = b"\x80\x02c__torch__.torch.classes.dist_c10d\nTCPStore\n."
    with pytest.raises(TrustError, match="TCPStore"):
        opened(with_files(saved(torch.jit.script(Net())), {name: custom}))
    for damaged in (b"\x80\x02", b"nonsense", b"\x80\x04\x8c\x02os\x8c\x06system\x93."):
        with pytest.raises(TrustError, match=f"{name}'"):
            opened(with_files(saved(torch.jit.script(Net())), {name: damaged}))
    assert not list(tmp_path.iterdir())


def test_what_torch_does_not_read_is_left_out():
    """An archive within the archive's slack, or files beside, never reach torch."""
    content = with_files(saved(torch.jit.script(Net())), {"extra/run.py": b"x", "code/a.txt": b"x"})
    assert torch.equal(opened(content)(IMAGE), IMAGE)


def test_lying_archives_are_refused():
    whole = saved(torch.jit.script(Net()))
    with pytest.raises(ModelError, match="lacks a part"):
        archive = Zip(whole, "net.pt")
        names = [name for name in archive.names if not name.endswith("data.pkl")]
        opened(pack({name: archive.read(name) for name in names}).read())
    with pytest.raises(ModelError, match="do not open"):
        opened(with_files(whole, {"version": b"x", ".data/version": b"x"}))


def test_the_graph_is_checked_by_itself(monkeypatch):
    """The second look finds what the first one would have let through."""
    from geodl_lab.packages import torchscript  # noqa: PLC0415

    monkeypatch.setattr(torchscript, "check_code", lambda sources: None)
    with pytest.raises(TrustError, match="'aten::save'"):
        opened(as_written(PLACES["a function"]))
    with pytest.raises(TrustError, match="'prim::Print'"):
        opened(as_written(body("if torch.gt(torch.dim(x), 2):", "  print(x)", "else:", "  pass")))


def test_an_archive_of_zip_tricks_is_refused_though_trusted():
    target = io.BytesIO(saved(torch.jit.script(Net())))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../outside", b"x")
    with pytest.raises(ModelError, match="outside the archive's own folder"):
        opened(target.getvalue(), trusted=True)
