"""``convkit inspect``: what each layer of an architecture puts out, costs and sees, up to where torch is needed."""

from pathlib import Path

from convkit import plugins
from convkit.cli.inspect_request import Request
from convkit.cli.names import words
from convkit.cli.training import column
from convkit.errors import UserError, did_you_mean

HELP = """\
convkit inspect --architecture NAME [--architecture.OPTION VALUE …] [--option …]

One row a layer, in the order in which they run: output shape, neurons, parameters, multiply-adds, receptive field,
stride and padding. Needs no data and computes nothing.

  --architecture NAME       {architectures}
                            or the dotted path of a class
  --image_shape C,H,W       the image; that of the architecture's paper by default
  --num_classes K           the classes; those of the architecture's paper by default
  --stages                  one row a stage instead of one a layer
  --compare local,dense     what each convolution would cost with a filter of its own at every location (local), and
                            with every input connected to every output (dense)
  --plot FILE.png           draw cost and receptive field over depth
  --json                    everything, for a program to read

How to read it: a multiply-add is one multiplication and one addition; activations, poolings and norms count as none.
The receptive field is the side, in pixels, of what one unit sees, the largest over all branches; it counts padding and
may be larger than the image. `image`: wherever a unit is, it sees all of the image. `?`: an operation on the way is not
understood. The stride is the distance between neighbours in pixels.

  convkit inspect --architecture lenet --image_shape 1,28,28
  convkit inspect --architecture timm --architecture.name resnet50 --stages
  convkit inspect --architecture.help lenet         the options of an architecture
"""
FLAGS = ("--stages", "--json")
OPTIONS = ("--image_shape", "--num_classes", "--compare", "--plot")
COMPARISONS = ("local", "dense")


def main(command: str, arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(HELP.format(architectures=column(plugins.named("architecture"))), end="")
        return 0
    request = read(arguments)
    # From here on it computes: this import takes seconds.
    from convkit.cli.inspection import run

    return run(request)


def read(arguments: list[str]) -> Request:
    """Everything but the architecture's own options, checked.

    Raises:
        UserError: an option that is not there, or a value that is none.
    """
    given = list(words([word for word in arguments if word not in FLAGS]))
    if given and not given[0].startswith("-"):
        given[0] = f"--architecture={given[0]}"
    request = Request("", stages="--stages" in arguments, json="--json" in arguments)
    for word in given:
        option, equals, value = word.partition("=")
        if option in OPTIONS:
            if not equals:
                raise UserError(f"{option} needs a value")
            _READERS[option](request, value)
        elif option == "--architecture" or option.startswith("--architecture."):
            request.words.append(_architecture(request, option, equals, value))
        else:
            choices = ["--architecture", "--help", *FLAGS, *OPTIONS]
            raise UserError(f"inspect has no option {option}{did_you_mean(option, choices)}")
    if not request.name:
        raise UserError("inspect needs an architecture; give --architecture NAME, such as --architecture lenet")
    return request


def _architecture(request: Request, option: str, equals: str, value: str) -> str:
    if option not in ("--architecture", "--architecture.class_path", "--architecture.help"):
        return f"{option}{equals}{value}"
    if not value:
        raise UserError(f"{option} needs a value; convkit plugins lists what there is")
    request.name = value
    if "." in value and ":" not in value:
        return f"{option}={value}"
    request.plugin = plugins.find("architecture", value)
    return f"{option}={request.plugin.path}"


def _image_shape(request: Request, value: str) -> None:
    try:
        channels, height, width = (int(size) for size in value.strip("[]() ").replace("x", ",").split(","))
    except ValueError:
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise UserError(f"--image_shape is channels, height and width, such as 3,224,224, not {value!r}")
    request.image_shape = (channels, height, width)


def _num_classes(request: Request, value: str) -> None:
    if not value.isdecimal() or not int(value):
        raise UserError(f"--num_classes is a number from 1 on, not {value!r}")
    request.num_classes = int(value)


def _compare(request: Request, value: str) -> None:
    request.compare = [word.strip() for word in value.strip("[] ").split(",")]
    for word in request.compare:
        if word not in COMPARISONS:
            raise UserError(f"--compare knows local and dense, not {word!r}")


def _plot(request: Request, value: str) -> None:
    request.plot = Path(value).expanduser()
    if request.plot.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(f"--plot writes .png, .pdf or .svg, not {value!r}")
    if not request.plot.parent.is_dir():
        raise UserError(f"--plot: there is no directory {request.plot.parent}")


_READERS = {"--image_shape": _image_shape, "--num_classes": _num_classes, "--compare": _compare, "--plot": _plot}
