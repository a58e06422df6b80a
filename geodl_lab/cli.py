"""The command line: ``geodl``. Bad input is one line on stderr and exit status 2."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm.auto import tqdm

from geodl_lab._version import __version__
from geodl_lab.errors import GeodlError, TrustError

if TYPE_CHECKING:
    from geodl_lab.options import Progress

# typer comes with click or with a copy of it: this is the base of the errors of either.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

STOPPED = 130
"""Exit status after Ctrl-C."""

BARS: list[Any] = []
"""Progress bars drawn by this run."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
models = typer.Typer(help="The models that can be named with --model.")
app.add_typer(models, name="models")

Input = Annotated[str, typer.Argument(metavar="INPUT", help="Raster that GDAL opens.")]
Model = Annotated[str, typer.Option(help="Name of a model, or the path of one.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")]
Extent = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Area to compute, in the raster's CRS."),
]
Bands = Annotated[
    str | None,
    typer.Option(metavar="NAME=N,...", help="Which raster band is which, from 1: red=1,nir=4."),
]
Threshold = Annotated[float | None, typer.Option(help="Least score or probability, 0 to 1.")]
SeamTolerance = Annotated[
    float | None, typer.Option(help="Largest error of a score at seams; exact by default.")
]
CellSize = Annotated[
    float | None,
    typer.Option(metavar="S", help="Resample to this cell size, in CRS units, before the model."),
]
Snap = Annotated[
    bool, typer.Option("--snap", help="With --cell-size: answer on the input's own pixels.")
]
Tta = Annotated[
    bool, typer.Option("--tta", help="Average over eight turns and mirrors: 8 times the work.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
SeamError = Annotated[
    bool, typer.Option("--seam-error", help="Measure how far scores are off at seams.")
]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Padding = Annotated[
    int | None, typer.Option(metavar="N", help="Context in pixels on each side of a core.")
]
BatchSize = Annotated[
    int | None, typer.Option(metavar="N", help="Windows a forward on a GPU, as memory holds.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Let the model file's own code run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Store = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="Folder whose files requests may name."),
]
ApiKey = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY", envvar="GEODL_API_KEY", help="Key of a client; made when there is none."
    ),
]
AdminKey = Annotated[
    str,
    typer.Option(metavar="KEY", envvar="GEODL_ADMIN_KEY", help="Key that sees everybody's jobs."),
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask for no key; only on a loopback host.")]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate for https, in PEM.")
]
TlsKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its key, in PEM, without a password.")
]
SelfSigned = Annotated[
    bool, typer.Option("--self-signed", help="https, with an authority made here.")
]
TlsHost = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="One more name for that certificate.")
]
UrlHost = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="Host that may be asked though its address is private."),
]
TrustedHash = Annotated[
    list[str] | None,
    typer.Option(metavar="SHA256", help="Uploaded network whose own code may run."),
]
Database = Annotated[
    str,
    typer.Option(metavar="URL", envvar="GEODL_DATABASE", help="SQLAlchemy URL; SQLite by default."),
]
MaxForm = Annotated[str, typer.Option(metavar="SIZE", help="Largest form, such as 16M.")]
MaxUpload = Annotated[str, typer.Option(metavar="SIZE", help="Largest file that is sent.")]
UploadQuota = Annotated[str, typer.Option(metavar="SIZE", help="Most that a key sends in a day.")]
KeepDays = Annotated[str, typer.Option(metavar="N|never", help="Days that finished jobs are kept.")]
KeepBytes = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Most that finished jobs' files take.")
]
PekatPort = Annotated[
    int | None, typer.Option(help="Speak PEKAT's protocol on this port too; 0 takes a free one.")
]
PekatProject = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON: model, defects, colors, api_key, ...")
]
StopKey = Annotated[
    str, typer.Option(envvar="GEODL_PEKAT_STOP_KEY", help="Key with which PEKAT clients stop it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,
) -> None:
    """Deep learning on any raster: classes and objects, seamless and exact."""


@app.command()
def classify(
    input: Input,
    output: Annotated[Path, typer.Option("-o", "--output", help="Class raster, .tif.")],
    model: Model,
    device: Device = "auto",
    extent: Extent = None,
    bands: Bands = None,
    cell_size: CellSize = None,
    snap: Snap = False,
    threshold: Threshold = None,
    precision: Precision = "auto",
    seam_tolerance: SeamTolerance = None,
    padding: Padding = None,
    batch_size: BatchSize = None,
    tta: Tta = False,
    trust: Trust = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Classify every pixel of a raster into a COG with palette and class names."""
    from geodl_lab.files import classify_file  # noqa: PLC0415  torch only when it is needed

    begun = time.monotonic()
    classify_file(
        input, output, _opened(model, trust), overwrite=overwrite, resume=resume, area=extent,
        bands=_bands(bands), cell_size=cell_size, snap=snap, threshold=threshold, device=device,
        precision=precision, seam_tolerance=seam_tolerance, padding=padding,
        batch_size=batch_size, tta=tta, progress=_bar("classify"),
    )  # fmt: skip
    typer.echo(f"{output} written in {time.monotonic() - begun:.1f} s")


@app.command()
def detect(
    input: Input,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Objects: .parquet, .gpkg or .geojson.")
    ],
    model: Model,
    device: Device = "auto",
    extent: Extent = None,
    bands: Bands = None,
    cell_size: CellSize = None,
    threshold: Threshold = None,
    precision: Precision = "auto",
    seam_tolerance: SeamTolerance = None,
    padding: Padding = None,
    batch_size: BatchSize = None,
    tta: Tta = False,
    trust: Trust = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Find the objects of a raster and write them as a vector file."""
    from geodl_lab.files import detect_file  # noqa: PLC0415
    from geodl_lab.vector_files import read_count  # noqa: PLC0415

    begun = time.monotonic()
    detect_file(
        input, output, _opened(model, trust), overwrite=overwrite, resume=resume, area=extent,
        bands=_bands(bands), cell_size=cell_size, threshold=threshold, device=device,
        precision=precision, seam_tolerance=seam_tolerance, padding=padding,
        batch_size=batch_size, tta=tta, progress=_bar("detect"),
    )  # fmt: skip
    typer.echo(f"{output}: {read_count(output)} objects in {time.monotonic() - begun:.1f} s")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder.")] = Path("demo-output"),
) -> None:
    """Map land cover and trees of the bundled NAIP scene."""
    from geodl_lab.demo import run_demo  # noqa: PLC0415

    begun = time.monotonic()
    result = run_demo(output, progress=_bar)
    seconds = time.monotonic() - begun
    typer.echo("Land cover of the bundled NAIP scene (Santa Monica, California):")
    for name, hectares in sorted(result.hectares.items(), key=lambda item: -item[1]):
        typer.echo(f"  {name:<24}{hectares:8.2f} ha")
    typer.echo(f"Trees: {result.tree_count}")
    rate = 2 * result.pixels / seconds / 1e6
    typer.echo(f"Two models on {result.pixels / 1e6:.2f} Mpx in {seconds:.1f} s: {rate:.2f} Mpx/s")
    for path in (result.landcover, result.trees, result.preview):
        typer.echo(f"  {path}")


@app.command()
def serve(
    data_dir: Annotated[Path, typer.Option(help="Folder of jobs and results.")] = Path(
        "geodl-data"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    api_key: ApiKey = None,
    admin_key: AdminKey = "",
    no_auth: NoAuth = False,
    store: Store = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    self_signed: SelfSigned = False,
    tls_host: TlsHost = None,
    scheduler: Annotated[str, typer.Option(metavar="URL", help="Dask scheduler, tcp://...")] = "",
    allow_url_host: UrlHost = None,
    trust: TrustedHash = None,
    database: Database = "",
    queue_limit: Annotated[int, typer.Option(help="Most jobs that wait; then 503.")] = 10_000,
    rate_limit: Annotated[
        float, typer.Option(help="Requests a second for a key; then 429.")
    ] = 200.0,
    max_form: MaxForm = "16M",
    max_upload: MaxUpload = "4G",
    upload_quota: UploadQuota = "64G",
    keep_days: KeepDays = "30",
    keep_bytes: KeepBytes = None,
    pekat_port: PekatPort = None,
    pekat_host: Annotated[str, typer.Option(help="Address of that port.")] = "127.0.0.1",
    pekat_project: PekatProject = None,
    pekat_stop_key: StopKey = "",
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
) -> None:
    """Run the job server: ArcGIS clients, QGIS and web maps use the models here."""
    from geodl_lab.server import check_installed  # noqa: PLC0415

    check_installed()
    from geodl_lab.jobs.core import open_core  # noqa: PLC0415
    from geodl_lab.server import options, serve  # noqa: PLC0415  only for who runs a server

    chosen = options.ServerOptions(
        data_dir=data_dir, host=host, port=port, api_keys=tuple(api_key or ()),
        admin_key=admin_key, no_auth=no_auth, stores=options.parse_stores(store or ()),
        tls_cert=tls_cert, tls_key=tls_key, self_signed=self_signed,
        tls_hosts=tuple(tls_host or ()), scheduler=scheduler,
        url_hosts=tuple(allow_url_host or ()), trusted=tuple(trust or ()), database=database,
        queue_limit=queue_limit, rate_limit=rate_limit, max_form=options.parse_size(max_form),
        max_upload=options.parse_size(max_upload), upload_quota=options.parse_size(upload_quota),
        keep_days=options.parse_days(keep_days),
        keep_bytes=None if keep_bytes is None else options.parse_size(keep_bytes),
        pekat_port=pekat_port, pekat_host=pekat_host, pekat_project=pekat_project,
        pekat_stop_key=pekat_stop_key, log_format=log_format, log_level=log_level,
    )  # fmt: skip
    serve.run(chosen, open_core=open_core, until_eof=until_eof)


@app.command("app")
def run_app(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8866,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of jobs and results; one of this user's by default.")
    ] = None,
    store: Store = None,
) -> None:
    """Open the app: a page to run models on rasters, for people who write no code."""
    from geodl_lab.server import check_installed  # noqa: PLC0415

    check_installed()
    from geodl_lab.dashboard import launch  # noqa: PLC0415
    from geodl_lab.server.options import parse_stores  # noqa: PLC0415

    raise typer.Exit(
        launch.run(port, data_dir=data_dir, stores=parse_stores(store or ()), say=typer.echo)
    )


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that can be named: bundled and installed."""
    from geodl_lab.packages.registry import model_cards  # noqa: PLC0415

    listed = model_cards()
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    for line in _columns([_listed(card) for card in listed]):
        typer.echo(line)


@models.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH")],
    as_json: AsJson = False,
    seam_error: SeamError = False,
    trust: Trust = False,
) -> None:
    """Say what a model wants, gives and how it is run."""
    from geodl_lab import cards  # noqa: PLC0415
    from geodl_lab.packages import open_model, registry  # noqa: PLC0415

    model = open_model(name, trust=trust)
    card = cards.card(model, **registry.origin_of(name))
    if seam_error:
        card["seam_error"] = _seam_error(model, max(model.package.shape_yx))
    typer.echo(json.dumps(card, indent=2) if as_json else cards.text(card))


@models.command()
def install(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A package, or its folder.")],
    trust: Trust = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME[@VERSION]", help="What to call it.")
    ] = None,
) -> None:
    """Copy a model into the folder of installed models, so that it opens by name."""
    from geodl_lab import packages  # noqa: PLC0415

    one = packages.install(path, trust=trust, name=name)
    typer.echo(f"{one.name} {one.version} is installed in {one.folder}")
    typer.echo(f"sha256 {one.sha256}")
    if one.trusted:
        typer.echo(
            "trusted: whatever code is in it runs as you, with your files and your network, "
            "whenever the model runs"
        )
    elif not one.card["runnable"]:
        typer.echo(f"it does not run as it is: {one.card['reason']}")


@models.command()
def uninstall(
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION][#HASH]")],
) -> None:
    """Remove an installed model."""
    from geodl_lab import packages  # noqa: PLC0415

    one = packages.uninstall(name)
    typer.echo(f"{one.reference} is uninstalled")


def main() -> None:
    """Run the command line and turn errors into one line and an exit status."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"] or ["--help"]
    if arguments == ["--version"]:
        print(__version__)
        return
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up as for Ctrl-C
    with contextlib.nullcontext() if debug else _own_words_only():
        text, status = _run(arguments, debug=debug)
        for bar in BARS:
            bar.leave = status == 0
            bar.close()
        BARS.clear()
        if text:
            print("geodl: " + " ".join(text.split()), file=sys.stderr)
    sys.exit(status)


def _run(arguments: list[str], *, debug: bool) -> tuple[str, int]:
    """Return what there is to say and the exit status."""
    try:
        status = app(arguments, prog_name="geodl", standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = STOPPED  # which newer typers answer themselves
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, GeodlError):
            notes = [*getattr(error, "__notes__", [])]
            if isinstance(error, TrustError):
                notes.append("trust=True is --trust here")
            return "; ".join([str(error), *notes]), 2
        if isinstance(error, USAGE_ERROR):
            return f"{error.format_message()} (geodl --help says what is possible)", 2  # type: ignore[attr-defined]
        return f"internal error: {type(error).__name__}: {error}; run again with --debug", 1
    stopped = "stopped; no output was written; the same command with --resume goes on"
    return stopped if status == STOPPED else "", status


@contextlib.contextmanager
def _own_words_only() -> Iterator[None]:
    """Keep warnings, other libraries' logs and what C libraries print away from stderr.

    libtiff, for one, prints a line for every write that a full disk refuses.
    """
    stream = os.fdopen(os.dup(2), "w", buffering=1) if sys.stderr is sys.__stderr__ else sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("geodl: %(message)s"))
    silent, logger = logging.NullHandler(), logging.getLogger("geodl_lab")
    descriptor, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    with warnings.catch_warnings(), contextlib.redirect_stderr(stream):
        warnings.simplefilter("ignore")
        logger.addHandler(handler)
        logging.getLogger().addHandler(silent)  # else logging prints what nobody handles
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
            os.close(nowhere)
            logging.getLogger().removeHandler(silent)
            logger.removeHandler(handler)


def _bar(stage: str) -> Progress:
    """Return a progress callback that draws a bar."""
    bars: list[Any] = []

    def update(done: int, total: int, _stage: str, _left: float) -> None:
        if not bars:  # made late, so that an error before the first window stands alone
            pace = 0.1 if sys.stderr.isatty() else 5.0  # seconds; a log is not a screen
            bars.append(tqdm(desc=stage, unit="window", total=total, mininterval=pace))
            BARS.extend(bars)
        bars[0].total = total  # which may grow where objects reach beyond an area
        bars[0].update(done - bars[0].n)
        if done == total:
            bars[0].close()

    return update


def _bands(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(name and number.isdigit() for name, _, number in pairs):
        raise typer.BadParameter(f"--bands {text!r} is not possible; write it like red=1,nir=4")
    return {name.strip(): int(number) for name, _, number in pairs}


def _seam_error(model: Any, window: int) -> dict[str, float]:
    """Measure a model's seams on random texture."""
    from functools import partial  # noqa: PLC0415

    from geodl_lab.planning import plan  # noqa: PLC0415
    from geodl_lab.seams import measure_on_texture  # noqa: PLC0415

    return measure_on_texture(partial(plan, model), window).as_dict()


def _opened(model: str, trust: bool) -> Any:
    """Open a model here, so that what is trusted is only what this command names."""
    from geodl_lab.packages import open_model  # noqa: PLC0415

    return open_model(model, trust=trust)


def _listed(card: dict[str, Any]) -> list[str]:
    """Return a model as the columns of a list."""
    from geodl_lab import cards  # noqa: PLC0415

    bands = ", ".join(card["bands"]) or f"{card['count']} bands"
    where = f"installed {card['installed']}" if "installed" in card else "bundled"
    words = [card["name"], card["version"], card["task"], bands, cards.names(card["classes"])]
    return [*map(cards.one_line, words), where]


def _columns(rows: list[list[str]]) -> list[str]:
    """Return rows of words as lines, each column as wide as its longest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pairs = ([(word, width) for word, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(f"{word:<{width}}" for word, width in row).rstrip() for row in pairs]
