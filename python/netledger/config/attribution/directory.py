"""A directory of files named after addresses, as dial-in scripts write them for nacctd."""

from typing import Literal, final

from pydantic import Field

from netledger.config.part import Part
from netledger.config.values import Directory as Folder


@final
class Directory(Part):
    """A directory as nacctd's `dynamicip` names it: a file is named after an address, its first line is the user.

    See [directory](attribution.md#directory).
    """

    source: Literal["directory"] = Field(description="The kind of source.")
    path: Folder = Field(description="The directory. It may come later.")
