"""`vivace credentials`: the keys that sign on this machine, where no certificate is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vivace.errors import SinkWriteError

AUTHORITY = Parameter(negative=(), show_default=False, help="Make another authority, too; who took the old one has to.")


def credentials_app() -> App:
    """Return the `credentials` command."""
    app = App(name="credentials", help="The keys that sign here, by default.", help_epilogue="", sort_key=4)

    @app.command
    def show() -> None:
        """Say who signs here, until when, and where the keys are."""
        from vivace.trust.keys import key_folder, open_key

        key = open_key()
        print(f"{key.name}, valid until {key.chain[0].not_valid_after_utc:%Y-%m-%d}, in {key_folder()}")

    @app.command
    def rotate(*, authority: Annotated[bool, AUTHORITY] = False) -> None:
        """Sign with a new key from now on, and delete the old one; what was signed with it stays valid."""
        from vivace.trust import keys

        print(f"from now on signs {keys.rotate(authority=authority).name}")

    @app.command
    def export(file: Path, /) -> None:
        """Write the certificate of the authority here, for who wants to trust what is signed here. It holds no secret.

        Parameters
        ----------
        file
            Where to, in PEM form: `vivace verify --trust FILE` takes it.
        """
        from vivace.trust.keys import export_authority

        certificate = export_authority()
        try:
            file.write_bytes(certificate)
        except OSError as error:
            raise SinkWriteError(f"{file}: cannot be written ({error.strerror})") from error

    return app
