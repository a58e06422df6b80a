import torch


class LastAxis(torch.nn.Module):
    """A network of (N, H, W, C) in and out."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def test_networks_whose_channels_are_last_are_turned(opened, write_script, tmp_path):
    inner = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    write_script(tmp_path, LastAxis(inner))
    order = ["b", "y", "x", "c"]
    model = opened(
        tmp_path,
        ("input/input", {"shape": [1, 64, 64, 3], "dim_order": order}),
        ("output/result", {"shape": [1, 64, 64, 4], "dim_order": order}),
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(model.network(x), inner(x), atol=1e-6)
