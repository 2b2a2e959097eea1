"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ProjectDir = Annotated[
    Path,
    typer.Option("--project", "-p", envvar="TOPLINE_PROJECT_DIR", help="Folder with topline.yml.", show_default="this folder"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A setting of topline.yml, such as `engine.batch_rows=1000`. Wins over all."
    ),
]
HERE = Path(".")
