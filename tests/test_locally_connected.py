import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812 - the field's own name

import convkit
from convkit.locally_connected import LocallyConnected2d

# in_channels, out_channels, image_size, kernel_size, stride, padding
SHAPES = [
    (3, 4, 6, 3, 1, 0),
    (2, 3, (6, 7), (3, 2), (2, 3), (1, 2)),
    (1, 1, (4, 6), (4, 1), (1, 2), (0, 3)),
    (3, 2, (5, 4), 1, 3, 0),
]


def by_loop(layer: LocallyConnected2d, images: Tensor) -> Tensor:
    """Location after location, each with its own filter."""
    (kh, kw), (sh, sw), (ph, pw) = layer.kernel_size, layer.stride, layer.padding
    padded = F.pad(images, (pw, pw, ph, ph))
    h, w = layer.output_size
    out = images.new_empty(len(images), layer.out_channels, h, w)
    for i in range(h):
        for j in range(w):
            window = padded[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            for o in range(layer.out_channels):
                out[:, o, i, j] = (window * layer.filters[i, j, o]).sum((1, 2, 3))
                if layer.bias is not None:
                    out[:, o, i, j] += layer.bias[i, j, o]
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_equals_a_loop_over_locations(shape, bias):
    layer = LocallyConnected2d(*shape, bias=bias)
    images = torch.randn(3, layer.in_channels, *layer.image_size)
    torch.testing.assert_close(layer(images), by_loop(layer, images))


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_a_convolution_where_all_filters_are_equal(shape):
    layer = LocallyConnected2d(*shape)
    C, O, _, *window = shape  # noqa: E741
    convolution = nn.Conv2d(C, O, *window)
    with torch.no_grad():
        layer.filters.copy_(convolution.weight.expand_as(layer.filters))
        layer.bias.copy_(convolution.bias.expand_as(layer.bias))
    images = torch.randn(2, C, *layer.image_size, requires_grad=True)
    twin = images.detach().clone().requires_grad_()
    ours, theirs = layer(images), convolution(twin)
    torch.testing.assert_close(ours, theirs)
    (ours**2).sum().backward()
    (theirs**2).sum().backward()
    torch.testing.assert_close(images.grad, twin.grad)
    # a convolution adds up over its locations what each location here has for itself
    summed = layer.weight.grad.sum((0, 1)).permute(0, 3, 2, 1)
    torch.testing.assert_close(summed, convolution.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 2, (4, 5), (3, 2), (1, 2), (1, 0)), *SHAPES[2:]])
def test_gradients_of_first_and_second_order(shape):
    layer = LocallyConnected2d(*shape).double()
    images = torch.randn(2, layer.in_channels, *layer.image_size, dtype=torch.double, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(images: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (images,))

    assert torch.autograd.gradcheck(run, (images, *parameters))
    assert torch.autograd.gradgradcheck(run, (images, *parameters))


def test_what_needs_no_gradient_gets_none():
    layer = LocallyConnected2d(2, 3, 6, 3)
    layer.weight.requires_grad_(False)
    images = torch.randn(2, 2, 6, 6)
    layer(images).sum().backward()
    assert layer.weight.grad is None
    assert torch.equal(layer.bias.grad, torch.full((4, 4, 3), 2.0))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # opcheck's own reading
def test_operators_keep_torchs_rules():
    layer = LocallyConnected2d(2, 3, (6, 7), (3, 2), 2)
    images = torch.randn(2, 2, 6, 7, requires_grad=True)
    grad = torch.randn(2, 3, *layer.output_size, requires_grad=True)
    operators = torch.ops.convkit
    torch.library.opcheck(operators.locally_connected2d.default, (images, layer.weight, (2, 2)))
    torch.library.opcheck(operators.locally_connected2d_grad_weight.default, (grad, images, (3, 2), (2, 2)))
    torch.library.opcheck(operators.locally_connected2d_grad_input.default, (grad, layer.weight, (6, 7), (2, 2)))


def test_any_memory_layout_of_the_images():
    layer = LocallyConnected2d(3, 4, 8, 3, padding=1)
    images = torch.randn(2, 3, 8, 8)
    expected = by_loop(layer, images)
    torch.testing.assert_close(layer(images.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(layer(images.mT.contiguous().mT), expected)


def test_keeps_the_image_for_the_backward_pass_and_not_its_windows():
    layer = LocallyConnected2d(3, 4, 16, 5)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(2, 3, 16, 16))
    assert sorted(kept) == [2 * 3 * 16 * 16, layer.weight.numel()]


def test_compiles_as_one_graph():
    net = nn.Sequential(LocallyConnected2d(2, 3, 6, 3, padding=1), nn.ReLU(inplace=True))
    images = torch.randn(2, 2, 6, 6, requires_grad=True)
    expected = torch.autograd.grad(net(images).sum(), [images, *net.parameters()])
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), net(images))
    torch.testing.assert_close(torch.autograd.grad(compiled(images).sum(), [images, *net.parameters()]), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled(images).dtype is torch.bfloat16


def test_exports_to_operators_that_torch_has_everywhere():
    layer = LocallyConnected2d(2, 3, (6, 7), (3, 2), (1, 2), padding=1).eval()
    images = torch.randn(2, 2, 6, 7)
    exported = torch.export.export(layer, (images,))
    targets = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert targets
    assert not [target for target in targets if "convkit" in target]
    torch.testing.assert_close(exported.module()(images), layer(images))


def test_half_precision_under_autocast():
    layer = LocallyConnected2d(4, 4, 8, 3)
    images = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(images)
        out.float().pow(2).sum().backward()
    assert out.dtype is torch.bfloat16
    assert layer.weight.grad.dtype is torch.float32
    torch.testing.assert_close(out.float(), layer(images), rtol=2e-2, atol=2e-2)


def test_state_and_copies():
    layer = LocallyConnected2d(2, 3, 6, 3)
    images = torch.randn(2, 2, 6, 6)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = LocallyConnected2d(2, 3, 6, 3)
    assert not torch.equal(other(images), layer(images))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(images), layer(images))
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(images), layer(images))
    assert torch.equal(copy.deepcopy(layer)(images), layer(images))


def test_drawn_as_a_convolution_draws():
    layer, convolution = LocallyConnected2d(8, 256, 12, 5), nn.Conv2d(8, 256, 5)
    for ours, theirs in ((layer.weight, convolution.weight), (layer.bias, convolution.bias)):
        assert ours.abs().max().item() == pytest.approx((8 * 5 * 5) ** -0.5, rel=0.01)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)


def test_on_the_meta_device():
    with torch.device("meta"):
        layer = LocallyConnected2d(3, 4, 9, 3)
        assert layer(torch.empty(2, 3, 9, 9)).shape == (2, 4, 7, 7)


def test_a_kernel_or_an_image_that_does_not_fit():
    with pytest.raises(
        ValueError, match=r"^LocallyConnected2d: a 5×3 kernel does not fit an image of 4×9 with padding"
    ):
        LocallyConnected2d(1, 1, (4, 9), (5, 3))
    with pytest.raises(ValueError, match=r"^LocallyConnected2d: made for images of 3×8×8, got 3×8×9$"):
        LocallyConnected2d(3, 1, 8, 3)(torch.zeros(1, 3, 8, 9))


def test_learns_what_a_convolution_cannot():
    # the identity on the left half, its negative on the right: no shared filter does both
    images = torch.randn(64, 1, 4, 4)
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0])
    layer, convolution = LocallyConnected2d(1, 1, 4, 1), nn.Conv2d(1, 1, 1)
    losses = []
    for model in (layer, convolution):
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
        for _ in range(40):
            loss = F.mse_loss(model(images), images * sign)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 1e-3
    assert losses[1] > 0.9


def test_is_public():
    assert convkit.LocallyConnected2d is LocallyConnected2d
