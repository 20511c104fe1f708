"""Where assignments come from, `[attribution.NAME]`: each kind of source has a file here and a line in the union.

To add one: its file, its name in :data:`Attribution`, and a case in :func:`netledger.daemon.learners.make_learner`.
"""

from typing import Annotated, Final, get_args

from pydantic import Field

from netledger.config.attribution.directory import Directory
from netledger.config.attribution.leases import Dnsmasq, Isc, Kea
from netledger.config.attribution.neighbours import Neighbours
from netledger.config.attribution.radius import Radius
from netledger.config.attribution.static import Static
from netledger.config.attribution.wireguard import Wireguard
from netledger.config.part import Part

Attribution = Annotated[
    Static | Directory | Dnsmasq | Isc | Kea | Radius | Wireguard | Neighbours, Field(discriminator="source")
]
"""One table; its ``source`` says which of these it is."""

KINDS: Final[dict[str, type[Part]]] = {
    get_args(kind.model_fields["source"].annotation)[0]: kind for kind in get_args(get_args(Attribution)[0])
}
"""What each word for ``source`` stands for."""
