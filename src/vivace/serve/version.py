"""The version that the server tells: that of the installed package."""

from importlib.metadata import version

VERSION = version("vivace")
