"""What may stand in the code of a TorchScript file; whole files are in `test_torchscript`."""

import pytest
import torch

from geodl_lab.packages.torchscript_code import ImpureError, check_attribute, check_code, listed


def test_code_that_torch_writes_passes():
    check_code({
        "code/__torch__/a.py": "class Net(Module):\n  training : bool\n"
        "  def forward(self: __torch__.a.Net, x: Tensor) -> Tensor:\n"
        '    y = __torch__.a.b.f(x, "a # b", )\n'
        '    if torch.gt(ops.prim.dtype(y), 5):\n      z = getattr(self, "0")\n'
        "    else:\n      z = inf\n    return annotate(List[Tensor], [y])\n",
        "code/__torch__/a/b.py": "def f(x: Tensor, t: str) -> Tensor:\n  return torch.neg(x)\n",
    })  # fmt: skip


def test_only_code_of_the_file_is_read():
    for name in ("code/os.py", "code/__torch__/../a.py", "code/__torch__.a.py", "__torch__.py"):
        with pytest.raises(ImpureError, match="of an unusual kind in"):
            check_code({name: "x = 1"})


def test_too_much_code_is_refused():
    with pytest.raises(ImpureError, match="more than 8 MiB"):
        check_code({"code/__torch__.py": "x" * 2**24})


def test_the_list_holds_operators_that_torch_has_and_none_that_writes():
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}
    named = {f"aten::{name}" for name in listed("aten")}
    assert len(named & known) > 0.98 * len(named) > 900
    assert not listed("aten") & {"save", "from_file", "load", "manual_seed", "set_", "resize_"}
    for name in ("save", "from_file", "rpc_sync", "Print", "to_here", "record_stream", "wait"):
        with pytest.raises(ImpureError, match=name):
            check_attribute(name)
