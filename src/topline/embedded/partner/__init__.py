"""A partner's old sales service that Topline plays itself (`embedded:NAME`), for the demo: SOAP over HTTP, from its WSDL."""

from topline.embedded.partner.book import Book, Entry, book_of, stamp
from topline.embedded.partner.service import PartnerService

__all__ = ["Book", "Entry", "PartnerService", "book_of", "stamp"]
