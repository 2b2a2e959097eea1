"""Source kind `soap`: a SOAP service, by its WSDL, that is asked again and again."""

from topline.sources.soap.settings import SoapSettings as Settings

__all__ = ["Settings"]
