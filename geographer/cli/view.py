"""view: a page on this machine to browse a dataset by revision."""

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from geographer.cli import options, output
from geographer.cli.help import format_example


@click.command("view", epilog=format_example("view", "view --at v1 --port 8000 --no-open"))
@options.at_option
@options.make_option("--port NUMBER", "a free one", "Listen on this port.", type=click.IntRange(0, 65_535))
@click.option(
    "--open/--no-open", "must_open", default=True, show_default="--open", help="Open the page in a browser, or not."
)
@click.pass_obj
def view_command(folder: str, at: str | None, port: int | None, must_open: bool) -> None:
    """Show a local page to browse revisions: map, chips with labels, filters, history, differences.

    Only this machine can open the page, by the address with the token that is printed. It only reads; other commands
    can change the dataset meanwhile. Ctrl-C ends it. Needs the extra: pip install 'geographer-datasets[view]'.
    """
    from geographer.viewer.libraries import require_libraries

    require_libraries()

    from geographer.viewer.access import write_redirect
    from geographer.viewer.session import open_session
    from geographer.viewer.viewed_dataset import ViewedDataset

    dataset = ViewedDataset.open(folder, progress=output.show_progress)
    position = dataset.choose_revision(at)
    with (
        TemporaryDirectory(prefix="geographer-view-") as private,
        open_session(dataset, position, begins_at_head=at is None) as session,
    ):
        session.begin_reading()  # The web server is imported meanwhile.

        from geographer.viewer.server import ViewerServer

        server = ViewerServer(session, port or 0)

        def report_address() -> None:
            click.echo(server.page_address)
            click.echo(f"Showing @{position} of '{dataset.root}'. Press Ctrl-C to end.", err=True)
            if must_open:
                click.launch(str(write_redirect(Path(private), server.page_address)))

        server.run(report_address)
