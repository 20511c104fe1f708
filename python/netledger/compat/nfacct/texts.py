"""What ``version`` and ``help`` print, to the byte."""

from typing import Final

__all__ = ["HELP", "VERSION_TEXT"]

VERSION_TEXT: Final = b"""\
nfacct v1.0.2: utility for the Netfilter extended accounting infrastructure
Copyright (C) 2011 Pablo Neira Ayuso <pablo@netfilter.org>
Copyright (C) 2011 Intra2net AG <http://www.intra2net.com>
This program comes with ABSOLUTELY NO WARRANTY.
This is free software, and you are welcome to redistribute it under certain\x20
conditions; see LICENSE file distributed in this package for details.
"""

HELP: Final = b"""\
nfacct v1.0.2: utility for the Netfilter extended accounting infrastructure
Usage: nfacct command [parameters]...

Commands:
  list [reset]\t\tList the accounting object table (and reset)
  add object-name\tAdd new accounting object to table
  delete object-name\tDelete existing accounting object
  get object-name\tGet existing accounting object
  flush\t\t\tFlush accounting object table
  restore\t\tRestore accounting object table reading 'list' output from stdin
  monitor\t\tListens for quota attainment notifications
  version\t\tDisplay version and disclaimer
  help\t\t\tDisplay this help message
"""
